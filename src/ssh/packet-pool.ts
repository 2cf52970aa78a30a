/**
 * Where outgoing packets are built. Packets are carved one behind the other from slabs, so that the packets of one tick
 * lie side by side and leave in one write, and a slab is used again once all that was carved from it is written: memory
 * that is allocated per packet costs more in collecting than all ciphers together. Padding comes from a pool of random
 * bytes instead of a system call per packet.
 */
import { randomFillSync } from 'node:crypto';

import type { PacketShape } from '../wire/ssh2.ts';

const SLAB_BYTES = 256 * 1024;
const KEPT_SLABS = 32;
const PADDING_BYTES = 16 * 1024;
const MAX_PADDING = 32;

interface Slab {
  readonly bytes: Buffer;
  /** Carved from it, and of that written. A slab whose packets were dropped is left to the collector. */
  used: number;
  written: number;
}

export class PacketPool {
  readonly #slabs = new WeakMap<ArrayBufferLike, Slab>();
  readonly #free: Slab[] = [];
  #slab: Slab;
  readonly #padding = Buffer.allocUnsafeSlow(PADDING_BYTES);
  #paddingNext = PADDING_BYTES;

  constructor() {
    this.#slab = this.#makeSlab();
  }

  /**
   * An unencrypted packet (RFC 4253 section 6: uint32 length, byte padding length, payload, padding, room for the tag)
   * with everything but the payload filled in; the payload begins at 5. `apart`: in memory of its own.
   */
  packet(payloadLength: number, shape: PacketShape, apart: boolean): Buffer {
    const { block, uncounted, trailer } = shape;
    const bare = 5 + payloadLength;
    let padding = block - ((bare - uncounted) % block);
    if (padding < 4) padding += block;
    const end = bare + padding;
    const size = end + trailer;
    const packet = apart ? Buffer.allocUnsafeSlow(size) : this.#carve(size);
    packet.writeUInt32BE(end - 4, 0);
    packet[4] = padding;
    if (this.#paddingNext + MAX_PADDING > PADDING_BYTES) {
      randomFillSync(this.#padding);
      this.#paddingNext = 0;
    }
    const from = this.#paddingNext;
    // A dozen bytes: a loop is cheaper than a call that copies.
    for (let i = 0; i < padding; i++) packet[bare + i] = this.#padding[from + i] ?? 0;
    this.#paddingNext += padding;
    return packet;
  }

  /** The kernel has taken so many bytes of what was carved from this buffer. */
  written(buffer: ArrayBufferLike, bytes: number): void {
    const slab = this.#slabs.get(buffer);
    if (!slab) return;
    slab.written += bytes;
    if (slab !== this.#slab) this.#recycle(slab);
  }

  #recycle(slab: Slab): void {
    if (slab.written !== slab.used || this.#free.length >= KEPT_SLABS) return;
    slab.used = 0;
    slab.written = 0;
    this.#free.push(slab);
  }

  #carve(size: number): Buffer {
    if (this.#slab.used + size > SLAB_BYTES) {
      const full = this.#slab;
      this.#slab = this.#free.pop() ?? this.#makeSlab();
      this.#recycle(full);
    }
    const start = this.#slab.used;
    this.#slab.used += size;
    return this.#slab.bytes.subarray(start, start + size);
  }

  #makeSlab(): Slab {
    const bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
    const slab = { bytes, used: 0, written: 0 };
    this.#slabs.set(bytes.buffer, slab);
    return slab;
  }
}
