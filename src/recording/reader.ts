/**
 * Reads a container from the disk, in bounded memory, whole or from any block on. It tails: what is not there yet, or
 * only in part, ends the reading, and the position returned is where to go on. It checks the shape of what it reads,
 * not the signatures; `verify.ts` does that.
 *
 * Searching a time or an offset goes by block heads alone. Blocks have no fixed length and payloads are written by
 * strangers, who can put something there that looks like a block at just that position; so the search never guesses
 * at a block in the middle of the file. From an ended file's last block it goes back over the checkpoints, of which
 * there is one per 10 s, and from the one before the wanted place forward by lengths.
 */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { AppError, ProtocolError, reasonOf } from '../base/errors.ts';
import type { Block, TrailRecord } from './block-decoder.ts';
import { BlockDecoder, recordsOf } from './block-decoder.ts';
import type { BlockHead } from './container.ts';
import {
  BLOCK_HEAD,
  KINDS,
  MAX_BLOCK,
  NONE,
  SALT,
  chainOf,
  headsLength,
  readBlockHead,
} from './container.ts';
import { CHECKPOINT_FIXED, FLAG, SIGNATURE } from './checkpoint.ts';
import type { TrailHeader } from './header.ts';
import { decodeHeader } from './header.ts';

const CHUNK = 1024 * 1024;
/** Within so many bytes of the end an ended file's final checkpoint begins. */
const LAST_BLOCK = 64 * 1024;

/** Something to search for: the last block that begins at or before it is found. */
export type Place =
  | { readonly us: number }
  | { readonly stream: 'stdin' | 'stdout' | 'stderr'; readonly offset: number };

export class TrailFile {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** Opens a regular file; a symbolic link is refused. */
  static async open(path: string): Promise<TrailFile> {
    let file: FileHandle | undefined;
    try {
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if (!(await file.stat()).isFile()) throw new Error('not a regular file');
      return new TrailFile(path, file);
    } catch (error) {
      await file?.close();
      const text = `cannot read the trail ${path}: ${reasonOf(error)}`;
      throw new AppError('not-found', text, { cause: error });
    }
  }

  async size(): Promise<number> {
    return (await this.#file.stat()).size;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Up to `length` bytes from `position`; fewer at the end of the file. */
  async read(position: number, length: number): Promise<Buffer> {
    const there = Math.max(0, Math.min(length, (await this.size()) - position));
    const bytes = Buffer.allocUnsafe(there);
    let done = 0;
    while (done < there) {
      const { bytesRead } = await this.#file.read(bytes, done, there - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  }

  /** Whole blocks from `position` on; returns where the first one stands that is not whole. */
  async *blocks(position = 0): AsyncGenerator<Block, number> {
    const decoder = new BlockDecoder();
    let readTo = position;
    let at = position;
    for (;;) {
      const bytes = await this.read(readTo, CHUNK);
      if (bytes.length === 0) return at;
      readTo += bytes.length;
      decoder.push(bytes);
      for (let block = decoder.next(); block !== undefined; block = decoder.next()) {
        if (block.head.position !== at) {
          throw new ProtocolError(`block at ${at} says that it stands at ${block.head.position}`);
        }
        at += block.head.length;
        yield block;
      }
    }
  }

  /** All records of the whole blocks from `position` on. */
  async *records(position = 0): AsyncGenerator<TrailRecord> {
    for await (const block of this.blocks(position)) yield* recordsOf(block);
  }

  /** The header, which is the file's first record. */
  async header(): Promise<TrailHeader> {
    for await (const record of this.records()) {
      if (record.kind !== KINDS.header) break;
      return decodeHeader(record.payload);
    }
    throw new ProtocolError(`trail ${this.path} has no header`);
  }

  /**
   * The digest of the whole trail, hexadecimal, from its last block alone; empty if that is not the checkpoint that
   * ends a trail. No signature is checked.
   */
  async endDigest(): Promise<string> {
    const last = await this.#lastBlock(await this.size());
    if (last === undefined || last.records[0]?.code === FLAG.live) return '';
    const chain = last.stored.toString('hex', SALT, SALT + 32);
    return chainOf(chain, last.heads, headsLength(last.head));
  }

  /** What ends the trail: the flag of its last checkpoint, or undefined while it has no end. No signature is checked. */
  async endFlag(): Promise<number | undefined> {
    const flag = (await this.#lastBlock(await this.size()))?.records[0]?.code;
    return flag === FLAG.live ? undefined : flag;
  }

  /** The position of the last whole block whose first record is at or before the place; 0 if there is none. */
  async locate(place: Place): Promise<number> {
    const before = (head: BlockHead): boolean =>
      'us' in place ? head.firstUs <= place.us : head[place.stream] <= place.offset;
    const size = await this.size();
    let at = await this.#start(size, before);
    let found = at;
    while (at + BLOCK_HEAD <= size) {
      const head = await this.#head(at);
      if (!before(head) || at + head.length > size) break;
      found = at;
      at += head.length;
    }
    return found;
  }

  async #head(position: number): Promise<BlockHead> {
    const head = readBlockHead(await this.read(position, BLOCK_HEAD));
    if (head.position !== position || head.length > MAX_BLOCK) {
      throw new ProtocolError(`block at ${position} says that it stands at ${head.position}`);
    }
    return head;
  }

  /** A checkpoint not behind the place, found from the end, or the beginning of the file. */
  async #start(size: number, before: (head: BlockHead) => boolean): Promise<number> {
    let head = (await this.#lastBlock(size))?.head;
    while (head !== undefined && !before(head)) {
      const { previousCheckpoint, position } = head;
      if (previousCheckpoint === NONE) return 0;
      if (previousCheckpoint >= position) throw new ProtocolError('checkpoints do not go back');
      head = await this.#head(previousCheckpoint);
    }
    return head?.position ?? 0;
  }

  /** The block that ends with the file, if it is a checkpoint of ours with a short detail. */
  async #lastBlock(size: number): Promise<Block | undefined> {
    const from = Math.max(0, size - LAST_BLOCK);
    const tail = await this.read(from, size - from);
    const shortest = BLOCK_HEAD + CHECKPOINT_FIXED + SIGNATURE;
    for (let at = tail.length - shortest; at >= 0; at--) {
      at = tail.lastIndexOf('SALB', at, 'latin1');
      if (at < 0) break;
      const decoder = new BlockDecoder();
      try {
        decoder.push(tail.subarray(at));
        const block = decoder.next();
        const ends = block?.head.position === from + at && decoder.buffered === 0;
        if (block && ends && block.records[0]?.kind === KINDS.checkpoint) return block;
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }
    return undefined;
  }
}
