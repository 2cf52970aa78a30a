/**
 * The way out of one transport: builds packets, has them encrypted where they lie, and writes what one tick has built
 * in as few writes as it can, since packets carved one behind the other leave as one piece.
 */
import { packetShape } from '../wire/ssh2.ts';
import type { PacketShape, Protocol } from '../wire/ssh2.ts';
import type { LegStream } from './leg-socket.ts';
import type { PacketPool } from './packet-pool.ts';

/** A message on its way out: its payload, inside the packet that it will leave in where that is known already. */
export interface Outgoing {
  readonly payload: Buffer;
  readonly packet: Buffer | undefined;
  /** What the packet is shaped for. */
  readonly shape: PacketShape | undefined;
}

const SMALL = 8 * 1024;

export class PacketSender {
  readonly #socket: LegStream;
  readonly #pool: PacketPool;
  #shape: PacketShape | undefined;
  #out: Buffer[] = [];
  /** Packets that lie side by side in one buffer. */
  #run: ArrayBufferLike | undefined;
  #runStart = 0;
  #runEnd = 0;
  #flushing = false;
  /** Bytes sent since this was last set to 0. */
  bytes = 0;

  constructor(socket: LegStream, pool: PacketPool) {
    this.#socket = socket;
    this.#pool = pool;
  }

  /** New keys are in use: packets are shaped by these algorithms. */
  use(cipher: string, mac: string): void {
    this.#shape = packetShape(cipher, mac);
  }

  /** Copies a payload to where it will be encrypted, with its recipient channel (at 1) replaced unless that is below 0. */
  prepare(payload: Buffer, recipient: number, waits: boolean): Outgoing {
    const shape = this.#shape;
    if (!shape) return copyOf(payload, recipient);
    const packet = this.#pool.packet(payload.length, shape, this.#isApart(payload.length, waits));
    payload.copy(packet, 5);
    if (recipient >= 0) packet.writeUInt32BE(recipient, 6);
    return { payload: packet.subarray(5, 5 + payload.length), packet, shape };
  }

  /** A small packet that has to wait must not keep a whole slab of everybody's packets. */
  #isApart(length: number, waits: boolean): boolean {
    return length < SMALL && (waits || this.#socket.writableLength > 0);
  }

  /** Encrypts and sends what was prepared, here or before there was a leg to prepare it for. */
  send(protocol: Protocol, message: Outgoing): void {
    const cipher = protocol._cipher;
    if (message.packet && message.shape === this.#shape) {
      cipher.encrypt(message.packet);
      return;
    }
    const { payload } = message;
    const packet = this.#shape
      ? this.#pool.packet(payload.length, this.#shape, this.#isApart(payload.length, false))
      : cipher.allocPacket(payload.length);
    payload.copy(packet, 5);
    cipher.encrypt(packet);
  }

  /** ssh2's way out: takes an encrypted packet, or the ident line. */
  readonly write = (data: Buffer | string): void => {
    const packet = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    const { buffer, byteOffset, length } = packet;
    this.bytes += length;
    if (buffer === this.#run && byteOffset === this.#runEnd) {
      this.#runEnd += length;
    } else {
      this.#endRun();
      this.#run = buffer;
      this.#runStart = byteOffset;
      this.#runEnd = byteOffset + length;
    }
    if (!this.#flushing) {
      this.#flushing = true;
      process.nextTick(this.flush);
    }
  };

  /** What lies side by side becomes one piece. */
  #endRun(): void {
    if (!this.#run) return;
    this.#out.push(Buffer.from(this.#run, this.#runStart, this.#runEnd - this.#runStart));
    this.#run = undefined;
  }

  /** Writes what this tick has built. */
  readonly flush = (): void => {
    this.#flushing = false;
    this.#endRun();
    const out = this.#out;
    if (out.length === 0) return;
    this.#out = [];
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    if (out.length > 1) socket.cork();
    for (const data of out) {
      socket.write(data, () => this.#pool.written(data.buffer, data.length));
    }
    if (out.length > 1) socket.uncork();
  };
}

/** A message that has to wait for its leg: on its own, since what it came in will be overwritten. */
export function copyOf(payload: Buffer, recipient: number): Outgoing {
  const copy = Buffer.from(payload);
  if (recipient >= 0) copy.writeUInt32BE(recipient, 1);
  return { payload: copy, packet: undefined, shape: undefined };
}
