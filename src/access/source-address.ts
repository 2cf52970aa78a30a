/**
 * The address that a connection comes from, in one form: whoever counts, exempts or compares
 * sources does it on what stands here, so that `::ffff:10.0.0.1` and `10.0.0.1` are one source and
 * one machine's IPv6 network another.
 */
import { BlockList, isIP } from 'node:net';

/** An address in its one form; `unknown` for what is none (a socket that is gone already). */
export interface SourceAddress {
  readonly family: 4 | 6 | 'unknown';
  readonly text: string;
  /** 4 or 16 bytes; empty for `unknown`. */
  readonly bytes: Uint8Array;
}

const UNKNOWN: SourceAddress = { family: 'unknown', text: 'unknown', bytes: new Uint8Array(0) };

/**
 * Reads an address as Node gives it: a zone is dropped, an IPv4-mapped IPv6 address becomes IPv4.
 */
export function sourceAddress(raw: string | undefined): SourceAddress {
  const text = (raw ?? '').split('%')[0] ?? '';
  switch (isIP(text)) {
    case 4:
      return v4(Uint8Array.from(text.split('.'), Number));
    case 6: {
      const bytes = v6Bytes(text);
      const mapped =
        bytes.subarray(0, 10).every((b) => b === 0) && bytes[10] === 255 && bytes[11] === 255;
      if (mapped) return v4(bytes.slice(12));
      return { family: 6, text: text.toLowerCase(), bytes };
    }
    default:
      return UNKNOWN;
  }
}

/** The source that an address belongs to: its first `bits`, as a key. */
export function sourceKey(address: SourceAddress, bits: { v4: number; v6: number }): string {
  if (address.family === 'unknown') return 'unknown';
  const keep = address.family === 4 ? bits.v4 : bits.v6;
  const masked = address.bytes.map((byte, index) => {
    const own = Math.min(8, Math.max(0, keep - index * 8));
    return byte & (0xff << (8 - own));
  });
  return Buffer.from(masked).toString('hex');
}

/** A test for membership in networks written `10.0.0.0/8`, `::1` or `2001:db8::/32`. */
export function networkTest(networks: readonly string[]): (address: SourceAddress) => boolean {
  const list = new BlockList();
  for (const network of networks) {
    const [ip = '', bits] = network.split('/');
    const type = isIP(ip) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(ip, type);
    else list.addSubnet(ip, Number(bits), type);
  }
  return (address) =>
    address.family !== 'unknown' &&
    list.check(address.text, address.family === 4 ? 'ipv4' : 'ipv6');
}

function v4(bytes: Uint8Array): SourceAddress {
  return { family: 4, text: bytes.join('.'), bytes };
}

/** The 16 bytes of an address that `isIP` has accepted. */
function v6Bytes(text: string): Uint8Array {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = (high: unknown, low: unknown) => ((Number(high) << 8) | Number(low)).toString(16);
  const plain = dotted
    ? `${dotted[1] ?? ''}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`
    : text;
  const [head = '', tail] = plain.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => '0');
  const bytes = new Uint8Array(16);
  [...front, ...gap, ...back].slice(0, 8).forEach((group, index) => {
    const value = Number.parseInt(group, 16);
    bytes[2 * index] = value >> 8;
    bytes[2 * index + 1] = value & 0xff;
  });
  return bytes;
}
