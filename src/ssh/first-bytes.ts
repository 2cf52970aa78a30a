/**
 * What a stream carries, by its first bytes: SSH, TLS, HTTP, PostgreSQL, or something else. Pure; asked with all of the
 * first bytes there are, as often as there are more, until it knows.
 */

export type Protocol = 'ssh' | 'tls' | 'http' | 'postgres' | 'other';

/** No answer takes more than this. */
export const FIRST_BYTES = 8;

const SSH = 'SSH-';
const HTTP = [
  'GET ',
  'HEAD ',
  'POST ',
  'PUT ',
  'DELETE ',
  'CONNECT ',
  'OPTIONS ',
  'TRACE ',
  'PATCH ',
  'PRI * ',
  'HTTP/',
];
/** Length of the first message of a PostgreSQL client, by its own server at most 10,000. */
const POSTGRES_MAX = 10_000;
/** Version 3.x, or one of the codes for cancel, TLS and GSSAPI. */
const POSTGRES_MAJOR = 3;
const POSTGRES_CODES = new Set([80_877_102, 80_877_103, 80_877_104]);

/** Whether an SSH ident may begin with these bytes (RFC 4253 section 4.2). */
export function mayBecomeSsh(first: Buffer): boolean {
  const text = first.toString('latin1', 0, SSH.length);
  return SSH.startsWith(text);
}

/** What begins with these bytes; undefined while it takes more of them to tell. */
export function classify(first: Buffer): Protocol | undefined {
  const text = first.toString('latin1', 0, FIRST_BYTES);
  if (text.startsWith(SSH)) return 'ssh';
  if (SSH.startsWith(text)) return undefined;
  if (HTTP.some((word) => text.startsWith(word.slice(0, FIRST_BYTES)))) return 'http';
  if (HTTP.some((word) => word.startsWith(text))) return undefined;
  if (first[0] === 0x16) return first.length < 2 ? undefined : first[1] === 3 ? 'tls' : 'other';
  if (first[0] === 0 && (first[1] ?? 0) === 0) return postgres(first);
  return 'other';
}

/** int32 length of the message, int32 version or code. */
function postgres(first: Buffer): Protocol | undefined {
  if (first.length < FIRST_BYTES) return undefined;
  const length = first.readUInt32BE(0);
  const code = first.readUInt32BE(4);
  const known = code >>> 16 === POSTGRES_MAJOR || POSTGRES_CODES.has(code);
  return known && length >= FIRST_BYTES && length <= POSTGRES_MAX ? 'postgres' : 'other';
}
