/**
 * Keys and certificates in files: who may read a key is checked when it is opened, and what is written is there as a
 * whole or not at all. Every error names the file and what to do.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { closeSync, constants, fchmodSync, fstatSync, fsyncSync } from 'node:fs';
import { openSync, readSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';

/** A chain of a dozen certificates is a tenth of this. */
const MAX_BYTES = 256 * 1024;
const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A private key and where it came from, for errors. */
export interface KeyFile {
  readonly path: string;
  readonly secret: Secret;
  readonly key: KeyObject;
}

/** Certificates in the order of their file; there is at least one. */
export interface CertificateFile {
  readonly path: string;
  readonly text: string;
  readonly first: X509Certificate;
  readonly all: readonly X509Certificate[];
}

export interface ReadOptions {
  /** What the errors are: of the folder of the gate, or of what its configuration names. */
  readonly code: ErrorCode;
  /** Whether a symbolic link may lead there: tools that renew certificates give them so. */
  readonly links: boolean;
}

/**
 * Reads a private key that nobody else may. The group may read it where it belongs to root: so tools of distributions
 * share a key with a service.
 */
export function readKey(path: string, options: ReadOptions): KeyFile {
  const bytes = readFile(path, options, (mode, uid) => {
    const allowed = options.links && uid === 0 ? 0o750 : 0o700;
    if ((mode & 0o777 & ~allowed) === 0) return;
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    throw new AppError(
      options.code,
      `${path} is open to others (mode ${octal}); run: chmod 600 ${path}`,
    );
  });
  const secret = new Secret(bytes);
  try {
    return { path, secret, key: createPrivateKey({ key: bytes, format: 'pem' }) };
  } catch (cause) {
    const text = `${path} does not hold a private key in PEM without a passphrase: ${reasonOf(cause)}`;
    throw new AppError(options.code, text, { cause });
  }
}

/** Reads a file of certificates. */
export function readCertificates(path: string, options: ReadOptions): CertificateFile {
  const text = readFile(path, options, () => undefined).toString('latin1');
  try {
    const all = [...text.matchAll(BLOCK)].map(([block]) => new X509Certificate(block));
    const first = all[0];
    if (first === undefined) throw new Error('no "BEGIN CERTIFICATE" is in it');
    return { path, text, first, all };
  } catch (cause) {
    const text = `${path} does not hold a certificate in PEM: ${reasonOf(cause)}`;
    throw new AppError(options.code, text, { cause });
  }
}

/**
 * Writes a file of the gate's own. It appears under its name when all of it is on the disk, so a crash leaves the old
 * one or the new one.
 */
export function writeWhole(path: string, content: Buffer | string, mode: number): void {
  const unfinished = `${path}.new`;
  try {
    removeIfThere(unfinished);
    const fd = openSync(unfinished, 'wx', mode);
    try {
      // The umask may have taken bits from what others shall read.
      fchmodSync(fd, mode);
      const bytes = Buffer.from(content);
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(unfinished, path);
    syncFolder(dirname(path));
  } catch (cause) {
    throw new AppError('dir-invalid', `cannot write ${path}: ${reasonOf(cause)}`, { cause });
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function readFile(
  path: string,
  { code, links }: ReadOptions,
  check: (mode: number, uid: number) => void,
): Buffer {
  let fd: number | undefined;
  try {
    // Not blocking, so that a pipe put in its place cannot hold the start.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | (links ? 0 : constants.O_NOFOLLOW);
    fd = openSync(path, flags);
    const status = fstatSync(fd);
    if (!status.isFile()) throw new Error('it is not a plain file');
    if (status.size > MAX_BYTES) throw new Error(`it is longer than ${MAX_BYTES} bytes`);
    check(status.mode, status.uid);
    const bytes = Buffer.alloc(MAX_BYTES);
    let length = 0;
    for (;;) {
      const got = readSync(fd, bytes, length, bytes.length - length, null);
      if (got === 0) return bytes.subarray(0, length);
      length += got;
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError(code, `cannot read ${path}: ${reasonOf(cause)}`, { cause });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
