/**
 * Rows of sessions of the API, by the SHA-256 of their cookie. They are no configuration: they change without a commit
 * and are gone when they have ended.
 */
import type { Database } from './database.ts';
import { LoginSessionEntity } from './entities.ts';
import type { LoginSessionRecord } from './entities.ts';
import { LessThan } from './orm.ts';

export class LoginSessionRows {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async get(digest: string): Promise<Readonly<LoginSessionRecord> | undefined> {
    const row = await this.#db.read((manager) => manager.findOneBy(LoginSessionEntity, { digest }));
    return row ?? undefined;
  }

  /** Writes a session, new or known. */
  async put(row: Readonly<LoginSessionRecord>): Promise<void> {
    await this.#db.transaction((manager) => manager.upsert(LoginSessionEntity, row, ['digest']));
  }

  async remove(digest: string): Promise<void> {
    await this.#db.transaction((manager) => manager.delete(LoginSessionEntity, { digest }));
  }

  /** Removes those that ended before `now`, in microseconds since 1970. */
  async removeExpired(now: number): Promise<void> {
    await this.#db.transaction((manager) =>
      manager.delete(LoginSessionEntity, { expiresAt: LessThan(now) }),
    );
  }
}
