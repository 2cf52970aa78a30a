/**
 * Passwords of users: argon2id, the one importer of argon2. Every check costs one hash, whether
 * there is a stored hash or not and whatever the password: absent, unreadable and impossible cases
 * are checked against a dummy hash and answered no. A few run at a time and a bounded number waits,
 * so that logins cannot starve recordings.
 */
import { argon2id, hash, needsRehash, verify } from 'argon2';
import { randomBytes } from 'node:crypto';

import { BoundedQueue } from '../base/async.ts';
import { AppError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Config } from '../config/config.ts';
import type { PasswordChecker } from './authn.ts';

/** A longer password never logs in; it is not worth more than this many bytes of hashing. */
export const MAX_PASSWORD = 1024;

/** The two calls of argon2 that are used, so that a test can count them. */
export interface Hasher {
  hash(password: Buffer): Promise<string>;
  verify(hash: string, password: Buffer): Promise<boolean>;
}

/** `$argon2id$v=19$m=65536,p=1,t=3$salt$digest`: memory in KiB, lanes and passes in any order. */
const STORED = /^\$argon2id\$v=19\$([mtp=\d,]{11,30})\$[\w+/]{11,86}\$[\w+/]{22,172}$/;
/** No stored hash may cost more than this: one that came from elsewhere could stop the machine. */
const MAX_MEMORY_KIB = 1024 * 1024;
const MAX_PASSES = 100;
const MAX_LANES = 16;

type Settings = Config['passwords'];

/** Hashes and checks passwords. */
export class Passwords implements PasswordChecker {
  readonly #settings: Settings;
  readonly #hasher: Hasher;
  readonly #queue: BoundedQueue;
  readonly #dummy: string;

  private constructor(settings: Settings, hasher: Hasher, dummy: string) {
    this.#settings = settings;
    this.#hasher = hasher;
    this.#queue = new BoundedQueue('password checks', settings.concurrent, settings.queue);
    this.#dummy = dummy;
  }

  /** Makes the dummy hash with the parameters of real ones, over a password that nobody knows. */
  static async create(
    settings: Settings,
    hasher: Hasher = argon2Hasher(settings),
  ): Promise<Passwords> {
    return new Passwords(settings, hasher, await hasher.hash(randomBytes(32)));
  }

  /** The text to store for a new password; refuses one that could never log in. */
  async hash(password: Secret): Promise<string> {
    const bytes = password.reveal();
    if (bytes.length === 0) throw new AppError('usage', 'a password must not be empty');
    if (bytes.length > MAX_PASSWORD) {
      throw new AppError('usage', `a password must not be longer than ${MAX_PASSWORD} bytes`);
    }
    return this.#queue.run(() => this.#hasher.hash(bytes));
  }

  /**
   * Whether it is the password; exactly one check in any case. Rejects with `busy` when too many
   * wait.
   */
  async verify(stored: string | null, password: Secret): Promise<boolean> {
    const bytes = password.reveal();
    const possible = bytes.length > 0 && bytes.length <= MAX_PASSWORD;
    const known = stored !== null && isUsable(stored) ? stored : undefined;
    const against = possible && known !== undefined ? known : this.#dummy;
    const right = await this.#queue.run(() =>
      this.#hasher.verify(against, bytes.subarray(0, MAX_PASSWORD)),
    );
    // The dummy is compared by identity too, so that no luck with it can ever count.
    return right && against === known;
  }

  /** Whether a stored hash was made with other parameters than today's. */
  needsRehash(stored: string): boolean {
    if (!isUsable(stored)) return true;
    const { memory_kib: memoryCost, passes: timeCost, lanes: parallelism } = this.#settings;
    return needsRehash(stored, { memoryCost, timeCost, parallelism });
  }
}

function isUsable(stored: string): boolean {
  const pairs = (STORED.exec(stored)?.[1] ?? '').split(',').map((pair) => pair.split('='));
  const values = new Map(pairs.map(([name = '', value]) => [name, Number(value)]));
  if (pairs.length !== 3 || values.size !== 3) return false;
  const within = (name: string, min: number, max: number): boolean => {
    const value = values.get(name);
    return value !== undefined && value >= min && value <= max;
  };
  return within('m', 8, MAX_MEMORY_KIB) && within('t', 1, MAX_PASSES) && within('p', 1, MAX_LANES);
}

function argon2Hasher(settings: Settings): Hasher {
  const options = {
    type: argon2id,
    memoryCost: settings.memory_kib,
    timeCost: settings.passes,
    parallelism: settings.lanes,
  } as const;
  return { hash: (password) => hash(password, options), verify };
}
