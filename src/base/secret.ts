/**
 * A value that must never be printed: passwords, private keys, the master key. Whatever formats it (a log line, JSON,
 * the debugger, a template) gets `[secret]`; only `reveal()` gives the bytes, so that uses are found by that name.
 */
import { timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

const MASK = '[secret]';

export class Secret {
  readonly #bytes: Buffer;

  constructor(value: Buffer | string) {
    this.#bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  }

  /** The bytes themselves, not a copy: the caller must neither keep nor change them. */
  reveal(): Buffer {
    return this.#bytes;
  }

  /** Compares in a time that depends on the lengths alone. */
  equals(other: Secret): boolean {
    const mine = this.#bytes;
    const theirs = other.#bytes;
    return mine.length === theirs.length && timingSafeEqual(mine, theirs);
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}
