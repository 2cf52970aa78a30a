/**
 * A leg that runs inside a channel which the gate ends: what the user writes into the channel is read as from a socket,
 * and what is written to it leaves in the channel. So a transport does not know that it stands in another one.
 */
import { Writable } from 'node:stream';

import { KINDS } from '../recording/container.ts';
import type { Endpoint } from './endpoint.ts';
import { HEADROOM } from './leg-socket.ts';
import type { Leg, LegStream, ReadBuffer } from './leg-socket.ts';

type Done = (error?: Error | null) => void;

export class ChannelLeg implements Leg {
  readonly socket: ChannelStream;
  readonly shared: ReadBuffer;
  onChunk: (chunk: Buffer) => void = () => undefined;

  /** Confirms the channel. `shared` must not be the buffer that the outer leg is read into, for that is being read. */
  constructor(endpoint: Endpoint, shared: ReadBuffer) {
    this.shared = shared;
    const stream = new ChannelStream(endpoint, (data) => {
      // A packet has 35,000 bytes at most, so it fits.
      data.copy(shared.bytes, HEADROOM);
      this.onChunk(shared.bytes.subarray(HEADROOM, HEADROOM + data.length));
    });
    this.socket = stream;
    endpoint.confirm({
      onData: (data) => stream.take(data),
      onWritable: () => stream.pump(),
      onRequest: (request, payload) => stream.refuse(request.wantReply, payload),
      // As a socket that is not kept half open.
      onEof: () => void stream.destroy(),
      onOver: () => void stream.destroy(),
    });
  }
}

export class ChannelStream extends Writable implements LegStream {
  readonly #endpoint: Endpoint;
  readonly #deliver: (data: Buffer) => void;
  #waiting: { readonly chunks: Buffer[]; at: number; readonly done: Done } | undefined;
  #paused = false;
  #delivering = false;
  /** What came while nothing is read: at most the window that was granted. */
  #unread: Buffer[] = [];

  constructor(endpoint: Endpoint, deliver: (data: Buffer) => void) {
    super();
    this.#endpoint = endpoint;
    this.#deliver = deliver;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#waiting = { chunks: [chunk], at: 0, done };
    this.pump();
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: Done): void {
    this.#waiting = { chunks: chunks.map(({ chunk }) => chunk), at: 0, done };
    this.pump();
  }

  override _final(done: Done): void {
    this.#endpoint.close();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#unread = [];
    this.#endpoint.close();
    waiting?.done(error ?? new Error('the channel is closed'));
    done(error);
  }

  /** Writes what waits for room. */
  pump(): void {
    for (let waiting = this.#waiting; waiting; waiting = this.#waiting) {
      const [chunk] = waiting.chunks;
      if (!chunk) {
        this.#waiting = undefined;
        waiting.done();
        continue;
      }
      waiting.at += this.#endpoint.write(chunk.subarray(waiting.at));
      if (waiting.at < chunk.length) return;
      waiting.chunks.shift();
      waiting.at = 0;
    }
  }

  /** Takes what the user has sent; a view. */
  take(data: Buffer): void {
    if (this.destroyed || this.writableEnded) return;
    if (this.#paused || this.#delivering || this.#unread.length > 0) {
      this.#unread.push(Buffer.from(data));
    } else {
      this.#give(data);
    }
  }

  /** Requests have no meaning on a channel that carries a leg. */
  refuse(wantReply: boolean, payload: Buffer): void {
    this.#endpoint.withhold(KINDS['forward-request'], payload);
    if (wantReply) this.#endpoint.reply(false);
  }

  #give(data: Buffer): void {
    // What is given may pause and resume, and must not be overwritten meanwhile.
    this.#delivering = true;
    try {
      this.#deliver(data);
    } finally {
      this.#delivering = false;
    }
    this.#endpoint.consumed(data.length);
  }

  get #reads(): boolean {
    return !this.#paused;
  }

  pause(): this {
    this.#paused = true;
    return this;
  }

  resume(): this {
    this.#paused = false;
    if (this.#delivering) return this;
    while (this.#reads && !this.destroyed) {
      const data = this.#unread.shift();
      if (!data) break;
      this.#give(data);
    }
    return this;
  }
}
