/**
 * Reads a container behind its writer, block by block into one buffer, with reads that wait for the disk: for a thread
 * of its own. What is not there yet ends a reading; the next goes on from there.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { ProtocolError } from '../base/errors.ts';
import type { TrailRecord } from './block-decoder.ts';
import { recordsOf } from './block-decoder.ts';
import { BLOCK_HEAD, MAX_BLOCK, headsLength, readBlockHead, readRecordHeads } from './container.ts';

/** The buffer that all tails of a thread share; nothing in it outlives a call. */
export class TailBuffer {
  readonly bytes = Buffer.allocUnsafeSlow(2 * MAX_BLOCK);
}

export class TrailTail {
  readonly #fd: number;
  readonly #buffer: Buffer;
  #position = 0;
  #ordinal = 0;

  /** Opens a trail; a symbolic link is refused. */
  constructor(path: string, buffer: TailBuffer) {
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    this.#buffer = buffer.bytes;
  }

  /** Of the next record. */
  get ordinal(): number {
    return this.#ordinal;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /**
   * Gives `take` each record of some whole blocks, payloads as views that are good until it returns. False when no whole
   * block was there.
   */
  advance(take: (record: TrailRecord) => void): boolean {
    const buffer = this.#buffer;
    const length = this.#read();
    let at = 0;
    while (length - at >= BLOCK_HEAD) {
      const bytes = buffer.subarray(at, length);
      const head = readBlockHead(bytes);
      if (head.position !== this.#position) {
        throw new ProtocolError(`block at ${this.#position} says that it is at ${head.position}`);
      }
      const end = headsLength(head);
      if (bytes.length < head.length) break;
      const records = readRecordHeads(head, bytes);
      const block = { head, records, heads: bytes.subarray(0, end) };
      const stored = bytes.subarray(end, head.length);
      for (const record of recordsOf({ ...block, stored })) take(record);
      at += head.length;
      this.#position += head.length;
      this.#ordinal = head.firstOrdinal + head.count;
    }
    return at > 0;
  }

  #read(): number {
    let length = 0;
    while (length < this.#buffer.length) {
      const room = this.#buffer.length - length;
      const count = readSync(this.#fd, this.#buffer, length, room, this.#position + length);
      if (count === 0) break;
      length += count;
    }
    return length;
  }
}
