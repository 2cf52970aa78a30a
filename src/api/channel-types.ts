/** The kinds of channel (`config/channel-kinds.ts`) in the words of the SPS contract, section 10, and back. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ['shell', 'session shell'],
  ['exec', 'session exec'],
  ['scp', 'session exec scp'],
  ['sftp', 'session subsystem sftp'],
  ['local-forward', 'local forward'],
  ['remote-forward', 'remote forward'],
  ['streamlocal', 'streamlocal forward'],
  ['x11', 'x11 forward'],
  ['agent', 'agent forward'],
  ['tun', 'tun forward'],
]);
const KINDS: ReadonlyMap<string, string> = new Map([...TYPES].map(([kind, type]) => [type, kind]));
const SUBSYSTEM = 'subsystem:';
const SUBSYSTEM_TYPE = 'session subsystem ';

/** The type of a kind; one that has no other name keeps its own. */
export function typeOfKind(kind: string): string {
  const type = TYPES.get(kind);
  if (type !== undefined) return type;
  return kind.startsWith(SUBSYSTEM) ? SUBSYSTEM_TYPE + kind.slice(SUBSYSTEM.length) : kind;
}

/** The kind of a type. */
export function kindOfType(type: string): string {
  const kind = KINDS.get(type);
  if (kind !== undefined) return kind;
  return type.startsWith(SUBSYSTEM_TYPE) ? SUBSYSTEM + type.slice(SUBSYSTEM_TYPE.length) : type;
}
