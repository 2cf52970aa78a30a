/**
 * What all writers of a process share: their turns, the buffers in which blocks are built, random salts, and the
 * watch over writes that do not return. libuv has one pool of threads for files, database and passwords, so at most
 * `width` trail writes are in it at a time; the writers that wait batch their records meanwhile.
 */
import { randomFillSync } from 'node:crypto';
import { MAX_BLOCK, SALT } from './container.ts';

const SALT_POOL = 64 * 1024;
/** Syncs at a time, beside the writes. */
const SYNCS = 2;
const SWEEP_MS = 1_000;

/** Somebody who takes turns at the gate. */
export interface GateUser {
  /** It has a turn now, and owes one call of `leave`. */
  granted(): void;
  /** It has had work under way since `workingSince`, which is longer than its deadline. */
  overdue(): void;
  /** When the oldest unfinished work began, on the gate's clock. */
  readonly workingSince: number;
}

/** A buffer in which a block is built; `view` is over the same bytes. */
export interface Scratch {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export interface WriteGateOptions {
  /** Milliseconds, monotonic. */
  readonly nowMs?: () => number;
  /** Work that is not done after so many milliseconds is overdue. */
  readonly deadlineMs?: number;
}

export class WriteGate {
  readonly nowMs: () => number;
  readonly #deadlineMs: number;
  #free: number;
  #queue: GateUser[] = [];
  #queueHead = 0;
  #freeSyncs = SYNCS;
  readonly #syncQueue: (() => void)[] = [];
  readonly #scratches: Scratch[] = [];
  readonly #salts = Buffer.allocUnsafeSlow(SALT_POOL);
  #saltsUsed = SALT_POOL;
  readonly #working = new Set<GateUser>();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(width = 8, options: WriteGateOptions = {}) {
    this.#free = width;
    this.nowMs = options.nowMs ?? ((): number => performance.now());
    this.#deadlineMs = options.deadlineMs ?? 30_000;
  }

  /** Asks for a turn; turns are given in the order of asking. */
  enter(user: GateUser): void {
    if (this.#free > 0) {
      this.#free--;
      user.granted();
    } else {
      this.#queue.push(user);
    }
  }

  /** Gives the turn back. */
  leave(): void {
    const next = this.#queue[this.#queueHead];
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#queueHead++;
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    } else if (this.#queueHead >= 1_024) {
      this.#queue.splice(0, this.#queueHead);
      this.#queueHead = 0;
    }
    next.granted();
  }

  /** Runs `start` when a sync may begin; it owes one call of `leaveSync`. A sync takes long, so few are let in. */
  enterSync(start: () => void): void {
    if (this.#freeSyncs > 0) {
      this.#freeSyncs--;
      start();
    } else {
      this.#syncQueue.push(start);
    }
  }

  leaveSync(): void {
    const next = this.#syncQueue.shift();
    if (next === undefined) this.#freeSyncs++;
    else next();
  }

  /** Watches this user until `rest` is called. */
  work(user: GateUser): void {
    this.#working.add(user);
    if (this.#sweeper === undefined) {
      this.#sweeper = setInterval(() => this.sweep(), Math.min(SWEEP_MS, this.#deadlineMs));
      this.#sweeper.unref();
    }
  }

  rest(user: GateUser): void {
    this.#working.delete(user);
  }

  /** Tells those who are overdue; the interval ends when nobody works. */
  sweep(): void {
    if (this.#working.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
    const limit = this.nowMs() - this.#deadlineMs;
    for (const user of this.#working) if (user.workingSince <= limit) user.overdue();
  }

  takeScratch(): Scratch {
    const spare = this.#scratches.pop();
    if (spare !== undefined) return spare;
    const bytes = Buffer.allocUnsafeSlow(MAX_BLOCK);
    return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
  }

  giveScratch(scratch: Scratch): void {
    this.#scratches.push(scratch);
  }

  /** Writes a salt that was never used before at `at`. */
  salt(into: Buffer, at: number): void {
    if (this.#saltsUsed === SALT_POOL) {
      randomFillSync(this.#salts);
      this.#saltsUsed = 0;
    }
    this.#salts.copy(into, at, this.#saltsUsed, this.#saltsUsed + SALT);
    this.#saltsUsed += SALT;
  }
}
