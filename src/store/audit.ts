/**
 * The audit log: one row per commit of the configuration, each bound to all before it.
 *
 *     digest(n) = SHA-256( digest(n-1) || json(n) )        digest(0) = 32 zero bytes
 *
 * digest(n-1) enters as its 32 raw bytes. json(n) is the UTF-8 text of the canonical JSON of one object with exactly
 * the keys author, diff, message, number, time: keys in order of their UTF-16 code units, no white space, strings and
 * numbers as JSON.stringify writes them, numbers integers below 2^53. `time` is microseconds UTC, `diff` the array of
 * changes (`inventory-diff.ts`), stored as that same text. The column `digest` holds digest(n) in hexadecimal.
 *
 * Rows are only ever added. The chain alone cannot show that its last rows are gone: whoever keeps heads elsewhere (the
 * ledger of each instance does) gives them to `verifyAudit`.
 */
import { createHash } from 'node:crypto';
import { AppError } from '../base/errors.ts';
import type { Database } from './database.ts';
import { CommitEntity } from './entities.ts';
import type { CommitRecord } from './entities.ts';
import type { EntityManager } from './orm.ts';

const START = '0'.repeat(64);
const PAGE = 500;

/** Where the chain stands: the number and digest of its last commit; number 0 before the first. */
export interface AuditHead {
  readonly number: number;
  readonly digest: string;
}

/** One commit without its place in the chain. */
export interface CommitText {
  readonly author: string;
  /** Microseconds UTC. */
  readonly time: number;
  readonly message: string;
  readonly diff: readonly unknown[];
}

export interface AuditCommit extends CommitText {
  readonly number: number;
  readonly digest: string;
}

export type AuditVerdict =
  | { readonly ok: true; readonly head: AuditHead }
  | { readonly ok: false; readonly number: number; readonly reason: string };

/** The one JSON text of a value; refuses what JSON cannot say exactly. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new AppError('internal', 'canonical JSON holds integers below 2^53 only');
  }
  if (typeof value !== 'object' || value === null) {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw new AppError('internal', 'canonical JSON cannot hold this value');
    return text;
  }
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`;
}

function digestOf(previous: string, row: Omit<CommitRecord, 'digest'>): string {
  const { author, message, number, time } = row;
  // The stored text of the diff is taken as it is, so that not even its white space can change unseen.
  const head = `{"author":${canonicalJson(author)},"diff":${row.diff}`;
  const tail = `,"message":${canonicalJson(message)},"number":${number},"time":${time}}`;
  return createHash('sha256')
    .update(Buffer.from(previous, 'hex'))
    .update(head + tail, 'utf8')
    .digest('hex');
}

/** The head of the chain as this transaction sees it. */
export async function headOf(manager: EntityManager): Promise<AuditHead> {
  const [last] = await manager.find(CommitEntity, { order: { number: 'DESC' }, take: 1 });
  return last ? { number: last.number, digest: last.digest } : { number: 0, digest: START };
}

/** The head of the chain. */
export function auditHead(db: Database): Promise<AuditHead> {
  return db.read(headOf);
}

/** Adds a commit at the end of the chain and gives its number. */
export async function appendCommit(manager: EntityManager, commit: CommitText): Promise<number> {
  const head = await headOf(manager);
  const row = {
    number: head.number + 1,
    // A lone surrogate would come back from the database as something else and break the chain.
    author: commit.author.toWellFormed(),
    time: commit.time,
    message: commit.message.toWellFormed(),
    diff: canonicalJson(commit.diff),
  };
  await manager.insert(CommitEntity, { ...row, digest: digestOf(head.digest, row) });
  return row.number;
}

/** The newest commits, newest first. */
export function commits(db: Database, limit = 100): Promise<AuditCommit[]> {
  return commitsBelow(db, Number.MAX_SAFE_INTEGER, limit);
}

/** So many commits with a number below this, newest first. */
export function commitsBelow(db: Database, number: number, limit: number): Promise<AuditCommit[]> {
  return db.read(async (manager) => {
    const rows = await manager
      .createQueryBuilder(CommitEntity, 'c')
      .where('c.number < :number', { number })
      .orderBy('c.number', 'DESC')
      .limit(limit)
      .getMany();
    return rows.map((row) => ({ ...row, diff: JSON.parse(row.diff) as unknown[] }));
  });
}

/**
 * Walks the whole chain and says the first commit that is not what it was: edited, missing, or out of order. `heads`
 * are heads seen earlier and kept elsewhere; one that the chain does not have says that its end was cut off.
 */
export function verifyAudit(db: Database, heads: readonly AuditHead[] = []): Promise<AuditVerdict> {
  const bad = (number: number, reason: string): AuditVerdict => ({ ok: false, number, reason });
  const kept = new Map(heads.map((head) => [head.number, head.digest]));
  return db.read(async (manager) => {
    let head: AuditHead = { number: 0, digest: START };
    for (;;) {
      const rows = await manager
        .createQueryBuilder(CommitEntity, 'c')
        .where('c.number > :after', { after: head.number })
        .orderBy('c.number', 'ASC')
        .take(PAGE)
        .getMany();
      for (const row of rows) {
        const number = head.number + 1;
        if (row.number !== number) return bad(number, `commit ${number} is missing`);
        const digest = digestOf(head.digest, row);
        if (digest !== row.digest) return bad(number, `commit ${number} is not what was written`);
        const known = kept.get(number);
        if (known !== undefined && known !== digest) {
          return bad(number, `commit ${number} is not the one that was recorded elsewhere`);
        }
        head = { number, digest };
      }
      if (rows.length < PAGE) break;
    }
    const last = Math.max(0, ...kept.keys());
    if (last > head.number) return bad(head.number + 1, `commit ${head.number + 1} is missing`);
    const hidden = await manager
      .createQueryBuilder(CommitEntity, 'c')
      .where('c.number < 1')
      .getCount();
    if (hidden > 0) return bad(0, 'a commit has a number below 1');
    return { ok: true, head };
  });
}
