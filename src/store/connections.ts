/**
 * Connections and channels as others see them: looked up, listed newest first, and printed as the JSON of
 * `connections --json`. The rows are an index of the recordings; what really happened stands in the trails.
 */
import { rfc3339 } from '../base/time.ts';
import { isUuid } from '../base/ids.ts';
import { printedBytes } from '../wire/channel-request.ts';
import { toolOf } from '../wire/tool-command.ts';
import type { ToolCommand } from '../wire/tool-command.ts';
import type { ConnectionStatus, LegAlgorithms } from '../ops/facts.ts';
import type { Database } from './database.ts';
import type { ConnectionState } from './fact-state.ts';
import { In } from './orm.ts';
import type { EntityManager } from './orm.ts';
import { ChannelEntity, ConnectionEntity } from './trail-entities.ts';
import type { ChannelRecord, ConnectionRecord } from './trail-entities.ts';

/** More than this is not read at once. */
const MAX_ROWS = 100_000;
/** SQLite takes 32,766 parameters in one statement. */
const MAX_IDS = 10_000;
const IDS_AT_ONCE = 500;

export type ChannelRow = Readonly<ChannelRecord>;
/** One connection with its channels in order. */
export type ConnectionRow = Readonly<ConnectionRecord> & {
  readonly channels: readonly ChannelRow[];
};

export interface ConnectionQuery {
  /** 1,000 unless said; at most 100,000. */
  readonly limit?: number;
  /** Only these, as UUIDs; at most 10,000. */
  readonly ids?: readonly string[];
  readonly status?: ConnectionStatus;
}

function* chunks<T>(items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += IDS_AT_ONCE) yield items.slice(i, i + IDS_AT_ONCE);
}

/** The same rows with their channels in order. */
export async function withChannels(
  manager: EntityManager,
  rows: readonly ConnectionRecord[],
): Promise<ConnectionRow[]> {
  const channels: ChannelRecord[] = [];
  for (const ids of chunks(rows.map(({ id }) => id))) {
    channels.push(
      ...(await manager.find(ChannelEntity, {
        where: { connectionId: In(ids) },
        order: { connectionId: 'ASC', ordinal: 'ASC' },
      })),
    );
  }
  const byConnection = Map.groupBy(channels, ({ connectionId }) => connectionId);
  return rows.map((row) => ({ ...row, channels: byConnection.get(row.id) ?? [] }));
}

/** Connections, newest first. */
export function connections(db: Database, query: ConnectionQuery = {}): Promise<ConnectionRow[]> {
  const take = Math.max(0, Math.min(query.limit ?? 1_000, MAX_ROWS));
  return db.read(async (manager) => {
    if (take === 0 || query.ids?.length === 0) return [];
    const select = manager.createQueryBuilder(ConnectionEntity, 'c');
    if (query.ids) select.andWhere('c.id IN (:...ids)', { ids: query.ids.slice(0, MAX_IDS) });
    if (query.status) select.andWhere('c.status = :status', { status: query.status });
    select.orderBy('c.startedAt', 'DESC').addOrderBy('c.id', 'DESC').limit(take);
    return withChannels(manager, await select.getMany());
  });
}

/** One connection by its UUID or its 22 characters of base 62; undefined when there is none. */
export function connection(db: Database, id: string): Promise<ConnectionRow | undefined> {
  const where = isUuid(id) ? { id } : { shortId: id };
  return db.read(async (manager) => {
    const row = await manager.findOneBy(ConnectionEntity, where);
    if (!row) return undefined;
    return (await withChannels(manager, [row]))[0];
  });
}

/** Looked at for where a user was. */
const RECENT_ROWS = 200;

/** Targets and accounts where a user was, newest first, each once; of his last connections alone. */
export function recentDestinations(
  db: Database,
  user: string,
): Promise<readonly { readonly targetId: string; readonly accountId: string }[]> {
  return db.read(async (manager) => {
    const rows = await manager
      .createQueryBuilder(ConnectionEntity, 'c')
      .where('c.user = :user', { user })
      .orderBy('c.startedAt', 'DESC')
      .limit(RECENT_ROWS)
      .getMany();
    const found = new Map<string, { targetId: string; accountId: string }>();
    for (const { targetId, accountId } of rows) {
      if (targetId === null || accountId === null) continue;
      const key = `${targetId} ${accountId}`;
      if (!found.has(key)) found.set(key, { targetId, accountId });
    }
    return [...found.values()];
  });
}

/** The connections with these ids in the form that facts are applied to. */
export async function loadStates(
  manager: EntityManager,
  ids: Iterable<string>,
): Promise<Map<string, ConnectionState>> {
  const states = new Map<string, ConnectionState>();
  for (const some of chunks([...ids])) {
    const rows = await manager.findBy(ConnectionEntity, { id: In(some) });
    for (const { channels, ...row } of await withChannels(manager, rows)) {
      const byOrdinal = new Map(channels.map((channel) => [channel.ordinal, { ...channel }]));
      states.set(row.id, { row, channels: byOrdinal });
    }
  }
  return states;
}

/** Writes connections with all their channels, new or known. */
export async function saveStates(
  manager: EntityManager,
  states: readonly ConnectionState[],
): Promise<void> {
  // Few rows a statement: SQLite takes 32,766 parameters, a connection has 25.
  for (const some of chunks(states)) {
    await manager.upsert(
      ConnectionEntity,
      some.map(({ row }) => row),
      ['id'],
    );
  }
  const channels = states.flatMap((state) => [...state.channels.values()]);
  for (const some of chunks(channels)) {
    await manager.upsert(ChannelEntity, some, ['connectionId', 'ordinal']);
  }
}

/** The tool of a command, as `trail show` has it; null if it is none that is known. */
function toolIn({ kind, command }: ChannelRow): ToolCommand | null {
  if (kind !== 'exec' && kind !== 'scp') return null;
  return toolOf(printedBytes(command)) ?? null;
}

/** What a leg agreed on, in the names of `connections --json`. */
function algorithmsJson(column: string | null) {
  if (column === null) return null;
  const { kex, hostKey, clientToServer, serverToClient } = JSON.parse(column) as LegAlgorithms;
  return {
    kex,
    host_key: hostKey,
    client_to_server: clientToServer,
    server_to_client: serverToClient,
  };
}

/** The object of one line of `connections --json`; names are fixed (DESIGN part 8). */
export function connectionJson(row: ConnectionRow) {
  const time = (micros: number | null) => (micros === null ? null : rfc3339(micros));
  return {
    id: row.id,
    short_id: row.shortId,
    kind: row.kind,
    parent: row.parentId,
    user: row.user,
    login_name: row.loginName,
    source_address: row.sourceAddress,
    source_port: row.sourcePort,
    client_version: row.clientVersion,
    auth_method: row.authMethod,
    key_fingerprint: row.keyFingerprint,
    target: row.target,
    account: row.account,
    address: row.address,
    port: row.port,
    rule: row.rule,
    algorithms: {
      downstream: algorithmsJson(row.downstreamAlgorithms),
      upstream: algorithmsJson(row.upstreamAlgorithms),
    },
    status: row.status,
    reason: row.reason,
    started: time(row.startedAt),
    ended: time(row.endedAt),
    bytes_in: row.bytesIn,
    bytes_out: row.bytesOut,
    instance: row.instance,
    channels: row.channels.map((channel) => ({
      id: channel.ordinal,
      kind: channel.kind,
      command: channel.command,
      tool: toolIn(channel),
      destination: channel.destination,
      originator: channel.originator,
      protocol: channel.protocol,
      opened: time(channel.openedAt),
      ended: time(channel.endedAt),
      bytes_in: channel.bytesIn,
      bytes_out: channel.bytesOut,
      result: channel.result,
    })),
  };
}
