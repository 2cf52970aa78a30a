/** Key pairs made by ssh-keygen, in a folder of the test's. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { check } from './process.ts';
import type { Scope } from './scope.ts';
import { tempDir } from './tempdir.ts';

export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

export interface KeyPair {
  readonly type: KeyType;
  /** Path of the private key, mode 0600. */
  readonly path: string;
  /** The private key in OpenSSH's format. */
  readonly privateText: string;
  /** One line: type, base64, comment. */
  readonly publicLine: string;
}

/** Makes a key pair; the comment is its type. */
export async function makeKey(scope: Scope, type: KeyType = 'ed25519'): Promise<KeyPair> {
  const path = join(tempDir(scope), `id_${type}`);
  const bits = { ed25519: '256', ecdsa: '256', rsa: '2048' }[type];
  await check(['ssh-keygen', '-q', '-t', type, '-b', bits, '-N', '', '-C', type, '-f', path]);
  return {
    type,
    path,
    privateText: readFileSync(path, 'utf8'),
    publicLine: readFileSync(`${path}.pub`, 'utf8').trim(),
  };
}
