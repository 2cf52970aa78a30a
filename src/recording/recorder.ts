/**
 * The tap: what passes between the legs is put in its container first and leaves for its leg only when the write has
 * returned (P1). Each leg has one queue, in which no message overtakes an earlier one of the same leg, whichever
 * container each is in: DATA before its OPEN_CONFIRMATION would be fatal at the peer.
 */
import type { ContainerWriter } from './writer.ts';

/** The way out to one leg, for messages of its own making. */
export interface LegOutput<M> {
  /** Whether a message may leave now; `drain` is called when that turns true. */
  readonly writable: boolean;
  deliver(message: M): void;
}

interface Waiting<M> {
  readonly writer: ContainerWriter | undefined;
  readonly ordinal: number;
  readonly message: M;
  readonly bytes: number;
}

const COMPACT_AT = 1024;

export class LegQueue<M> {
  #output: LegOutput<M> | undefined;
  #waiting: (Waiting<M> | undefined)[] = [];
  #head = 0;
  #bytes = 0;
  #held = true;
  #draining = false;

  /** Payload bytes that have not left yet. */
  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#waiting.length - this.#head;
  }

  /** Says where the leg is; nothing leaves before `release`. */
  attach(output: LegOutput<M>): void {
    this.#output = output;
  }

  /** From now on messages leave. */
  release(): void {
    this.#held = false;
    this.drain();
  }

  /** Forgets what is waiting: the leg is gone. */
  discard(): void {
    this.#waiting = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#held = true;
  }

  /**
   * Queues a message behind the record that it is in (`ordinal` of `writer`), or, without a writer, behind those
   * before it alone: transport housekeeping of the gate that no trail is about.
   */
  push(writer: ContainerWriter | undefined, ordinal: number, message: M, bytes: number): void {
    this.#bytes += bytes;
    this.#waiting.push({ writer, ordinal, message, bytes });
    if (!writer) this.drain();
  }

  /** Delivers from the head what is recorded. */
  drain(): void {
    const output = this.#output;
    if (this.#held || !output || this.#draining) return;
    this.#draining = true;
    const waiting = this.#waiting;
    let head = this.#head;
    while (head < waiting.length && output.writable) {
      const next = waiting[head];
      if (!next || (next.writer && next.ordinal >= next.writer.written)) break;
      // A delivered message is let go at once, and its memory with it.
      waiting[head++] = undefined;
      this.#bytes -= next.bytes;
      output.deliver(next.message);
      // Delivering may have ended the leg, and with it this queue's content.
      if (this.#waiting !== waiting) {
        this.#draining = false;
        return;
      }
    }
    this.#head = head;
    if (head === waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    } else if (head >= COMPACT_AT) {
      waiting.splice(0, head);
      this.#head = 0;
    }
    this.#draining = false;
  }
}
