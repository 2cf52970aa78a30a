/**
 * How long the long loops are, and from which seed. `SALLYPORT_SCALE` is a factor of the full count: 1 or `full` in
 * `make chaos`, a small one by default so that `make test` stays short. `SALLYPORT_SEED` repeats a run.
 */
import { randomInt } from 'node:crypto';

const DEFAULT_SCALE = 0.05;

/** The factor in use, from 0 to 1. */
export function scale(): number {
  const text = process.env['SALLYPORT_SCALE'];
  if (text === undefined || text === '') return DEFAULT_SCALE;
  const value = text === 'full' ? 1 : Number(text);
  if (!(value > 0 && value <= 1)) throw new Error(`SALLYPORT_SCALE=${text}: want full or (0, 1]`);
  return value;
}

/** `full` rounds in full, fewer in `make test`, never less than `least`. */
export function rounds(full: number, least = 1): number {
  return Math.max(Math.min(least, full), Math.round(full * scale()));
}

/** Numbers that repeat from a seed. */
export interface Random {
  readonly seed: number;
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number;
  bytes(length: number): Buffer;
  pick<T>(items: readonly [T, ...T[]]): T;
}

/** A small generator (mulberry32); prints its seed with `name`, so that a failure can be repeated. */
export function seeded(name: string): Random {
  const given = process.env['SALLYPORT_SEED'];
  const seed = given === undefined ? randomInt(2 ** 32) : Number(given) >>> 0;
  console.log(`${name}: SALLYPORT_SEED=${seed}`);
  return randomFrom(seed);
}

/** The same generator without a word. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  const int = (low: number, high: number): number => low + (next() % (high - low + 1));
  return {
    seed,
    int,
    bytes: (length) => {
      const bytes = Buffer.alloc(length);
      for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(next(), i);
      for (let i = length & ~3; i < length; i++) bytes[i] = next() & 0xff;
      return bytes;
    },
    pick: (items) => items[int(0, items.length - 1)] ?? items[0],
  };
}
