/**
 * The master key: 32 random bytes in `DIR/keys/master.key`, as one line of base64, mode 0600. It is
 * made once, at `init`; without it no secret of a target can be opened again, so it belongs in the
 * backup, apart from the data.
 *
 * A file that others can read, that is a link or that is not exactly a key is refused: never
 * repaired, never replaced.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';

const KEY_BYTES = 32;
const FORM = /^([A-Za-z0-9+/]{43}=)\n?$/;
/** One more than the longest file that can be a key, so that a longer one shows. */
const READ_BYTES = 64;

/** Where the master key of a gate lies. */
export function masterKeyFile(dir: string): string {
  return path.join(dir, 'keys', 'master.key');
}

/** Makes the master key; fails when there is one. `keys/` must exist. */
export function createMasterKey(dir: string): Secret {
  const file = masterKeyFile(dir);
  const key = randomBytes(KEY_BYTES);
  let fd: number;
  try {
    fd = openSync(file, 'wx', 0o600);
  } catch (cause) {
    throw new AppError('dir-invalid', `cannot create ${file}: ${reasonOf(cause)}`, { cause });
  }
  try {
    writeSync(fd, `${key.toString('base64')}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  const folder = openSync(path.dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
  return new Secret(key);
}

/** Reads the master key; the error names the file and the remedy. */
export function loadMasterKey(dir: string): Secret {
  const file = masterKeyFile(dir);
  let fd: number;
  try {
    // Not blocking, so that a pipe put in its place cannot hold the start.
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    throw unreadable(file, cause);
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) {
      throw new AppError('dir-invalid', `${file} is not a plain file; put the key itself there`);
    }
    if ((status.mode & 0o077) !== 0) {
      const mode = (status.mode & 0o777).toString(8).padStart(4, '0');
      throw new AppError(
        'dir-invalid',
        `${file} is open to others (mode ${mode}); run: chmod 600 ${file}`,
      );
    }
    const bytes = Buffer.alloc(READ_BYTES);
    const text = bytes.toString('latin1', 0, readSync(fd, bytes, 0, READ_BYTES, 0));
    const key = Buffer.from(FORM.exec(text)?.[1] ?? '', 'base64');
    if (key.length !== KEY_BYTES) {
      throw new AppError(
        'dir-invalid',
        `${file} does not hold a key of ${KEY_BYTES} bytes as base64; restore it from the backup`,
      );
    }
    return new Secret(key);
  } finally {
    closeSync(fd);
  }
}

function unreadable(file: string, cause: unknown): AppError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const text =
    code === 'ENOENT'
      ? `${file} is missing; restore it from the backup (a new gate gets one from init)`
      : code === 'ELOOP'
        ? `${file} is a symbolic link; put the key itself there`
        : `cannot read ${file}: ${reasonOf(cause)}`;
  return new AppError('dir-invalid', text, { cause });
}
