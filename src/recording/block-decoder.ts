/**
 * Turns the bytes of a container, in any split, into blocks. It does no I/O, throws nothing but ProtocolError, and
 * holds at most one block beside the chunk it was given: a length that it has not checked is never waited for.
 */
import type { BlockHead, RecordHead } from './container.ts';
import {
  BLOCK_HEAD,
  MAX_RECORDS,
  SALT,
  headsLength,
  readBlockHead,
  readRecordHeads,
} from './container.ts';
import { ProtocolError } from '../base/errors.ts';

/** One whole block; its buffers are views into what was read. */
export interface Block {
  readonly head: BlockHead;
  readonly records: readonly RecordHead[];
  /** Block head and record heads. */
  readonly heads: Buffer;
  /** Salts and payloads. */
  readonly stored: Buffer;
}

/** One record as consumers see it. */
export interface TrailRecord {
  readonly ordinal: number;
  readonly kind: number;
  readonly direction: number;
  readonly fate: number;
  readonly code: number;
  readonly us: number;
  readonly payload: Buffer;
}

const MAGIC_BYTES = Buffer.from('SALB');

export class BlockDecoder {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Of the block that has come in part. */
  #head: BlockHead | undefined;
  #records: readonly RecordHead[] | undefined;

  /** Bytes that belong to no whole block yet. */
  get buffered(): number {
    return this.#bytes.length - this.#at;
  }

  /** Adds bytes; the decoder keeps views into them, so they must not change. */
  push(bytes: Buffer): void {
    const rest = this.#bytes.subarray(this.#at);
    this.#bytes = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    this.#at = 0;
    // Views into the old buffer would keep it alive; heads are cheap to read again.
    this.#records = undefined;
  }

  /** The next whole block, or undefined until more is pushed. Call until it is undefined, then push. */
  next(): Block | undefined {
    const bytes = this.#bytes.subarray(this.#at);
    if (bytes.length < BLOCK_HEAD) {
      const known = Math.min(bytes.length, MAGIC_BYTES.length);
      if (!bytes.subarray(0, known).equals(MAGIC_BYTES.subarray(0, known))) {
        throw new ProtocolError('no block here: magic is wrong');
      }
      return undefined;
    }
    this.#head ??= readBlockHead(bytes);
    const head = this.#head;
    const end = headsLength(head);
    if (bytes.length < end) return undefined;
    this.#records ??= readRecordHeads(head, bytes);
    if (bytes.length < head.length) return undefined;
    const block = {
      head,
      records: this.#records,
      heads: bytes.subarray(0, end),
      stored: bytes.subarray(end, head.length),
    };
    this.#at += head.length;
    this.#head = undefined;
    this.#records = undefined;
    return block;
  }
}

/** The records of a block, in order. */
export function* recordsOf(block: Block): Generator<TrailRecord> {
  let at = 0;
  let ordinal = block.head.firstOrdinal;
  for (const { kind, direction, fate, code, us, length } of block.records) {
    const payload = block.stored.subarray(at + SALT, at + SALT + length);
    yield { ordinal, kind, direction, fate, code, us, payload };
    ordinal++;
    at += SALT + length;
  }
}

/** The salts of a block's records, each with its payload: what a commitment is the digest of. */
export function saltedOf(block: Block): Buffer[] {
  const salted: Buffer[] = [];
  let at = 0;
  for (const { length } of block.records.slice(0, MAX_RECORDS)) {
    salted.push(block.stored.subarray(at, at + SALT + length));
    at += SALT + length;
  }
  return salted;
}
