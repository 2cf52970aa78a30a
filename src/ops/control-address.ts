/**
 * Where the control socket of a gate lies, as a name that the kernel takes. The name of a Unix socket ends at 107 bytes
 * however deep `DIR` lies, so a longer one goes through an open folder, `/proc/self/fd/N/control.sock`: the same socket
 * by a short name, without a link that others could see or move, and without leaving the working folder.
 */
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';

/** sun_path of unix(7) holds 108 bytes with the zero at its end. */
const MAX_NAME = 107;
const OWN_FOLDERS = '/proc/self/fd';

export const SOCKET_NAME = 'control.sock';

/** The folder `DIR/run`. */
export function runFolder(dir: string): string {
  return join(dir, 'run');
}

/** A file in `DIR/run` by a name short enough for a socket; `release` when no call with it runs any more. */
export interface SocketAddress {
  readonly path: string;
  release(): void;
}

/** The address of the socket `name` in `DIR/run`; the folder must be there if its own name is long. */
export function socketAddress(dir: string, name: string): SocketAddress {
  const path = join(runFolder(dir), name);
  if (Buffer.byteLength(path) <= MAX_NAME) return { path, release: () => undefined };
  if (!existsSync(OWN_FOLDERS)) {
    const text = `${path} is too long for a socket (${MAX_NAME} bytes): use a shorter --dir`;
    throw new AppError('dir-invalid', text);
  }
  let fd: number;
  try {
    fd = openSync(runFolder(dir), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    const text = `cannot open ${runFolder(dir)}: ${reasonOf(cause)}`;
    throw new AppError(missing ? 'gate-unreachable' : 'dir-invalid', text, { cause });
  }
  let open = true;
  return {
    path: `${OWN_FOLDERS}/${fd}/${name}`,
    release: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
