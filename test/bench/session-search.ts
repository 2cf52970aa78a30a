/**
 * How long lists and searches of sessions take over many rows: a database file as the gate has it, filled with
 * connections as sessions leave them, and each question asked as the API asks it.
 */
import { join } from 'node:path';
import { newUuid, shortId } from '../../src/base/ids.ts';
import { parseQuery } from '../../src/api/search-query.ts';
import { conditionOf, orderOf } from '../../src/api/search-fields.ts';
import { searchConnections } from '../../src/store/connection-search.ts';
import { openDatabase } from '../../src/store/database.ts';
import type { Database } from '../../src/store/database.ts';
import { ChannelEntity, ConnectionEntity } from '../../src/store/trail-entities.ts';
import type { ChannelRecord, ConnectionRecord } from '../../src/store/trail-entities.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

const ROWS_AT_ONCE = 500;
const NOW = 1_800_000_000_000_000;
/** Between two connections. */
const APART_US = 10_000_000;

/** What is asked: how people and scripts look for sessions, from an index, over columns, over channels, over all words. */
export const QUESTIONS: readonly Question[] = [
  { name: 'the first page' },
  { name: 'the last page shown', offset: 9_500 },
  { name: 'those that run', q: 'active:true' },
  { name: 'of a user and a target', q: 'user.name:user-17 AND server.name:target-5' },
  { name: 'not of a user, longer than 100 s', q: '-user.name:user-17 duration:>100' },
  { name: 'of a day, by user', q: 'start_time:2027-01-10', sort: 'user.name,-duration' },
  { name: 'by bytes', sort: '-gate.bytes_out' },
  { name: 'a part of a command', q: 'channels.command:deploy-4711' },
  { name: 'a word anywhere, one hit', q: 'deploy-4711' },
  { name: 'a word anywhere, many hits', q: 'user-17' },
  { name: 'a word that is nowhere', q: 'nowhere' },
];

interface Question {
  readonly name: string;
  readonly q?: string;
  readonly sort?: string;
  readonly offset?: number;
}

export interface SearchTimes {
  readonly name: string;
  readonly matchCount: number;
  /** Milliseconds. */
  readonly ms: number[];
}

function connectionAt(at: number): ConnectionRecord {
  const startedAt = NOW - (at + 1) * APART_US;
  const id = newUuid(startedAt / 1000);
  const algorithms = JSON.stringify({
    kex: 'sntrup761x25519-sha512@openssh.com',
    hostKey: 'ssh-ed25519',
    clientToServer: { cipher: 'chacha20-poly1305@openssh.com', mac: '' },
    serverToClient: { cipher: 'chacha20-poly1305@openssh.com', mac: '' },
  });
  const user = `user-${at % 300}`;
  const target = `target-${at % 70}`;
  return {
    id,
    shortId: shortId(id),
    kind: 'target',
    parentId: null,
    instance: '0191e5c4-0000-7000-8000-000000000000',
    userId: `id-${at % 300}`,
    user,
    loginName: `${user}@root@${target}`,
    sourceAddress: `10.0.${at % 250}.${(at * 7) % 250}`,
    sourcePort: 1024 + (at % 60_000),
    clientVersion: 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7',
    authMethod: 'publickey',
    keyFingerprint: `SHA256:${shortId(id)}${shortId(id)}`.slice(0, 50),
    targetId: `target-id-${at % 70}`,
    target,
    accountId: `account-${at % 70}`,
    account: 'root',
    address: `192.168.0.${at % 70}`,
    port: 22,
    rule: `rule-${at % 9}`,
    downstreamAlgorithms: algorithms,
    upstreamAlgorithms: algorithms,
    startedAt,
    endedAt: at % 2_000 === 0 ? null : startedAt + (at % 500) * 1_000_000,
    bytesIn: (at * 7919) % 1_000_003,
    bytesOut: (at * 104_729) % 10_000_019,
    status: at % 2_000 === 0 ? 'CONNECTED' : 'DISCONNECTED',
    reason: at % 2_000 === 0 ? null : 'closed by user',
    lastSequence: 9,
  };
}

function channelOf({ id, startedAt, endedAt }: ConnectionRecord, at: number): ChannelRecord {
  return {
    connectionId: id,
    ordinal: 0,
    kind: 'exec',
    command: `sudo systemctl restart deploy-${at}.service && journalctl -n 20`,
    destination: '',
    originator: '',
    protocol: '',
    openedAt: startedAt,
    endedAt,
    bytesIn: 10,
    bytesOut: 1000,
    result: endedAt === null ? null : 'exit 0',
  };
}

async function fill(db: Database, count: number): Promise<void> {
  for (let at = 0; at < count; at += ROWS_AT_ONCE) {
    const length = Math.min(ROWS_AT_ONCE, count - at);
    const rows = Array.from({ length }, (_, i) => connectionAt(at + i));
    await db.transaction(async (manager) => {
      await manager.insert(ConnectionEntity, rows);
      await manager.insert(
        ChannelEntity,
        rows.map((row, i) => channelOf(row, at + i)),
      );
    });
  }
}

/** Fills a database with `rows` connections and asks every question `times` times, in turn. */
export async function measureSearches(
  scope: Scope,
  { rows, times }: { readonly rows: number; readonly times: number },
): Promise<SearchTimes[]> {
  const db = await openDatabase({ path: join(tempDir(scope), 'sallyport.db') });
  defer(scope, () => db.close());
  await fill(db, rows);
  const results = new Map<string, { matchCount: number; ms: number[] }>();
  for (let round = 0; round < times; round++) {
    for (const { name, q, sort, offset = 0 } of QUESTIONS) {
      const begin = performance.now();
      const { matchCount } = await searchConnections(db, {
        ...(q === undefined ? {} : { where: conditionOf(parseQuery(q), { nodeId: '' }) }),
        ...(sort === undefined ? {} : { order: orderOf(sort) }),
        limit: 500,
        offset,
        now: NOW,
      });
      const took = performance.now() - begin;
      const result = results.get(name) ?? { matchCount, ms: [] };
      result.ms.push(took);
      results.set(name, result);
    }
  }
  return [...results].map(([name, result]) => ({ name, ...result }));
}
