/**
 * Where the files of an scp lie at the target. The protocol has names alone; the command line has the place. Sent to a
 * path, a file goes by that path, or below it if it is a folder, which only the target knows: then it is told as below
 * it, so that it is found by either name, and `isCertain` says no. Paths are bytes and are never used as such.
 */
import { ProtocolError } from '../base/errors.ts';
import type { TransferDirection } from './transfer.ts';

/** Linux has 4,096; the bound of what a stranger's folders in folders cost. */
const MAX_PATH = 16_384;
const MAX_DEPTH = 1_024;
const SLASH = Buffer.from('/');
const NO_BYTES = Buffer.alloc(0);

export interface ScpPlace {
  readonly direction: TransferDirection;
  /** As the command line has them. */
  readonly paths: readonly Buffer[];
  /** Whether a shell makes others of them. */
  readonly expands: boolean;
  /** Whether the path must be a folder (`-d`). */
  readonly isFolder: boolean;
}

export class ScpPaths {
  readonly #place: ScpPlace;
  /** The folder that the source is in, and where its parents' paths end in it. */
  #folder: Buffer = NO_BYTES;
  readonly #ends: number[] = [];

  constructor(place: ScpPlace) {
    this.#place = place;
  }

  /** The path of a file or folder that the source names next. */
  pathOf(name: Buffer): Buffer {
    const path = this.#ends.length > 0 ? join(this.#folder, name) : this.#top(name);
    if (path.length > MAX_PATH) throw new ProtocolError('a path that is too long');
    return path;
  }

  /** Whether the place is known without asking the target. */
  isCertain(name: Buffer): boolean {
    const { direction, paths, expands } = this.#place;
    // Whatever doubt there is was told of the folder that it is in.
    if (this.#ends.length > 0) return true;
    if (direction === 'download') return !expands;
    const [path = NO_BYTES] = paths;
    return !expands && (this.#isFolder(path) || baseOf(path).equals(name));
  }

  enter(path: Buffer): void {
    if (this.#ends.length === MAX_DEPTH) throw new ProtocolError('folders in folders without end');
    this.#ends.push(this.#folder.length);
    this.#folder = path;
  }

  /** Back to the folder above. */
  leave(): void {
    const end = this.#ends.pop();
    if (end === undefined) throw new ProtocolError('a folder is left that was not entered');
    this.#folder = this.#folder.subarray(0, end);
  }

  #isFolder(path: Buffer): boolean {
    const text = path.toString('latin1');
    return this.#place.isFolder || /(^|\/)\.{0,2}$/.test(text);
  }

  #top(name: Buffer): Buffer {
    const { direction, paths, expands } = this.#place;
    const [first = NO_BYTES] = paths;
    if (direction === 'upload') {
      const isItself = !this.#isFolder(first) && baseOf(first).equals(name);
      return isItself ? first : join(first, name);
    }
    if (paths.length === 1 && !expands) return first;
    // Of several, the one that ends so; of a pattern, the name in the pattern's folder.
    const named = paths.find((path) => baseOf(path).equals(name));
    return named ?? join(folderOf(first), name);
  }
}

function join(folder: Buffer, name: Buffer): Buffer {
  if (folder.length === 0) return name;
  const isEnded = folder[folder.length - 1] === SLASH[0];
  return Buffer.concat(isEnded ? [folder, name] : [folder, SLASH, name]);
}

function baseOf(path: Buffer): Buffer {
  return path.subarray(path.lastIndexOf(SLASH) + 1);
}

function folderOf(path: Buffer): Buffer {
  return path.subarray(0, path.lastIndexOf(SLASH) + 1);
}
