/**
 * Who has stopped reading from a leg's socket; it is read again when nobody has. A key exchange that the peer has begun
 * or answered is read whatever is paused: nothing but its messages can come until it is over, and as long as it lasts
 * nothing is sent either, so that two legs which wait for each other to send would wait for ever.
 */
import type { LegStream } from './leg-socket.ts';

/** `hold` until upstream is there, `backlog` while too much waits for the other leg. */
export const PAUSE = { hold: 1, backlog: 2 } as const;

export class ReadPause {
  readonly #socket: LegStream;
  #who = 0;
  #needed = false;

  constructor(socket: LegStream) {
    this.#socket = socket;
  }

  /** Whether somebody wants no more to be read. */
  get wanted(): boolean {
    return this.#who !== 0;
  }

  /** Whether nothing is read. */
  get inForce(): boolean {
    return this.#who !== 0 && !this.#needed;
  }

  pause(who: number): void {
    this.#set(this.#who | who, this.#needed);
  }

  /** Whether it is read again by that. */
  resume(who: number): boolean {
    return this.#set(this.#who & ~who, this.#needed);
  }

  /** Whether a key exchange has to be read to its end. */
  need(needed: boolean): void {
    this.#set(this.#who, needed);
  }

  #set(who: number, needed: boolean): boolean {
    const before = this.inForce;
    this.#who = who;
    this.#needed = needed;
    if (this.inForce === before) return false;
    if (before) this.#socket.resume();
    else this.#socket.pause();
    return before;
  }
}
