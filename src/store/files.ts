/**
 * Rows of the files that crossed: written from facts, found by path, hash, direction and time. They are an index: the
 * record of a file, and with it where its content lies, stands in the trail of its channel.
 */
import { rfc3339 } from '../base/time.ts';
import type { Fact, FileFact } from '../ops/facts.ts';
import type { Database } from './database.ts';
import type { EntityManager } from './orm.ts';
import { FileEntity } from './trail-entities.ts';
import type { FileRow } from './trail-entities.ts';

export type { FileRow };

/** SQLite takes 32,766 parameters in one statement; a file has 15. */
const ROWS_AT_ONCE = 500;
const MAX_ROWS = 100_000;

/** What rows are wanted; all that is said must hold. */
export interface FileQuery {
  readonly connection?: string;
  readonly id?: string;
  /** Part of a path, as it is printed. */
  readonly path?: string;
  readonly sha256?: string;
  readonly direction?: 'upload' | 'download';
  /** Closed at or after, and before: microseconds UTC. */
  readonly since?: number;
  readonly until?: number;
  /** 1,000 unless said; at most 100,000. */
  readonly limit?: number;
}

/** Whether a fact is of a file, and so of no connection's sequence. */
export function isFileFact(fact: Fact): fact is Fact & { readonly value: FileFact } {
  return fact.value.kind === 'file-moved' || fact.value.kind === 'files-unknown';
}

/** The row that a fact of a connection makes. */
export function fileRow(connectionId: string, value: FileFact): FileRow {
  if (value.kind === 'files-unknown') {
    const { file: id, channel, why: error, at } = value;
    const nothing = { path: '', direction: '', flags: '', size: null, moved: 0, sha256: null };
    const times = { openedAt: at, closedAt: at };
    const rest = { ordinal: LAST, whole: false, status: 'undecoded', error };
    return { id, connectionId, channel, ...nothing, ...rest, ...times };
  }
  return {
    id: value.file,
    connectionId,
    channel: value.channel,
    ordinal: value.ordinal,
    path: value.path,
    direction: value.direction,
    flags: value.flags,
    size: value.size,
    moved: value.moved,
    whole: value.whole,
    sha256: value.sha256,
    status: value.status,
    error: value.error,
    openedAt: value.openedAt,
    closedAt: value.closedAt,
  };
}

/** Behind every file of its channel. */
const LAST = Number.MAX_SAFE_INTEGER;

/** Writes the rows of file facts, new or known. The connections must have theirs. */
export async function saveFiles(manager: EntityManager, facts: readonly Fact[]): Promise<void> {
  const rows = new Map<string, FileRow>();
  for (const fact of facts) {
    if (isFileFact(fact)) rows.set(fact.value.file, fileRow(fact.connection, fact.value));
  }
  const all = [...rows.values()];
  for (let i = 0; i < all.length; i += ROWS_AT_ONCE) {
    await manager.upsert(FileEntity, all.slice(i, i + ROWS_AT_ONCE), ['id']);
  }
}

/** Files that a query names: of one connection in their order, else the newest first. */
export function files(db: Database, query: FileQuery): Promise<FileRow[]> {
  const take = Math.max(1, Math.min(query.limit ?? 1_000, MAX_ROWS));
  return db.read((manager) => {
    const select = manager.createQueryBuilder(FileEntity, 'f');
    const { connection, id, path, sha256, direction, since, until } = query;
    if (connection !== undefined) select.andWhere('f.connectionId = :connection', { connection });
    if (id !== undefined) select.andWhere('f.id = :id', { id });
    if (path !== undefined) {
      const part = path.replace(/[\\%_]/g, '\\$&');
      select.andWhere("f.path LIKE :part ESCAPE '\\'", { part: `%${part}%` });
    }
    if (sha256 !== undefined) select.andWhere('f.sha256 = :sha256', { sha256 });
    if (direction !== undefined) select.andWhere('f.direction = :direction', { direction });
    if (since !== undefined) select.andWhere('f.closedAt >= :since', { since });
    if (until !== undefined) select.andWhere('f.closedAt < :until', { until });
    if (connection === undefined) select.orderBy('f.closedAt', 'DESC').addOrderBy('f.id', 'DESC');
    else select.orderBy('f.channel', 'ASC').addOrderBy('f.ordinal', 'ASC');
    return select.limit(take).getMany();
  });
}

/** The object of one line of `files --json`; names are fixed (DESIGN part 8). */
export function fileJson(row: FileRow) {
  return {
    id: row.id,
    connection: row.connectionId,
    channel: row.channel,
    path: row.path,
    direction: row.direction,
    flags: row.flags,
    size: row.size,
    moved: row.moved,
    whole: row.whole,
    sha256: row.whole ? row.sha256 : null,
    sha256_moved: row.whole ? null : row.sha256,
    status: row.status,
    error: row.error,
    opened: rfc3339(row.openedAt),
    closed: rfc3339(row.closedAt),
  };
}
