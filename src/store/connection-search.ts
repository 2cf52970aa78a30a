/**
 * Searches the rows of connections by a condition that callers build, one page at a time and with the number of all that
 * fit. Columns and orders come from the tables below; values travel as parameters alone, so that nothing that a caller
 * was sent is ever part of a statement.
 *
 * A condition is true or false for each row, never unknown: "not" takes the rows that have no value.
 */
import { withChannels } from './connections.ts';
import type { ConnectionRow } from './connections.ts';
import type { Database } from './database.ts';
import { In } from './orm.ts';
import type { EntityManager, SelectQueryBuilder } from './orm.ts';
import { ChannelEntity, ConnectionEntity } from './trail-entities.ts';
import type { ConnectionRecord } from './trail-entities.ts';

/** What can be asked of a connection, as SQL over its row `c`. `:now` is the time of the search. */
export const CONNECTION_COLUMNS = {
  id: { sql: 'c.id', type: 'text' },
  shortId: { sql: 'c.shortId', type: 'text' },
  kind: { sql: 'c.kind', type: 'text' },
  parentId: { sql: 'c.parentId', type: 'text' },
  instance: { sql: 'c.instance', type: 'text' },
  user: { sql: 'c.user', type: 'text' },
  loginName: { sql: 'c.loginName', type: 'text' },
  sourceAddress: { sql: 'c.sourceAddress', type: 'text' },
  sourcePort: { sql: 'c.sourcePort', type: 'number' },
  clientVersion: { sql: 'c.clientVersion', type: 'text' },
  authMethod: { sql: 'c.authMethod', type: 'text' },
  keyFingerprint: { sql: 'c.keyFingerprint', type: 'text' },
  target: { sql: 'c.target', type: 'text' },
  account: { sql: 'c.account', type: 'text' },
  address: { sql: 'c.address', type: 'text' },
  port: { sql: 'c.port', type: 'number' },
  rule: { sql: 'c.rule', type: 'text' },
  downstreamAlgorithms: { sql: 'c.downstreamAlgorithms', type: 'text' },
  upstreamAlgorithms: { sql: 'c.upstreamAlgorithms', type: 'text' },
  startedAt: { sql: 'c.startedAt', type: 'number' },
  endedAt: { sql: 'c.endedAt', type: 'number' },
  /** When it ended, or now. */
  lastAt: { sql: 'COALESCE(c.endedAt, :now)', type: 'number' },
  /** Whole seconds, so far. */
  seconds: { sql: '(COALESCE(c.endedAt, :now) - c.startedAt) / 1000000', type: 'number' },
  bytesIn: { sql: 'c.bytesIn', type: 'number' },
  bytesOut: { sql: 'c.bytesOut', type: 'number' },
  status: { sql: 'c.status', type: 'text' },
  reason: { sql: 'c.reason', type: 'text' },
} as const satisfies Record<string, Column>;

/** What can be asked of channels, over a row `h`: it holds for a connection when it does for one of them. */
const CHANNEL = {
  channelKind: { sql: 'h.kind', type: 'text' },
  command: { sql: 'h.command', type: 'text' },
  destination: { sql: 'h.destination', type: 'text' },
  originator: { sql: 'h.originator', type: 'text' },
  protocol: { sql: 'h.protocol', type: 'text' },
  result: { sql: 'h.result', type: 'text' },
  /** 1, or 0 for one that was refused. */
  accepted: { sql: "CASE WHEN h.result LIKE 'refused%' THEN 0 ELSE 1 END", type: 'number' },
} as const satisfies Record<string, Column>;

interface Column {
  readonly sql: string;
  readonly type: 'text' | 'number';
}

export type ConnectionColumn = keyof typeof CONNECTION_COLUMNS;
export type SearchColumn = ConnectionColumn | keyof typeof CHANNEL;

/** Where a text stands in a value: all of it, its beginning, or anywhere. */
export type TextMatch = 'whole' | 'begin' | 'part';

export type Condition =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'constant'; readonly value: boolean }
  /** It has no value; of channels: one of them has none. */
  | { readonly kind: 'absent'; readonly column: SearchColumn }
  /** A `whole` text letter for letter, otherwise whatever the case of ASCII letters. */
  | {
      readonly kind: 'text';
      readonly column: SearchColumn;
      readonly match: TextMatch;
      readonly text: string;
    }
  | {
      readonly kind: 'between';
      readonly column: SearchColumn;
      /** At or after. */
      readonly from?: number | string;
      /** After. */
      readonly above?: number | string;
      /** At or before. */
      readonly to?: number | string;
      /** Before. */
      readonly below?: number | string;
    }
  /** In any of the texts that tell who, where and what. */
  | { readonly kind: 'anywhere'; readonly match: 'begin' | 'part'; readonly text: string };

/** Texts that `anywhere` looks into, and those that it compares as a whole: nobody remembers a part of them. */
const WORDS = [
  'user',
  'loginName',
  'sourceAddress',
  'target',
  'account',
  'address',
  'rule',
  'reason',
  'clientVersion',
] as const satisfies readonly ConnectionColumn[];
const NAMES = ['id', 'shortId', 'keyFingerprint'] as const satisfies readonly ConnectionColumn[];
const CHANNEL_WORDS = [
  'command',
  'destination',
  'originator',
] as const satisfies readonly SearchColumn[];

export interface SearchOrder {
  readonly column: ConnectionColumn;
  readonly descending: boolean;
}

export interface ConnectionSearch {
  readonly where?: Condition;
  /** Newest first unless said; ties are newest first. */
  readonly order?: readonly SearchOrder[];
  readonly limit: number;
  readonly offset: number;
  /** Microseconds UTC. */
  readonly now: number;
}

export interface ConnectionPage {
  readonly rows: readonly ConnectionRow[];
  /** How many fit in all. */
  readonly matchCount: number;
}

/** One page may have so many. */
export const MAX_PAGE = 500;

/** The page of connections that fit. */
export function searchConnections(db: Database, search: ConnectionSearch): Promise<ConnectionPage> {
  const limit = Math.max(0, Math.min(search.limit, MAX_PAGE));
  return db.read(async (manager) => {
    const page =
      search.where && isSlow(search.where)
        ? await inOneScan(manager, search, limit)
        : await inTwoSteps(manager, search, limit);
    // A page beyond the last has nothing that could tell how many there are.
    const matchCount = page.matchCount ?? (await fitting(manager, search).getCount());
    return { rows: await withChannels(manager, page.rows), matchCount };
  });
}

interface Found {
  readonly rows: readonly ConnectionRecord[];
  readonly matchCount: number | undefined;
}

/** Whether every row must be looked at, and long. */
function isSlow(condition: Condition): boolean {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return condition.of.some(isSlow);
    case 'not':
      return isSlow(condition.of);
    case 'text':
      return condition.match !== 'whole';
    case 'anywhere':
      return true;
    case 'absent':
    case 'between':
    case 'constant':
      return false;
  }
}

/** Where an index may give the page at once: the page, and a count only if the page does not tell it. */
async function inTwoSteps(
  manager: EntityManager,
  search: ConnectionSearch,
  limit: number,
): Promise<Found> {
  const select = ordered(fitting(manager, search), search.order);
  const rows = limit === 0 ? [] : await select.limit(limit).offset(search.offset).getMany();
  const isLast = rows.length < limit && (rows.length > 0 || search.offset === 0);
  return { rows, matchCount: isLast ? search.offset + rows.length : undefined };
}

/** Counts while it looks at the rows, so that they are looked at once. */
async function inOneScan(
  manager: EntityManager,
  search: ConnectionSearch,
  limit: number,
): Promise<Found> {
  const select = fitting(manager, search)
    .select('c.id', 'id')
    .addSelect('COUNT(*) OVER ()', 'total');
  const page = ordered(select, search.order).limit(limit).offset(search.offset);
  const found = await page.getRawMany<{ id: string; total: number | string }>();
  const [first] = found;
  if (first === undefined)
    return { rows: [], matchCount: limit > 0 && search.offset === 0 ? 0 : undefined };
  const rows = await manager.findBy(ConnectionEntity, { id: In(found.map(({ id }) => id)) });
  const byId = new Map(rows.map((row) => [row.id, row]));
  return { rows: found.flatMap(({ id }) => byId.get(id) ?? []), matchCount: Number(first.total) };
}

function ordered(
  select: SelectQueryBuilder<ConnectionRecord>,
  order: readonly SearchOrder[] = [],
): SelectQueryBuilder<ConnectionRecord> {
  for (const { column, descending } of order) {
    const { sql } = CONNECTION_COLUMNS[column];
    // Where there is no value comes last, in any database.
    select.addOrderBy(`CASE WHEN ${sql} IS NULL THEN 1 ELSE 0 END`, 'ASC');
    select.addOrderBy(sql, descending ? 'DESC' : 'ASC');
  }
  return select.addOrderBy('c.startedAt', 'DESC').addOrderBy('c.id', 'DESC');
}

function fitting(
  manager: EntityManager,
  { where, now }: ConnectionSearch,
): SelectQueryBuilder<ConnectionRecord> {
  const select = manager.createQueryBuilder(ConnectionEntity, 'c');
  if (where) select.where(new Compiler(select).sqlOf(where));
  return select.setParameter('now', now);
}

/** Makes the text of a condition, and puts its values among the parameters of its statement. */
class Compiler {
  readonly #select: SelectQueryBuilder<ConnectionRecord>;
  #count = 0;

  constructor(select: SelectQueryBuilder<ConnectionRecord>) {
    this.#select = select;
  }

  sqlOf(condition: Condition): string {
    switch (condition.kind) {
      case 'constant':
        return condition.value ? '1 = 1' : '1 = 0';
      case 'not':
        return `NOT (${this.sqlOf(condition.of)})`;
      case 'and':
      case 'or': {
        const { kind, of } = condition;
        if (of.length === 0) return kind === 'and' ? '1 = 1' : '1 = 0';
        return `(${of.map((one) => this.sqlOf(one)).join(kind === 'and' ? ' AND ' : ' OR ')})`;
      }
      case 'anywhere': {
        const { match, text } = condition;
        const here = this.#among(WORDS, match, text);
        const inside = this.#inChannels(this.#among(CHANNEL_WORDS, match, text));
        const named = NAMES.map((column) => `${sqlOfColumn(column)} = ${this.#value(text)}`);
        return `(${[here, ...named, inside].join(' OR ')})`;
      }
      case 'absent':
      case 'text':
      case 'between': {
        const sql = this.#leaf(condition);
        return condition.column in CHANNEL ? this.#inChannels(sql) : sql;
      }
    }
  }

  #leaf(condition: Extract<Condition, { readonly column: SearchColumn }>): string {
    const column = sqlOfColumn(condition.column);
    if (condition.kind === 'absent') return `${column} IS NULL`;
    const there = `${column} IS NOT NULL`;
    if (condition.kind === 'text') {
      const { match, text } = condition;
      if (match === 'whole') return `(${there} AND ${column} = ${this.#value(text)})`;
      const pattern = this.#value(patternOf(match, text));
      return `(${there} AND ${likeSql(column, pattern)})`;
    }
    const { from, above, to, below } = condition;
    const parts = [there];
    if (from !== undefined) parts.push(`${column} >= ${this.#value(from)}`);
    if (above !== undefined) parts.push(`${column} > ${this.#value(above)}`);
    if (to !== undefined) parts.push(`${column} <= ${this.#value(to)}`);
    if (below !== undefined) parts.push(`${column} < ${this.#value(below)}`);
    return `(${parts.join(' AND ')})`;
  }

  #inChannels(sql: string): string {
    const channels = this.#select
      .subQuery()
      .select('h.connectionId')
      .from(ChannelEntity, 'h')
      .where(sql)
      .getQuery();
    return `c.id IN ${channels}`;
  }

  /** In one of these columns; false where there is nothing in any. */
  #among(columns: readonly SearchColumn[], match: 'begin' | 'part', text: string): string {
    const pattern = this.#value(patternOf(match, text));
    const all = columns.map((column) => likeSql(sqlOfColumn(column), pattern));
    return `(${all.join(' OR ')}) IS TRUE`;
  }

  #value(value: string | number): string {
    const name = `search${this.#count++}`;
    this.#select.setParameter(name, value);
    return `:${name}`;
  }
}

function sqlOfColumn(column: SearchColumn): string {
  return { ...CONNECTION_COLUMNS, ...CHANNEL }[column].sql;
}

/** A pattern in which the text stands for itself. */
function patternOf(match: 'begin' | 'part', text: string): string {
  return `${match === 'begin' ? '' : '%'}${text.replace(/[\\%_]/g, '\\$&')}%`;
}

/** SQLite's LIKE makes no difference between ASCII letters of either case; on PostgreSQL this is ILIKE. */
function likeSql(sql: string, pattern: string): string {
  return `${sql} LIKE ${pattern} ESCAPE '\\'`;
}
