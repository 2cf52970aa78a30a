/**
 * The kinds of channel that rules speak of (DESIGN part 4). Kept below every layer that needs the list: the inventory
 * file checks against it, rows carry it, policy decides by it. `nested-ssh` is no channel of its own: it lets the forwards
 * of its rule carry SSH.
 */
export const CHANNEL_KINDS = [
  'shell',
  'exec',
  'sftp',
  'scp',
  'local-forward',
  'remote-forward',
  'streamlocal',
  'agent',
  'x11',
  'tun',
  'nested-ssh',
] as const;

/** `subsystem:<name>` stands for any other subsystem by name. */
export type ChannelKind = (typeof CHANNEL_KINDS)[number] | `subsystem:${string}`;

/** Whether a text names a kind: one of the list, or `subsystem:` and a name in printable ASCII. */
export function isChannelKind(text: string): text is ChannelKind {
  return CHANNEL_KINDS.some((kind) => kind === text) || /^subsystem:[\x21-\x7e]{1,128}$/.test(text);
}
