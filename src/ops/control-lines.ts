/**
 * JSON lines on the control socket: cut from chunks of any size, with a bound on the length of a line, and written with
 * a bound on the time that the other side may take. It knows nothing of what the lines say.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';

import { withDeadline } from '../base/async.ts';
import { AppError, ProtocolError } from '../base/errors.ts';

/** A longer line ends the connection. */
export const MAX_LINE = 4 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Cuts a stream of bytes into lines. */
export class LineCutter {
  readonly #max: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(max = MAX_LINE) {
    this.#max = max;
  }

  /** The lines that are whole now, without their ends. */
  *push(chunk: Buffer): Generator<string> {
    let rest = chunk;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      this.#add(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      const line = Buffer.concat(this.#parts).toString('utf8');
      this.#parts = [];
      this.#length = 0;
      yield line;
    }
    if (rest.length > 0) this.#add(rest);
  }

  #add(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > this.#max) {
      throw new ProtocolError(`a line on the control socket has more than ${this.#max} bytes`);
    }
    this.#parts.push(part);
  }
}

/** Writes a value as one line; settles when the socket has room again, rejects when it has none for `ms`. */
export async function writeLine(socket: Socket, value: unknown, ms: number): Promise<void> {
  if (socket.destroyed) throw closed();
  const text = JSON.stringify(value);
  if (Buffer.byteLength(text) > MAX_LINE) {
    throw new AppError('usage', `more than ${MAX_LINE} bytes in one message; ask for less at once`);
  }
  if (socket.write(`${text}\n`)) return;
  const over = new AbortController();
  const { signal } = over;
  const room = once(socket, 'drain', { signal });
  const gone = once(socket, 'close', { signal }).then(() => Promise.reject(closed()));
  try {
    const hangs = 'the other side of the control socket hangs';
    const late = (): AppError => new AppError('gate-unreachable', hangs);
    await withDeadline(Promise.race([room, gone]), ms, late);
  } finally {
    // The one that did not happen is not waited for any more.
    over.abort();
    await Promise.allSettled([room, gone]);
  }
}

function closed(): AppError {
  return new AppError('gate-unreachable', 'the control socket was closed');
}
