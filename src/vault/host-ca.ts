/**
 * The gate's authority over host names: the Ed25519 key in `keys/host_ca`, by which the gate vouches for the hosts that
 * it plays to users who come through it (`ssh -J`). One `@cert-authority` line in a user's known_hosts then serves all
 * targets. Each target also has a plain host key, derived from this key and the target's id, for clients that know no
 * certificates: it stays the same as long as the target and this key do, and no file holds it.
 */
import { createPrivateKey, hkdfSync } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { issueHostCertificate } from '../wire/certificate.ts';
import { ed25519FromSeed } from '../wire/openssh-key.ts';
import type { PrivateKey } from '../wire/publickey.ts';
import { generateKeyPair, parseHostKey, parsePrivateKey } from '../wire/ssh2.ts';
import type { ParsedKey } from '../wire/ssh2.ts';

const FILE = 'host_ca';
const MAX_FILE = 16 * 1024;
const DERIVATION = 'sallyport host key of a target, version 1';
const DAY_S = 86_400;
/** Clocks of users may be wrong by hours, and a client may look at a certificate again when keys are renewed. */
const VALID_BEFORE_NOW_S = DAY_S;
const VALID_FROM_NOW_S = 30 * DAY_S;

/** What the gate shows as a target's host key. */
export interface TargetHostKey {
  readonly key: ParsedKey;
  readonly certificate: Buffer;
}

export class HostAuthority {
  readonly #key: PrivateKey;
  readonly #seed: Secret;

  constructor(privateText: string) {
    this.#key = parsePrivateKey(privateText);
    const { d, crv } = createPrivateKey(parseHostKey(privateText).getPrivatePEM()).export({
      format: 'jwk',
    });
    if (crv !== 'Ed25519' || d === undefined) {
      throw new AppError('secret-unreadable', `${FILE} is not an Ed25519 key`);
    }
    this.#seed = new Secret(Buffer.from(d, 'base64url'));
  }

  /** `type base64`, as known_hosts wants it. */
  get publicLine(): string {
    return `${this.#key.type} ${this.#key.blob.toString('base64')}`;
  }

  get publicBlob(): Buffer {
    return this.#key.blob;
  }

  /** The host key of a target, and a certificate for it under `names`; `now` is seconds since 1970. */
  hostKeyOf(targetId: string, names: readonly string[], now: number): TargetHostKey {
    const seed = Buffer.from(hkdfSync('sha256', this.#seed.reveal(), targetId, DERIVATION, 32));
    const key = parseHostKey(ed25519FromSeed(seed, 'sallyport').privateText);
    const certificate = issueHostCertificate(
      {
        key: key.getPublicSSH(),
        keyId: `sallyport ${targetId}`,
        principals: names,
        validAfter: now - VALID_BEFORE_NOW_S,
        validBefore: now + VALID_FROM_NOW_S,
      },
      this.#key,
    );
    return { key, certificate };
  }
}

/** Makes the key; fails when there is one. */
export function createHostAuthority(keys: string): HostAuthority {
  const { privateText, publicLine } = generateKeyPair('ed25519', 'sallyport host CA');
  const path = join(keys, FILE);
  try {
    writeFileSync(path, privateText, { flag: 'wx', mode: 0o600, flush: true });
    writeFileSync(`${path}.pub`, `${publicLine.trim()}\n`, { mode: 0o644, flush: true });
  } catch (cause) {
    throw new AppError('dir-invalid', `cannot make ${path}: ${reasonOf(cause)}`, { cause });
  }
  return new HostAuthority(privateText);
}

/** Reads the key, which others than its owner must not be able to read; undefined where there is none. */
export function loadHostAuthority(keys: string): HostAuthority | undefined {
  const path = join(keys, FILE);
  let fd: number;
  try {
    // Not blocking, so that a pipe put in its place cannot hold the start.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw unreadable(path, cause);
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) throw new Error('it is not a plain file');
    if ((status.mode & 0o077) !== 0) throw new Error('others may read it; chmod 600 it');
    const bytes = Buffer.alloc(MAX_FILE);
    return new HostAuthority(bytes.toString('latin1', 0, readSync(fd, bytes, 0, MAX_FILE, 0)));
  } catch (cause) {
    throw unreadable(path, cause);
  } finally {
    closeSync(fd);
  }
}

function unreadable(path: string, cause: unknown): AppError {
  return new AppError('secret-unreadable', `cannot use ${path}: ${reasonOf(cause)}`, { cause });
}
