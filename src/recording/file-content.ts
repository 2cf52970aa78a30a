/**
 * Reads content back from a container: bytes of one stream at any offset, and from them a file in its own order, in flat
 * memory. It goes by block heads alone and remembers where some of the blocks stand, so that extents in any order are
 * found without reading what lies between. It is for a thread or a command of its own: its reads wait for the disk.
 *
 * It checks the shape of what it reads, not its signatures; `trail verify` does that.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { AppError, ProtocolError, reasonOf } from '../base/errors.ts';
import type { BlockHead } from './container.ts';
import {
  BLOCK_HEAD,
  KINDS,
  MAX_BLOCK,
  MAX_HEADS,
  SALT,
  headsLength,
  readBlockHead,
  readRecordHeads,
} from './container.ts';
import type { Run } from './file-extents.ts';

export type ContentStream = 'stdin' | 'stdout';

/** Bytes that are handed over at once. */
const CHUNK = 256 * 1024;
/** Blocks whose place is remembered; when there are more, every second one is forgotten. */
const MAX_PLACES = 8_192;

interface BlockPlace {
  readonly position: number;
  readonly stdin: number;
  readonly stdout: number;
}

/** A record of the stream in the block at hand. */
interface RecordPlace {
  /** In the stream. */
  readonly offset: number;
  readonly length: number;
  /** In the file. */
  readonly position: number;
}

interface LoadedBlock {
  readonly head: BlockHead;
  readonly stream: ContentStream;
  readonly records: readonly RecordPlace[];
  /** Behind the last byte of the stream in it. */
  readonly end: number;
}

export class ContentReader {
  readonly #fd: number;
  readonly #path: string;
  readonly #heads = Buffer.allocUnsafe(MAX_HEADS);
  readonly #chunk = Buffer.allocUnsafe(CHUNK);
  #places: BlockPlace[] = [];
  #every = 1;
  #walked = 0;
  /** Where the walk over the heads goes on. */
  #next = 0;
  #block: LoadedBlock | undefined;

  /** Opens a trail; a symbolic link is refused. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (cause) {
      const text = `cannot read the trail ${path}: ${reasonOf(cause)}`;
      throw new AppError('not-found', text, { cause });
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** The bytes of some extents, one after the other. Each buffer is good until the next is asked for. */
  *chunks(stream: ContentStream, runs: readonly Run[]): Generator<Buffer> {
    for (const { length, count, at, stride } of runs) {
      for (let i = 0; i < count; i++) yield* this.#piece(stream, at + i * stride, length);
    }
  }

  *#piece(stream: ContentStream, at: number, length: number): Generator<Buffer> {
    let offset = at;
    const end = at + length;
    while (offset < end) {
      const block = this.#blockAt(stream, offset);
      for (const record of block.records) {
        const skip = offset - record.offset;
        if (skip < 0 || skip >= record.length) continue;
        const wanted = Math.min(record.length - skip, end - offset);
        for (let done = 0; done < wanted;) {
          const size = Math.min(CHUNK, wanted - done);
          const bytes = this.#chunk.subarray(0, size);
          this.#fill(bytes, record.position + skip + done);
          yield bytes;
          done += size;
        }
        offset += wanted;
        if (offset >= end) break;
      }
    }
  }

  /** The block that holds a byte of the stream. */
  #blockAt(stream: ContentStream, offset: number): LoadedBlock {
    const loaded = this.#block;
    if (loaded?.stream === stream && offset >= loaded.head[stream]) {
      if (offset < loaded.end) return loaded;
      // What is read in order stands in the next block, or soon behind it.
      return this.#search(stream, offset, loaded.head.position + loaded.head.length);
    }
    return this.#search(stream, offset, this.#placeBefore(stream, offset));
  }

  #search(stream: ContentStream, offset: number, from: number): LoadedBlock {
    let position = from;
    for (;;) {
      const head = this.#head(position);
      if (head[stream] > offset) break;
      const block = this.#load(head, stream);
      if (offset < block.end) {
        this.#block = block;
        return block;
      }
      position += head.length;
    }
    throw new ProtocolError(`${this.#path}: ${stream} has no byte ${offset}`);
  }

  /** A block at or before the one that holds the byte, as near as is remembered. */
  #placeBefore(stream: ContentStream, offset: number): number {
    const size = fstatSync(this.#fd).size;
    let last = this.#places.at(-1);
    while ((last === undefined || last[stream] <= offset) && this.#next + BLOCK_HEAD <= size) {
      const head = this.#head(this.#next);
      if (this.#next + head.length > size) break;
      if (this.#walked++ % this.#every === 0) this.#remember(head);
      this.#next += head.length;
      last = this.#places.at(-1);
    }
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#places[middle]?.[stream] ?? Infinity) <= offset) low = middle + 1;
      else high = middle;
    }
    return this.#places[low - 1]?.position ?? 0;
  }

  #remember({ position, stdin, stdout }: BlockHead): void {
    this.#places.push({ position, stdin, stdout });
    if (this.#places.length <= MAX_PLACES) return;
    this.#places = this.#places.filter((_, index) => index % 2 === 0);
    this.#every *= 2;
  }

  #head(position: number): BlockHead {
    const bytes = this.#heads.subarray(0, BLOCK_HEAD);
    this.#fill(bytes, position);
    const head = readBlockHead(bytes);
    if (head.position !== position || head.length > MAX_BLOCK) {
      throw new ProtocolError(`block at ${position} says that it stands at ${head.position}`);
    }
    return head;
  }

  #load(head: BlockHead, stream: ContentStream): LoadedBlock {
    const end = headsLength(head);
    const heads = this.#heads.subarray(0, end);
    this.#fill(heads, head.position);
    const records: RecordPlace[] = [];
    let position = head.position + end;
    let offset = head[stream];
    for (const { kind, length } of readRecordHeads(head, heads)) {
      if (kind === KINDS[stream]) {
        records.push({ offset, length, position: position + SALT });
        offset += length;
      }
      position += SALT + length;
    }
    return { head, stream, records, end: offset };
  }

  #fill(bytes: Buffer, position: number): void {
    for (let done = 0; done < bytes.length;) {
      const count = readSync(this.#fd, bytes, done, bytes.length - done, position + done);
      if (count === 0) throw new ProtocolError(`${this.#path} ends at byte ${position + done}`);
      done += count;
    }
  }
}
