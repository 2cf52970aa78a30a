/**
 * What kind of channel a session request makes of its channel, over the bytes of the request: an
 * `exec` may be `scp`, a `subsystem` may be `sftp`. The rules are asked with the answer, and `exec`
 * lets its holder do anything, so a command that is not plainly scp is `exec`.
 *
 * Nothing here runs or rewrites a command; the bytes go to the target as they came.
 */
import type { ChannelKind } from '../store/rows.ts';

/**
 * scp's own server side: `-t` takes, `-f` gives; `--` stands before a path that begins with `-`.
 */
const SCP = /^scp((?: -[rpdvqtf]+)+) (-- )?([^ ]+)$/;

/**
 * Bytes that a POSIX shell takes as they stand, and its globs. `~` is safe: it only names a folder.
 * Everything else, and with it quotes, backslash, `$`, back-ticks, `;&|<>(){}`, `#`, `!`, `=`,
 * blanks and line ends, makes it an exec.
 */
const PLAIN_PATH = /^[A-Za-z0-9._/+,:@%~*?[\]-]+$/;

/** `scp` for scp's server side with one plain path, otherwise `exec`. */
export function kindOfExec(command: Uint8Array): 'scp' | 'exec' {
  // Latin-1 keeps one character per byte, so no byte can hide in a longer sequence.
  const match = SCP.exec(Buffer.from(command).toString('latin1'));
  const flags = match?.[1];
  const path = match?.[3];
  if (flags === undefined || path === undefined) return 'exec';
  const takes = flags.includes('t');
  const gives = flags.includes('f');
  if (takes === gives) return 'exec';
  // Without `--` such a path would be one more option of the scp that runs there.
  if (path.startsWith('-') && match?.[2] === undefined) return 'exec';
  // Bytes above 127 are parts of file names in any encoding and mean nothing to a shell.
  return PLAIN_PATH.test(path.replace(/[\x80-\xff]/g, 'x')) ? 'scp' : 'exec';
}

/**
 * `sftp`, or `subsystem:<name>` with the exact name. A name that is not printable ASCII has no
 * kind: no rule can name it, so it is refused.
 */
export function kindOfSubsystem(name: Uint8Array): ChannelKind | undefined {
  const text = Buffer.from(name).toString('latin1');
  if (!/^[\x21-\x7e]{1,255}$/.test(text)) return undefined;
  return text === 'sftp' ? 'sftp' : `subsystem:${text}`;
}
