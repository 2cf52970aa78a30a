/** Waiting for what announces itself in no event: a row, a file's size, a process that has gone. */
import { setTimeout as delay } from 'node:timers/promises';

export interface EventuallyOptions {
  /** Fails after this long; 20 s by default. */
  readonly ms?: number;
  readonly everyMs?: number;
}

/** Asks until the answer is neither undefined nor false, and returns it. */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  { ms = 60_000, everyMs = 10 }: EventuallyOptions = {},
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) {
      return answer as Exclude<T, undefined | false>;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await delay(everyMs);
  }
}
