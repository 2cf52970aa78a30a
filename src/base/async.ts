/**
 * The few shapes of waiting that the product uses. Each has a bound and an owner: nothing here can grow without limit
 * or wait for ever.
 */
import { AppError } from './errors.ts';

/** Runs tasks with at most `width` at a time and at most `depth` waiting; one more is refused with `busy`. */
export class BoundedQueue {
  readonly #width: number;
  readonly #depth: number;
  readonly #name: string;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(name: string, width: number, depth: number) {
    this.#name = name;
    this.#width = width;
    this.#depth = depth;
  }

  /** How many tasks wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#width) {
      if (this.#waiting.length >= this.#depth) {
        throw new AppError('busy', `too many ${this.#name} at once, try again in a moment`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running++;
    }
    try {
      return await task();
    } finally {
      // The place is handed over rather than freed, so that nobody can step in between.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}

/** One at a time, in the order of asking. */
export class Mutex extends BoundedQueue {
  constructor(name: string) {
    super(name, 1, Number.POSITIVE_INFINITY);
  }
}

/** Settles with the promise, or rejects with the error made by `late` after `ms` milliseconds. */
export async function withDeadline<T>(
  promise: Promise<T>,
  ms: number,
  late: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
