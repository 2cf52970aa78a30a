/**
 * The requests of SFTP version 3 and of OpenSSH's extensions (PROTOCOL, section 4) that carry no content, taken apart as
 * far as files and people need it. What is not known keeps its bytes.
 *
 *   OPEN      string path, uint32 pflags, ATTRS          CLOSE, FSTAT, READDIR   string handle
 *   READ      string handle, uint64 offset, uint32 len   SETSTAT                 string path, ATTRS
 *   FSETSTAT  string handle, ATTRS                       MKDIR                   string path, ATTRS
 *   RENAME, SYMLINK   string, string                     REMOVE, RMDIR, STAT, LSTAT, OPENDIR, REALPATH, READLINK   string
 *   EXTENDED  string name, data                          ATTRS: see `readAttrs`
 */
import { ProtocolError } from '../base/errors.ts';
import { Reader } from './buffer.ts';
import { printable } from './channel-request.ts';
import { FXP, MAX_HANDLE, farUint64 } from './sftp-packets.ts';
import type { OpenFlags } from './transfer.ts';

/** What is kept of the data of something unknown. */
const KEPT = 1024;

export interface Attrs {
  readonly size: number | undefined;
  readonly permissions: number | undefined;
  /** In words: `size 100`, `mode 644`. */
  readonly words: string;
}

export type SftpRequest =
  | { readonly is: 'open'; readonly path: Buffer; readonly flags: OpenFlags }
  | { readonly is: 'opendir'; readonly path: Buffer }
  | { readonly is: 'close' | 'readdir' | 'fstat'; readonly handle: string }
  | { readonly is: 'read'; readonly handle: string; readonly offset: number }
  | { readonly is: 'stat'; readonly name: string; readonly path: Buffer }
  | { readonly is: 'fsetstat'; readonly handle: string; readonly attrs: Attrs }
  | {
      readonly is: 'copy-data';
      readonly from: string;
      readonly to: string;
      readonly length: number;
      readonly offset: number;
    }
  | SftpOperation;

/** Anything about paths alone. */
export interface SftpOperation {
  readonly is: 'operation';
  readonly name: string;
  readonly paths: readonly Buffer[];
  readonly detail: string;
  /** Set by it. */
  readonly size: number | undefined;
  /** Not worth a word unless it fails. */
  readonly quiet: boolean;
}

function flagsOf(bits: number): OpenFlags {
  const has = (bit: number): boolean => (bits & bit) !== 0;
  return {
    read: has(1),
    write: has(2),
    append: has(4),
    create: has(8),
    truncate: has(16),
    exclusive: has(32),
  };
}

/**
 *   uint32 flags; uint64 size (flag 1); uint32 uid, gid (2); uint32 permissions (4); uint32 atime, mtime (8);
 *   uint32 count and as many pairs of strings (0x80000000), which are passed over
 */
export function readAttrs(reader: Reader): Attrs {
  const flags = reader.uint32();
  const words: string[] = [];
  let size: number | undefined;
  let permissions: number | undefined;
  if (flags & 1) {
    size = farUint64(reader.bytes(8), 0);
    words.push(`size ${size}`);
  }
  if (flags & 2) words.push(`owner ${reader.uint32()}:${reader.uint32()}`);
  if (flags & 4) {
    permissions = reader.uint32();
    words.push(`mode ${(permissions & 0o7777).toString(8)}`);
  }
  if (flags & 8) words.push(`times ${reader.uint32()} ${reader.uint32()}`);
  return { size, permissions, words: words.join(', ') };
}

function handleIn(reader: Reader): string {
  const handle = reader.string();
  if (handle.length > MAX_HANDLE) throw new ProtocolError(`SFTP handle of ${handle.length} bytes`);
  return handle.toString('latin1');
}

/** A path that outlives the packet. */
function pathIn(reader: Reader): Buffer {
  return Buffer.from(reader.string());
}

/** An operation; what is left out is not so. */
export function operation(
  name: string,
  paths: readonly Buffer[],
  more: { detail?: string; size?: number | undefined; quiet?: boolean } = {},
): SftpOperation {
  const { detail = '', size, quiet = false } = more;
  return { is: 'operation', name, paths, detail, size, quiet };
}

/** Decodes a request; `body` is what follows its id. Throws ProtocolError for what breaks off. */
export function decodeSftpRequest(type: number, body: Buffer): SftpRequest {
  const reader = new Reader(body);
  switch (type) {
    case FXP.open:
      return { is: 'open', path: pathIn(reader), flags: flagsOf(reader.uint32()) };
    case FXP.opendir:
      return { is: 'opendir', path: pathIn(reader) };
    case FXP.close:
      return { is: 'close', handle: handleIn(reader) };
    case FXP.readdir:
      return { is: 'readdir', handle: handleIn(reader) };
    case FXP.fstat:
      return { is: 'fstat', handle: handleIn(reader) };
    case FXP.read:
      return { is: 'read', handle: handleIn(reader), offset: farUint64(reader.bytes(8), 0) };
    case FXP.stat:
      return { is: 'stat', name: 'stat', path: pathIn(reader) };
    case FXP.lstat:
      return { is: 'stat', name: 'lstat', path: pathIn(reader) };
    case FXP.fsetstat:
      return { is: 'fsetstat', handle: handleIn(reader), attrs: readAttrs(reader) };
    case FXP.setstat:
      return withAttrs('setstat', reader);
    case FXP.mkdir:
      return withAttrs('mkdir', reader);
    case FXP.remove:
      return operation('remove', [pathIn(reader)]);
    case FXP.rmdir:
      return operation('rmdir', [pathIn(reader)]);
    case FXP.realpath:
      return operation('realpath', [pathIn(reader)], { quiet: true });
    case FXP.readlink:
      return operation('readlink', [pathIn(reader)], { quiet: true });
    case FXP.rename:
      return operation('rename', [pathIn(reader), pathIn(reader)]);
    case FXP.symlink:
      return operation('symlink', [pathIn(reader), pathIn(reader)]);
    case FXP.extended:
      return decodeExtended(reader.string().toString('latin1'), reader);
    default:
      return operation(`type ${type}`, [Buffer.from(body.subarray(0, KEPT))]);
  }
}

function withAttrs(name: string, reader: Reader): SftpRequest {
  const path = pathIn(reader);
  const { size, words } = readAttrs(reader);
  return operation(name, [path], { detail: words, size: name === 'mkdir' ? undefined : size });
}

/**
 *   posix-rename, hardlink   string, string             lsetstat   string path, ATTRS
 *   statvfs, expand-path     string path                fsync, fstatvfs   string handle
 *   copy-data                string handle, uint64 offset, uint64 length (0: to the end), string handle, uint64 offset
 *   limits, users-groups-by-id, home-directory          nothing about files
 */
function decodeExtended(name: string, reader: Reader): SftpRequest {
  switch (name) {
    case 'posix-rename@openssh.com':
      return operation('rename', [pathIn(reader), pathIn(reader)]);
    case 'hardlink@openssh.com':
      return operation('hardlink', [pathIn(reader), pathIn(reader)]);
    case 'lsetstat@openssh.com': {
      const path = pathIn(reader);
      return operation('lsetstat', [path], { detail: readAttrs(reader).words });
    }
    case 'statvfs@openssh.com':
      return operation('statvfs', [pathIn(reader)], { quiet: true });
    case 'expand-path@openssh.com':
      return operation('expand-path', [pathIn(reader)], { quiet: true });
    case 'fsync@openssh.com':
    case 'fstatvfs@openssh.com':
    case 'limits@openssh.com':
    case 'home-directory':
    case 'users-groups-by-id@openssh.com':
      return operation(name, [], { quiet: true });
    case 'copy-data': {
      const from = handleIn(reader);
      reader.bytes(8);
      const length = farUint64(reader.bytes(8), 0);
      return {
        is: 'copy-data',
        from,
        to: handleIn(reader),
        length: length === 0 ? Infinity : length,
        offset: farUint64(reader.bytes(8), 0),
      };
    }
    default: {
      const detail = printable(Buffer.from(name.slice(0, KEPT), 'latin1'));
      return operation('extended', [Buffer.from(reader.rest().subarray(0, KEPT))], { detail });
    }
  }
}
