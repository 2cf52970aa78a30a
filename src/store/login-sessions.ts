/**
 * Rows of sessions of the API, by the SHA-256 of their cookie. They are no configuration: they change without a commit
 * and are gone when they have ended.
 */
import { big, entity, objectId, primary, text } from './columns.ts';
import type { Database } from './database.ts';
import { LessThan } from './orm.ts';

export interface LoginSessionRecord {
  /** 64 hexadecimal digits. */
  digest: string;
  userId: string;
  /** JSON, its owner's to read. */
  data: string;
  /** Microseconds since 1970. */
  createdAt: number;
  expiresAt: number;
}

export const LoginSessionEntity = entity<LoginSessionRecord>({
  name: 'LoginSession',
  tableName: 'login_sessions',
  columns: {
    digest: { type: 'varchar', length: 64, ...primary },
    userId: objectId,
    data: text,
    createdAt: big,
    expiresAt: big,
  },
  indices: [{ name: 'login_sessions_expires', columns: ['expiresAt'] }],
});

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

  async removeOfUser(userId: string): Promise<void> {
    await this.#db.transaction((manager) => manager.delete(LoginSessionEntity, { userId }));
  }

  /** Removes those that ended before `now`, in microseconds since 1970. */
  async removeExpired(now: number): Promise<void> {
    await this.#db.transaction((manager) =>
      manager.delete(LoginSessionEntity, { expiresAt: LessThan(now) }),
    );
  }
}
