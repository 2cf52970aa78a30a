/**
 * New ed25519 key pairs in the form of OpenSSH's key files (its PROTOCOL.key). ssh2 makes them too, but leaves out a
 * leading zero of the public key, so that one in 256 is of no use. Only for keys of the gate's own; reading is ssh2's.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { ProtocolError } from '../base/errors.ts';
import { Writer } from './buffer.ts';

const TYPE = 'ssh-ed25519';
const BLOCK = 8;
const LINE = 70;

/** A private key file's text, and the public line. */
export interface KeyFiles {
  readonly privateText: string;
  readonly publicLine: string;
}

/** Makes a key pair. */
export function generateEd25519(comment: string): KeyFiles {
  const { d, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  if (d === undefined || x === undefined) throw new ProtocolError('an ed25519 key without parts');
  return encodeEd25519(Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url'), comment);
}

/** What stands before the 32 bytes of a seed in a private key of PKCS #8 (RFC 8410 section 7). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key pair that belongs to a seed of 32 bytes: always the same one. */
export function ed25519FromSeed(seed: Buffer, comment: string): KeyFiles {
  if (seed.length !== 32) throw new ProtocolError('an ed25519 seed has 32 bytes');
  const der = Buffer.concat([PKCS8, seed]);
  const { x } = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({
    format: 'jwk',
  });
  if (x === undefined) throw new ProtocolError('an ed25519 key without parts');
  return encodeEd25519(seed, Buffer.from(x, 'base64url'), comment);
}

/**
 *   "openssh-key-v1" NUL
 *   string   cipher, string kdf: "none"; string kdf options: empty
 *   uint32   number of keys
 *   string   public key: string "ssh-ed25519", string 32 bytes
 *   string   private part:
 *     uint32   check, the same twice
 *     string   "ssh-ed25519", string public key, string seed and public key
 *     string   comment
 *     byte[]   padding 1, 2, 3, ... to a multiple of 8
 */
export function encodeEd25519(seed: Buffer, publicKey: Buffer, comment: string): KeyFiles {
  const blob = new Writer().string(TYPE).string(publicKey).done();
  const check = randomBytes(4);
  const secret = new Writer()
    .bytes(check)
    .bytes(check)
    .string(TYPE)
    .string(publicKey)
    .string(Buffer.concat([seed, publicKey]))
    .string(comment)
    .done();
  const padding = Array.from(
    { length: (BLOCK - (secret.length % BLOCK)) % BLOCK },
    (_, i) => i + 1,
  );
  const file = new Writer()
    .bytes(Buffer.from('openssh-key-v1\0'))
    .string('none')
    .string('none')
    .string('')
    .uint32(1)
    .string(blob)
    .string(Buffer.concat([secret, Buffer.from(padding)]))
    .done()
    .toString('base64');
  const lines = file.match(new RegExp(`.{1,${LINE}}`, 'g')) ?? [];
  const [begin, end] = ['BEGIN', 'END'].map((word) => `-----${word} OPENSSH PRIVATE KEY-----`);
  return {
    privateText: [begin, ...lines, end, ''].join('\n'),
    publicLine: `${TYPE} ${blob.toString('base64')} ${comment}`,
  };
}
