/**
 * The keys that sign trails: one Ed25519 pair in `keys/signing.key` (PKCS #8, 0600) and `keys/signing.pub` (SPKI), and
 * the public keys of former pairs in `keys/retired/*.pub`. A key is known by the SHA-256 of its raw 32 bytes.
 *
 * Without a readable private key nothing is recorded, so nothing is relayed: there is no unsigned mode.
 */
import type { KeyObject } from 'node:crypto';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, reasonOf } from '../base/errors.ts';

/** The last 32 bytes of an Ed25519 SPKI are the key itself (RFC 8410 section 4). */
const RAW = 32;

function keyIdOf(key: KeyObject): string {
  const spki = key.export({ type: 'spki', format: 'der' });
  return createHash('sha256')
    .update(spki.subarray(spki.length - RAW))
    .digest('hex');
}

/** A private key for checkpoints. */
export class SigningKey {
  /** SHA-256 of the raw public key, hexadecimal. */
  readonly id: string;
  readonly #private: KeyObject;
  readonly #public: KeyObject;

  /** Takes an Ed25519 private key in PEM; anything else is refused. */
  constructor(pem: string | Buffer) {
    this.#private = createPrivateKey(pem);
    if (this.#private.asymmetricKeyType !== 'ed25519') {
      throw new AppError('secret-unreadable', 'the signing key is not an Ed25519 key');
    }
    this.#public = createPublicKey(this.#private);
    this.id = keyIdOf(this.#public);
  }

  sign(message: Buffer): Buffer {
    return sign(null, message, this.#private);
  }

  publicPem(): string {
    return this.#public.export({ type: 'spki', format: 'pem' }).toString();
  }

  /** A new pair as its private PEM. */
  static generatePem(): string {
    const { privateKey } = generateKeyPairSync('ed25519');
    return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  }
}

/** The public keys whose signatures count, by hexadecimal key id. */
export class PublicKeys {
  readonly #keys = new Map<string, KeyObject>();

  constructor(pems: readonly (string | Buffer)[]) {
    for (const pem of pems) {
      let key: KeyObject;
      try {
        key = createPublicKey(pem);
      } catch (error) {
        throw new AppError('trail-invalid', `not a public key in PEM: ${reasonOf(error)}`);
      }
      if (key.asymmetricKeyType !== 'ed25519') {
        throw new AppError('trail-invalid', 'a public key for trails must be Ed25519');
      }
      this.#keys.set(keyIdOf(key), key);
    }
  }

  has(keyId: string): boolean {
    return this.#keys.has(keyId);
  }

  /** False for an unknown key as for a wrong signature. */
  verify(keyId: string, message: Buffer, signature: Buffer): boolean {
    const key = this.#keys.get(keyId);
    return key !== undefined && verify(null, message, key, signature);
  }
}

const PRIVATE_FILE = 'signing.key';
const PUBLIC_FILE = 'signing.pub';
const RETIRED_FOLDER = 'retired';

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes a pair in the folder `keys`; refuses to replace one. */
export async function createSigningKey(keys: string): Promise<SigningKey> {
  const pem = SigningKey.generatePem();
  const key = new SigningKey(pem);
  await mkdir(join(keys, RETIRED_FOLDER), { recursive: true, mode: 0o700 });
  await writeNew(join(keys, PRIVATE_FILE), pem, 0o600);
  await writeNew(join(keys, PUBLIC_FILE), key.publicPem(), 0o644);
  return key;
}

/** Retires the present pair, whose public half keeps verifying, and makes a new one. */
export async function rotateSigningKey(keys: string): Promise<SigningKey> {
  const old = await loadSigningKey(keys);
  const retired = join(keys, RETIRED_FOLDER);
  await mkdir(retired, { recursive: true, mode: 0o700 });
  const name = old.id.slice(0, 16);
  await rename(join(keys, PUBLIC_FILE), join(retired, `${name}.pub`));
  await rename(join(keys, PRIVATE_FILE), join(retired, `${name}.key`));
  return createSigningKey(keys);
}

/** Reads the private key, which others than its owner must not be able to read. */
export async function loadSigningKey(keys: string): Promise<SigningKey> {
  const path = join(keys, PRIVATE_FILE);
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { mode } = await file.stat();
      if ((mode & 0o077) !== 0) throw new Error('others may read it; chmod 600 it');
      return new SigningKey(await file.readFile());
    } finally {
      await file.close();
    }
  } catch (error) {
    const text = `cannot use the signing key ${path}: ${reasonOf(error)}`;
    throw new AppError('secret-unreadable', text, { cause: error });
  }
}

/** A public key with its id, hexadecimal. */
export interface PublicKeyFile {
  readonly id: string;
  readonly pem: Buffer;
}

/** Reads the present public key and all retired ones; without any, nothing verifies. */
export async function loadPublicKeys(keys: string): Promise<PublicKeys> {
  return new PublicKeys((await readPublicKeys(keys)).map(({ pem }) => pem));
}

/** The same as files, the present one first. */
export async function readPublicKeys(keys: string): Promise<PublicKeyFile[]> {
  const files: PublicKeyFile[] = [];
  const retired = join(keys, RETIRED_FOLDER);
  const names = await readdir(retired).catch(() => []);
  const paths = names.filter((name) => name.endsWith('.pub')).map((name) => join(retired, name));
  for (const path of [join(keys, PUBLIC_FILE), ...paths]) {
    try {
      const pem = await readFile(path);
      files.push({ id: keyIdOf(createPublicKey(pem)), pem });
    } catch (error) {
      const text = `cannot read the public key ${path}: ${reasonOf(error)}`;
      throw new AppError('not-found', text, { cause: error });
    }
  }
  return files;
}
