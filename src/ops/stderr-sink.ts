/**
 * Lines to stderr without ever waiting for it: written in the background, one write at a time, what
 * comes meanwhile together in the next. A log that cannot be written (its disk is full, its reader
 * stalls or is gone) must neither hold nor end a gate, so above a limit lines are dropped and their
 * number is told when there is room again.
 */
import { write, writeSync } from 'node:fs';

const STDERR = 2;
const MAX_UNWRITTEN = 4 * 1024 * 1024;
/** A full pipe that does not block is tried again after this time. */
const RETRY_MS = 20;
/** How often a full pipe is tried at exit: altogether a second. */
const EXIT_TRIES = 50;

/** Where the log writes when nobody says otherwise. */
export class StderrSink {
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #busy = false;
  /** What a retry has still to write. */
  #rest: Buffer | undefined;

  constructor() {
    process.once('exit', () => this.#writeRest());
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > MAX_UNWRITTEN) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    if (!this.#busy) this.#next();
  }

  #next(): void {
    const chunk = this.#take();
    this.#busy = chunk !== undefined;
    if (chunk) this.#send(chunk);
  }

  /** All that waits, as one piece. */
  #take(): Buffer | undefined {
    if (this.#waiting.length === 0) return undefined;
    if (this.#dropped > 0) {
      this.#waiting.unshift(
        `${JSON.stringify({ level: 'warn', left_out: this.#dropped, message: 'log overflowed' })}\n`,
      );
      this.#dropped = 0;
    }
    const chunk = Buffer.from(this.#waiting.join(''));
    this.#waiting = [];
    this.#waitingBytes = 0;
    return chunk;
  }

  #send(chunk: Buffer): void {
    write(STDERR, chunk, 0, chunk.length, null, (error, written) => {
      const rest = error ? chunk : chunk.subarray(written);
      if (rest.length > 0 && isFull(error)) {
        this.#rest = rest;
        setTimeout(() => {
          this.#rest = undefined;
          this.#send(rest);
        }, RETRY_MS).unref();
      } else if (rest.length > 0 && !error) {
        this.#send(rest);
      } else {
        // Written, or never to be written: a piece that failed is given up.
        this.#next();
      }
    });
  }

  /** At exit nothing asynchronous runs any more; what is left is written here, within a second. */
  #writeRest(): void {
    for (let chunk = this.#rest ?? this.#take(); chunk; chunk = this.#take()) {
      this.#rest = undefined;
      for (let tries = 0; chunk.length > 0 && tries < EXIT_TRIES;) {
        try {
          chunk = chunk.subarray(writeSync(STDERR, chunk));
        } catch (error) {
          if (!isFull(error)) return;
          tries++;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
        }
      }
    }
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}
