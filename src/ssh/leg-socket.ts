/**
 * Sockets that read into one buffer shared by all of them, instead of a new one for each read: a chunk is good only
 * until its handler returns, and whoever keeps a part of it copies that part. Accepted sockets cannot be told so when
 * they are made (Node has the option for outgoing ones alone), so their handle is moved to a socket that was.
 */
import { Socket, connect } from 'node:net';
import type { Writable } from 'node:stream';

import { ProtocolError } from '../base/errors.ts';

const READ_BYTES = 256 * 1024;
/** Room before what is read, for the begin of a packet that came with the chunk before. */
export const HEADROOM = 40 * 1024;
const KEPT_BUFFERS = 64;
const SMALL = 1024;

/** The one buffer that is read into; a gate has one. */
export class ReadBuffer {
  /** What is read stands behind `HEADROOM`. */
  readonly bytes = Buffer.allocUnsafeSlow(HEADROOM + READ_BYTES);
  readonly #spare: Buffer[] = [];

  /** A buffer for the begin of a packet; to be given back. */
  take(length: number): Buffer {
    if (length > HEADROOM) throw new ProtocolError('bad packet length');
    if (length <= SMALL) return Buffer.allocUnsafe(length);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(HEADROOM);
  }

  give(buffer: Buffer): void {
    if (buffer.length === HEADROOM && this.#spare.length < KEPT_BUFFERS) this.#spare.push(buffer);
  }
}

/** What a leg's bytes go out by: written like any stream, and stopped from reading like a socket. */
export interface LegStream extends Writable {
  pause(): this;
  resume(): this;
}

/** What carries a leg: a socket, or a channel that the gate ends (`channel-leg.ts`). */
export interface Leg {
  readonly socket: LegStream;
  /** Chunks lie in it, behind its headroom. */
  readonly shared: ReadBuffer;
  onChunk: (chunk: Buffer) => void;
}

/** A socket and who is told of what it reads. */
export class LegSocket implements Leg {
  readonly socket: Socket;
  /** Called with a view of the shared buffer. */
  onChunk: (chunk: Buffer) => void = () => undefined;

  readonly shared: ReadBuffer;

  private constructor(make: (onread: OnRead) => Socket, shared: ReadBuffer) {
    this.shared = shared;
    this.socket = make({
      buffer: shared.bytes.subarray(HEADROOM),
      callback: (count, bytes) => {
        this.onChunk(bytes.subarray(0, count));
        return true;
      },
    });
    this.socket.setNoDelay(true);
  }

  static dial(host: string, port: number, shared: ReadBuffer): LegSocket {
    return new LegSocket((onread) => connect({ host, port, noDelay: true, onread }), shared);
  }

  /** Takes over a socket that was accepted and not read from (`pauseOnConnect`). */
  static adopt(accepted: Socket, shared: ReadBuffer): LegSocket | undefined {
    const holder = accepted as unknown as { _handle: unknown };
    const handle = holder._handle;
    holder._handle = null;
    accepted.on('error', () => undefined);
    accepted.destroy();
    // Gone before it was accepted.
    if (!handle) return undefined;
    return new LegSocket((onread) => {
      return new Socket({ handle, onread } as unknown as ConstructorParameters<typeof Socket>[0]);
    }, shared);
  }
}

interface OnRead {
  readonly buffer: Buffer;
  readonly callback: (count: number, bytes: Buffer) => boolean;
}
