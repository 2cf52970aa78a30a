/**
 * Files and folders that are open on an SFTP channel: by handle, and by path for what several handles of one file do to
 * each other. The target must carry out requests about one file in the order in which they came (filexfer-02 section
 * 6.1) but may answer in any, so what changes a file waits in a line until all before it are answered.
 */
import type { OpenFlags, Piece, TransferSink, TransferStatus } from './transfer.ts';
import { AT_END } from './transfer.ts';

/** Something that changes a file, in the order of the requests. */
export interface Effect {
  readonly is: 'write' | 'resize' | 'copy' | 'close';
  readonly offset: number;
  /** Of the content; the new size for `resize`. */
  length: number;
  readonly pieces: Piece[];
  /** The answer, once it is there. */
  status: TransferStatus | undefined;
}

export function newEffect(is: Effect['is'], offset: number, length: number): Effect {
  return { is, offset, length, pieces: [], status: undefined };
}

export interface OpenFile {
  readonly number: number;
  readonly opened: Buffer;
  readonly flags: OpenFlags;
  /** Where it is now, as a key, of its own once it was removed or replaced; undefined once it is closed. */
  path: string | undefined;
  /** The first thing that did not go well. */
  failure: TransferStatus | undefined;
  line: Effect[];
  /** Reads that are not answered. */
  reads: number;
  /** Where the next write of an appending handle goes, as the target and the client both see it. */
  appendAt: number | undefined;
}

export interface OpenFolder {
  readonly folder: Buffer;
  entries: number;
}

export class OpenFiles {
  readonly #sink: TransferSink;
  readonly #byHandle = new Map<string, OpenFile | OpenFolder>();
  readonly #byPath = new Map<string, Set<OpenFile>>();
  /** Files whose handle was given back and whose line is not empty. */
  readonly #ending = new Set<OpenFile>();
  #files = 0;
  #removed = 0;
  #bytes = 0;

  constructor(sink: TransferSink) {
    this.#sink = sink;
  }

  /** Handles in use, and files that wait for their last answers. */
  get count(): number {
    return this.#byHandle.size + this.#ending.size;
  }

  /** Bytes of the paths of all of them. */
  get bytes(): number {
    return this.#bytes;
  }

  get(handle: string): OpenFile | OpenFolder | undefined {
    return this.#byHandle.get(handle);
  }

  file(handle: string): OpenFile | undefined {
    const found = this.#byHandle.get(handle);
    return found && 'line' in found ? found : undefined;
  }

  addFolder(handle: string, folder: Buffer): void {
    this.#byHandle.set(handle, { folder, entries: 0 });
    this.#bytes += folder.length;
  }

  addFile(handle: string, path: Buffer, flags: OpenFlags, us: number): OpenFile {
    const number = this.#files++;
    const file: OpenFile = {
      number,
      opened: path,
      flags,
      path: undefined,
      failure: undefined,
      line: [],
      reads: 0,
      appendAt: undefined,
    };
    this.#byHandle.set(handle, file);
    this.#bytes += path.length;
    const key = path.toString('latin1');
    this.#sink.opened(number, path, flags, us);
    if (flags.truncate) {
      for (const other of this.#at(key)) this.#sink.resized(other.number, 0, us);
    }
    this.#move(file, key);
    return file;
  }

  /** The handle is given back with the request to close it: nothing after it may name this file. */
  giveUp(handle: string): OpenFile | OpenFolder | undefined {
    const found = this.#byHandle.get(handle);
    this.#byHandle.delete(handle);
    if (found && 'line' in found) this.#ending.add(found);
    else if (found) this.#bytes -= found.folder.length;
    return found;
  }

  /** A rename that went well. */
  renamed(from: string, to: string): void {
    if (from === to) return;
    this.removed(to);
    for (const file of [...this.#at(from)]) this.#move(file, to);
  }

  /** Several handles of a file without a name go on changing the same file; no path has a letter beyond latin1. */
  removed(path: string): void {
    const nameless = `${BEYOND_LATIN1}${this.#removed++}`;
    for (const file of [...this.#at(path)]) this.#move(file, nameless);
  }

  /** Files that are open at a path. */
  at(path: string): readonly OpenFile[] {
    return [...this.#at(path)];
  }

  /** Applies what is answered at the head of a file's line. */
  advance(file: OpenFile, us: number): void {
    const { line } = file;
    let done = 0;
    for (; done < line.length; done++) {
      const effect = line[done];
      if (effect?.status === undefined) break;
      if (effect.is === 'close' && file.reads > 0) break;
      this.#apply(file, effect, effect.status, us);
    }
    if (done > 0) line.splice(0, done);
  }

  /** The channel is at its end: what was not answered may have happened or not. */
  abandon(us: number): void {
    const open = [...this.#byHandle.values(), ...this.#ending];
    for (const file of open) {
      if (!('line' in file)) continue;
      for (const effect of file.line) {
        if (effect.status) this.#apply(file, effect, effect.status, us);
        else this.#unknown(file, effect, us);
      }
      file.line = [];
    }
  }

  #apply(file: OpenFile, effect: Effect, status: TransferStatus, us: number): void {
    const { number } = file;
    // What a handle was not opened for says nothing of what it was.
    if (!status.ok && (file.flags.write || effect.is === 'close')) file.failure ??= status;
    if (effect.is === 'close') {
      this.#ending.delete(file);
      this.#bytes -= file.opened.length;
      this.#move(file, undefined);
      this.#sink.closed(number, file.failure ?? status, us);
      return;
    }
    if (!status.ok || effect.is === 'copy') {
      this.#unknown(file, effect, us);
      return;
    }
    if (effect.is === 'resize') {
      this.#sink.resized(number, effect.offset, us);
      for (const other of this.#others(file)) {
        this.#sink.resized(other.number, effect.offset, us);
      }
      return;
    }
    this.#sink.moved(number, 'upload', effect.offset, effect.pieces, us);
    for (const other of this.#others(file)) {
      this.#sink.lost(other.number, effect.offset, reach(effect), us);
    }
  }

  #unknown(file: OpenFile, effect: Effect, us: number): void {
    if (effect.is === 'close' || !file.flags.write) return;
    const { offset } = effect;
    // A size that was refused has changed nothing; one that was not answered may have.
    if (effect.is === 'resize' && effect.status) return;
    const length = effect.is === 'resize' ? Infinity : reach(effect);
    this.#sink.lost(file.number, offset, length, us);
    for (const other of this.#others(file)) this.#sink.lost(other.number, offset, length, us);
  }

  #at(path: string): ReadonlySet<OpenFile> {
    return this.#byPath.get(path) ?? NOBODY;
  }

  #others(file: OpenFile): readonly OpenFile[] {
    if (file.path === undefined) return [];
    const there = this.#at(file.path);
    return there.size < 2 ? [] : [...there].filter((other) => other !== file);
  }

  #move(file: OpenFile, path: string | undefined): void {
    if (file.path !== undefined) {
      const there = this.#byPath.get(file.path);
      there?.delete(file);
      if (there?.size === 0) this.#byPath.delete(file.path);
    }
    file.path = path;
    if (path === undefined) return;
    const there = this.#byPath.get(path);
    if (there) there.add(file);
    else this.#byPath.set(path, new Set([file]));
  }
}

const BEYOND_LATIN1 = '\u0100';
const NOBODY: ReadonlySet<OpenFile> = new Set();

/** How far an effect may have changed the file from its offset on. */
function reach(effect: Effect): number {
  return effect.offset === AT_END ? Infinity : effect.length;
}
