/**
 * The arithmetic of mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex): ML-KEM-768 (FIPS 203) beside X25519
 * (RFC 7748), so that who records today and has a quantum computer later still has to break both. It knows no packets;
 * what a peer sends is checked for its exact length here, and by OpenSSL for being a key at all.
 *
 *   C_INIT    byte[1184]  encapsulation key of ML-KEM-768
 *             byte[32]    X25519 public key of the client
 *   S_REPLY   byte[1088]  ciphertext of ML-KEM-768
 *             byte[32]    X25519 public key of the server
 *   K         SHA-256(byte[32] shared key of ML-KEM, byte[32] shared secret of X25519)
 */
import {
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';

import { ProtocolError } from '../base/errors.ts';

const ENCAPSULATION_KEY = 1184;
const CIPHERTEXT = 1088;
const X25519 = 32;

/** What stands before the bare key in a SubjectPublicKeyInfo (RFC 5280; FIPS 203 keys by RFC 9935, X25519 by RFC 8410). */
const MLKEM_SPKI = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex');
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex');

/** Whether the OpenSSL below has ML-KEM: Node's own has since 24.7, a distribution's may not. */
export function hasMlKem(): boolean {
  try {
    generateKeyPairSync('ml-kem-768');
    return true;
  } catch {
    return false;
  }
}

/** The client's half: makes `C_INIT` and, once, the secret out of the server's answer. */
export class HybridClient {
  /** `C_INIT`. */
  readonly share: Buffer;
  #keys: { readonly mlkem: KeyObject; readonly x25519: KeyObject } | undefined;

  constructor() {
    const mlkem = generateKeyPairSync('ml-kem-768');
    const x25519 = generateKeyPairSync('x25519');
    this.share = Buffer.concat([
      bareKey(mlkem.publicKey, MLKEM_SPKI),
      bareKey(x25519.publicKey, X25519_SPKI),
    ]);
    this.#keys = { mlkem: mlkem.privateKey, x25519: x25519.privateKey };
  }

  /** `K` of `S_REPLY`. The private keys are forgotten with it, whatever becomes of it. */
  secret(reply: Buffer): Buffer {
    const keys = this.#keys;
    this.#keys = undefined;
    if (!keys) throw new ProtocolError('a second answer to one key share');
    const [ciphertext, peer] = split('server', reply, CIPHERTEXT);
    const agreed = agree(keys.x25519, peer);
    return combine(
      attempt('the ciphertext', () => decapsulate(keys.mlkem, ciphertext)),
      agreed,
    );
  }
}

/** The server's half: `S_REPLY` and `K` for a client's `C_INIT`. */
export function answerHybrid(share: Buffer): { readonly reply: Buffer; readonly secret: Buffer } {
  const [key, peer] = split('client', share, ENCAPSULATION_KEY);
  const x25519 = generateKeyPairSync('x25519');
  const agreed = agree(x25519.privateKey, peer);
  const { ciphertext, sharedKey } = attempt('the ML-KEM key', () =>
    encapsulate(publicKey(MLKEM_SPKI, key)),
  );
  return {
    reply: Buffer.concat([ciphertext, bareKey(x25519.publicKey, X25519_SPKI)]),
    secret: combine(sharedKey, agreed),
  };
}

/** The two parts of a share; a byte more or less is refused. */
function split(whose: string, share: Buffer, first: number): [Buffer, Buffer] {
  if (share.length !== first + X25519) {
    throw new ProtocolError(
      `the ${whose}'s key share has ${share.length} bytes, not ${first + X25519}`,
    );
  }
  return [share.subarray(0, first), share.subarray(first)];
}

/** X25519; the draft wants an end where the result is all zero, which a peer brings about with a point of small order. */
function agree(privateKey: KeyObject, peer: Buffer): Buffer {
  const shared = attempt('the X25519 key', () =>
    diffieHellman({ privateKey, publicKey: publicKey(X25519_SPKI, peer) }),
  );
  if (shared.every((byte) => byte === 0)) throw new ProtocolError('the X25519 key is not usable');
  return shared;
}

function combine(mlkem: Buffer, x25519: Buffer): Buffer {
  return createHash('sha256').update(mlkem).update(x25519).digest();
}

function bareKey(key: KeyObject, prefix: Buffer): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(prefix.length);
}

function publicKey(prefix: Buffer, bare: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([prefix, bare]), format: 'der', type: 'spki' });
}

/** What OpenSSL does not take is the peer's fault. */
function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw new ProtocolError(`${what} is not usable`, { cause });
  }
}
