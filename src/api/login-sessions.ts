/**
 * Sessions of those who logged in to the API, as koa-session wants to keep them. The cookie is 160 random bits and stands
 * nowhere: a session is found by its SHA-256. It ends after 20 minutes without use, at logout, and at once when its user
 * is disabled, removed or has another password. A gate that starts again knows them from the database.
 */
import { createHash, randomBytes } from 'node:crypto';
import { isEnabled } from '../access/enabled.ts';
import type { SnapshotHolder } from '../access/snapshot.ts';
import { z } from '../config/schema.ts';
import type { LoginSessionRows } from '../store/login-sessions.ts';
import type { UserRow } from '../store/rows.ts';
import type { Grant } from './permissions.ts';

/** Idle time after which a session ends. */
export const IDLE_MS = 20 * 60 * 1000;
/** Sessions in memory; one beyond is found in the database again. */
const MAX_SESSIONS = 10_000;
/** A use is written down when the last one that was is so long ago. */
const WRITE_AFTER_MS = 30_000;

const dataShape = z.looseObject({
  userId: z.string(),
  userName: z.string(),
  /** Changes with the password, and tells nothing of it. */
  passwordMark: z.string(),
  grants: z.array(z.strictObject({ object: z.string(), permission: z.enum(['read', 'write']) })),
  createdMs: z.number(),
});

/** What a session knows of its user. */
export interface SessionData {
  readonly userId: string;
  readonly userName: string;
  readonly passwordMark: string;
  readonly grants: readonly Grant[];
  readonly createdMs: number;
}

interface Known {
  readonly data: SessionData;
  readonly expiresMs: number;
  /** When its use was written down last. */
  readonly writtenMs: number;
}

export interface LoginSessionsOptions {
  readonly rows: Pick<LoginSessionRows, 'get' | 'put' | 'remove' | 'removeExpired'>;
  readonly snapshots: SnapshotHolder;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class LoginSessions {
  readonly #options: LoginSessionsOptions;
  readonly #known = new Map<string, Known>();
  /** Names of sessions that were ended, and when: a request that began before must not bring one back. */
  readonly #ended = new Map<string, number>();

  constructor(options: LoginSessionsOptions) {
    this.#options = options;
  }

  /** A new cookie. */
  readonly genid = (): string => randomBytes(20).toString('hex');

  /** The session of a cookie, if it is alive; not thereby used. */
  async get(cookie: string): Promise<object | undefined> {
    const name = digestOf(cookie);
    const known = this.#known.get(name) ?? (await this.#load(name));
    if (!known || this.#ended.has(name)) return undefined;
    if (this.#isAlive(known)) return { ...known.data };
    await this.destroy(cookie);
    return undefined;
  }

  /** Keeps a session, or notes its use. */
  async set(cookie: string, value: unknown): Promise<void> {
    const name = digestOf(cookie);
    const parsed = dataShape.safeParse(value);
    if (!parsed.success || this.#ended.has(name)) return;
    const { userId, userName, passwordMark, grants, createdMs } = parsed.data;
    const now = this.#options.now();
    const data = { userId, userName, passwordMark, grants, createdMs };
    const expiresMs = now + IDLE_MS;
    const writtenMs = this.#known.get(name)?.writtenMs ?? 0;
    const isDue = now - writtenMs >= WRITE_AFTER_MS;
    // Taken out and put in again, so that the first in the map is the one not seen for longest.
    if (!this.#known.delete(name)) this.#makeRoom();
    this.#known.set(name, { data, expiresMs, writtenMs: isDue ? now : writtenMs });
    if (!isDue) return;
    await this.#options.rows.put({
      digest: name,
      userId,
      data: JSON.stringify(data),
      expiresAt: expiresMs * 1000,
      createdAt: createdMs * 1000,
    });
  }

  async destroy(cookie: string): Promise<void> {
    const name = digestOf(cookie);
    this.#ended.set(name, this.#options.now());
    this.#known.delete(name);
    await this.#options.rows.remove(name);
  }

  /** What a login puts into a new session. */
  dataOf(user: UserRow, grants: readonly Grant[]): SessionData {
    return {
      userId: user.id,
      userName: user.name,
      passwordMark: markOf(user),
      grants,
      createdMs: this.#options.now(),
    };
  }

  /** Whether the session of this name may still be used, and until when (milliseconds since 1970). */
  aliveUntil(name: string): number | undefined {
    const known = this.#known.get(name);
    return known && this.#isAlive(known) ? known.expiresMs : undefined;
  }

  /** Forgets what has ended. */
  async sweep(): Promise<void> {
    for (const [name, known] of this.#known) if (!this.#isAlive(known)) this.#known.delete(name);
    const now = this.#options.now();
    // Every request is shorter than a session's idle time.
    for (const [name, ms] of this.#ended) if (ms < now - IDLE_MS) this.#ended.delete(name);
    await this.#options.rows.removeExpired(now * 1000);
  }

  /** Whoever logs in over and over pushes out who was not seen for longest, and nobody fills the memory. */
  #makeRoom(): void {
    if (this.#known.size < MAX_SESSIONS) return;
    for (const [oldest] of this.#known) {
      this.#known.delete(oldest);
      return;
    }
  }

  async #load(name: string): Promise<Known | undefined> {
    const row = await this.#options.rows.get(name);
    if (!row) return undefined;
    const parsed = dataShape.safeParse(JSON.parse(row.data));
    if (!parsed.success) return undefined;
    const known = { data: parsed.data, expiresMs: row.expiresAt / 1000, writtenMs: 0 };
    if (this.#isAlive(known) && !this.#ended.has(name)) this.#known.set(name, known);
    return known;
  }

  #isAlive({ data, expiresMs }: Known): boolean {
    if (!(expiresMs > this.#options.now())) return false;
    const user = this.#options.snapshots.current.user(data.userName);
    const isHis = user?.id === data.userId && markOf(user) === data.passwordMark;
    return isHis && isEnabled(user, this.#options.now() * 1000);
  }
}

/** The name of a session: what the cookie's holder is known by inside. */
export function digestOf(cookie: string): string {
  return createHash('sha256').update(cookie).digest('hex');
}

function markOf({ passwordHash }: UserRow): string {
  return createHash('sha256')
    .update(passwordHash ?? '')
    .digest('base64url')
    .slice(0, 16);
}
