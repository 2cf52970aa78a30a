/**
 * Identifiers (DESIGN part 6): connections and instances are UUIDv7, configuration objects 22 hexadecimal digits and
 * a UUID made with them. Paths are built from these and from nothing else, so the checks here are what keeps a path
 * inside its folder.
 */
import { randomBytes } from 'node:crypto';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Whether the text is a UUID in lower case. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

function formatUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

/** The 16 bytes of a UUID. */
export function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

/** A UUID from its 16 bytes. */
export function uuidFromBytes(bytes: Buffer): string {
  return formatUuid(bytes.subarray(0, 16));
}

/** A UUIDv8 (RFC 9562 section 5.8) of a digest, of at least 16 bytes: the same for ever for the same thing. */
export function uuidOfDigest(digest: Buffer): string {
  const bytes = Buffer.from(digest.subarray(0, 16));
  bytes[6] = 0x80 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return formatUuid(bytes);
}

/** A new UUIDv7 (RFC 9562 section 5.7): sorts by the millisecond it was made in. */
export function newUuid(nowMs: number): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return formatUuid(bytes);
}

/** The millisecond in which a UUIDv7 was made. */
export function uuidTime(uuid: string): number {
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);
}

/** A UUID as 22 characters of base 62, the form of the SPS dialect. */
export function shortId(uuid: string): string {
  let value = BigInt(`0x${uuid.replaceAll('-', '')}`);
  let text = '';
  for (let i = 0; i < 22; i++) {
    text = (BASE62[Number(value % 62n)] ?? '') + text;
    value /= 62n;
  }
  return text;
}

/** The UUID that `shortId` made a text from; undefined if it made it from none. */
export function uuidOfShortId(text: string): string | undefined {
  if (!/^[0-9A-Za-z]{22}$/.test(text)) return undefined;
  let value = 0n;
  for (const char of text) value = value * 62n + BigInt(BASE62.indexOf(char));
  if (value >= 1n << 128n) return undefined;
  return formatUuid(Buffer.from(value.toString(16).padStart(32, '0'), 'hex'));
}

/** A new id of a configuration object: 22 hexadecimal digits. */
export function newObjectId(): string {
  return randomBytes(11).toString('hex');
}
