/**
 * SSH public keys and signatures (RFC 4253 section 6.6, RFC 5656, RFC 8332, RFC 8709): parse, name, verify, sign.
 * Ed25519, the three NIST curves and RSA of 2,048 to 8,192 bits with SHA-2; nothing with SHA-1, no DSA. Sizes are
 * checked before any arithmetic, so that a huge modulus costs nothing.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';

import { ProtocolError } from '../base/errors.ts';
import { Reader, Writer } from './buffer.ts';

const RSA_MIN_BITS = 2048;
const RSA_MAX_BITS = 8192;

/** Curves by key type: the name inside the blob, JOSE's name, bytes of a coordinate, hash. */
const CURVES: Readonly<
  Record<string, { curve: string; crv: string; size: number; hash: string } | undefined>
> = {
  'ecdsa-sha2-nistp256': { curve: 'nistp256', crv: 'P-256', size: 32, hash: 'sha256' },
  'ecdsa-sha2-nistp384': { curve: 'nistp384', crv: 'P-384', size: 48, hash: 'sha384' },
  'ecdsa-sha2-nistp521': { curve: 'nistp521', crv: 'P-521', size: 66, hash: 'sha512' },
};

/** The signature algorithms a user's key may be used with; what `server-sig-algs` announces. */
export const SIGNATURE_ALGORITHMS = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
] as const;

/** The signature algorithms that a key of this type can make, best first; empty for an unknown type. */
export function algorithmsOf(keyType: string): readonly string[] {
  if (keyType === 'ssh-ed25519' || CURVES[keyType]) return [keyType];
  return keyType === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [];
}

export interface AuthorizedKey {
  readonly type: string;
  readonly blob: Buffer;
  readonly comment: string;
}

/** The type that a key blob names first. */
export function keyTypeOf(blob: Buffer): string {
  return new Reader(blob).name();
}

/** Parses `type base64 [comment]`, as in `authorized_keys` without options, and checks the key itself. */
export function parseAuthorizedKey(line: string): AuthorizedKey {
  const [type = '', base64 = '', ...comment] = line.trim().split(/\s+/);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new ProtocolError('not a public key: expected "type base64 [comment]"');
  }
  const blob = Buffer.from(base64, 'base64');
  if (keyTypeOf(blob) !== type) {
    throw new ProtocolError(`the key says "${keyTypeOf(blob)}" where its line says "${type}"`);
  }
  decodePublicKey(blob);
  return { type, blob, comment: comment.join(' ') };
}

/** OpenSSH's fingerprint: `SHA256:` and unpadded base64. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The key in a blob; throws `ProtocolError` for a type, size or form that is not accepted. */
export function decodePublicKey(blob: Buffer): KeyObject {
  const reader = new Reader(blob);
  const type = reader.name();
  const jwk = decodeJwk(type, reader);
  reader.end();
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (cause) {
    throw new ProtocolError(`not a valid ${type} key`, { cause });
  }
}

function decodeJwk(type: string, reader: Reader): JsonWebKey {
  const curve = CURVES[type];
  if (curve) {
    const name = reader.name();
    const point = reader.string();
    if (name !== curve.curve || point.length !== 1 + 2 * curve.size || point[0] !== 4) {
      throw new ProtocolError(`not a valid ${type} key`);
    }
    const x = point.subarray(1, 1 + curve.size).toString('base64url');
    const y = point.subarray(1 + curve.size).toString('base64url');
    return { kty: 'EC', crv: curve.crv, x, y };
  }
  if (type === 'ssh-ed25519') {
    const x = reader.string();
    if (x.length !== 32) throw new ProtocolError('not a valid ssh-ed25519 key');
    return { kty: 'OKP', crv: 'Ed25519', x: x.toString('base64url') };
  }
  if (type === 'ssh-rsa') {
    const e = unsigned(reader.string());
    const n = unsigned(reader.string());
    const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24;
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS) {
      throw new ProtocolError(`an RSA key of ${bits} bits; accepted are 2048 to 8192`);
    }
    if (e.length > 4) throw new ProtocolError('an RSA key whose exponent is longer than 32 bits');
    return { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') };
  }
  throw new ProtocolError(`a key of type "${type}"; accepted are Ed25519, ECDSA and RSA`);
}

/** The digits of a positive mpint, without leading zeros. */
function unsigned(mpint: Buffer): Buffer {
  if ((mpint[0] ?? 0) & 0x80) throw new ProtocolError('a negative number in a key');
  let start = 0;
  while (start < mpint.length && mpint[start] === 0) start++;
  return mpint.subarray(start);
}

/** The blob of a key that Node holds, public or private. */
export function encodePublicKey(key: KeyObject): Buffer {
  const jwk = key.export({ format: 'jwk' });
  const field = (name: 'x' | 'y' | 'n' | 'e'): Buffer => Buffer.from(jwk[name] ?? '', 'base64url');
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') {
    return new Writer().string('ssh-ed25519').string(field('x')).done();
  }
  if (jwk.kty === 'RSA') {
    return new Writer().string('ssh-rsa').mpint(field('e')).mpint(field('n')).done();
  }
  const entry = Object.entries(CURVES).find(([, curve]) => curve?.crv === jwk.crv);
  if (jwk.kty !== 'EC' || !entry?.[1]) {
    throw new ProtocolError('a key of a type that SSH has no use for here');
  }
  const point = Buffer.concat([Buffer.from([4]), field('x'), field('y')]);
  return new Writer().string(entry[0]).string(entry[1].curve).string(point).done();
}

/**
 * Whether `signature` (string algorithm, string bytes) was made over `data` by the key in `blob` with `algorithm`,
 * which must be one of those that fit the key. Never throws for what a peer sent.
 */
export function verifySignature(
  blob: Buffer,
  algorithm: string,
  data: Buffer,
  signature: Buffer,
): boolean {
  try {
    if (!algorithmsOf(keyTypeOf(blob)).includes(algorithm)) return false;
    const reader = new Reader(signature);
    if (reader.name() !== algorithm) return false;
    const value = reader.string();
    reader.end();
    const key = decodePublicKey(blob);
    const curve = CURVES[algorithm];
    if (curve) {
      const pair = new Reader(value);
      const r = fixed(unsigned(pair.string()), curve.size);
      const s = fixed(unsigned(pair.string()), curve.size);
      pair.end();
      return verifyBytes(
        curve.hash,
        data,
        { key, dsaEncoding: 'ieee-p1363' },
        Buffer.concat([r, s]),
      );
    }
    return verifyBytes(hashOf(algorithm), data, key, value);
  } catch {
    return false;
  }
}

function fixed(digits: Buffer, size: number): Buffer {
  if (digits.length > size) throw new ProtocolError('a number too large for its curve');
  return Buffer.concat([Buffer.alloc(size - digits.length), digits]);
}

function hashOf(algorithm: string): string | null {
  if (algorithm === 'rsa-sha2-512') return 'sha512';
  return algorithm === 'rsa-sha2-256' ? 'sha256' : null;
}

/** A private key, as Node holds it, with its SSH names. */
export class PrivateKey {
  readonly type: string;
  readonly blob: Buffer;
  readonly #key: KeyObject;

  constructor(pem: string) {
    this.#key = createPrivateKey(pem);
    this.blob = encodePublicKey(this.#key);
    this.type = keyTypeOf(this.blob);
    decodePublicKey(this.blob);
  }

  /** An SSH signature (string algorithm, string bytes) with one of `algorithmsOf(type)`. */
  sign(data: Buffer, algorithm: string): Buffer {
    const curve = CURVES[algorithm];
    let value: Buffer;
    if (curve) {
      const pair = signBytes(curve.hash, data, { key: this.#key, dsaEncoding: 'ieee-p1363' });
      value = new Writer()
        .mpint(pair.subarray(0, curve.size))
        .mpint(pair.subarray(curve.size))
        .done();
    } else {
      value = signBytes(hashOf(algorithm), data, this.#key);
    }
    return new Writer().string(algorithm).string(value).done();
  }
}
