/** Searches of connections: a condition finds the rows that it says and no others, whatever values are in it. */
import assert from 'node:assert/strict';
import { before, after, test } from 'node:test';
import fc from 'fast-check';
import { newUuid, shortId } from '../../src/base/ids.ts';
import { searchConnections } from '../../src/store/connection-search.ts';
import type {
  Condition,
  ConnectionSearch,
  SearchColumn,
  SearchOrder,
} from '../../src/store/connection-search.ts';
import type { ChannelRow, ConnectionRow } from '../../src/store/connections.ts';
import type { Database } from '../../src/store/database.ts';
import { ChannelEntity, ConnectionEntity } from '../../src/store/trail-entities.ts';
import { ManualScope } from '../support/scope.ts';
import { testDatabase } from './setup.ts';

const NOW = 1_800_000_000_000_000;
const ODD = ["O'Brien", '100%', 'a_b', 'C:\\x', 'Zoë', '"; DROP TABLE connections; --', ':now', ''];

/** Row number `i` of fifty, with all kinds of absence and oddity. */
function connectionAt(i: number): ConnectionRow {
  const startedAt = NOW - 1_000_000_000 - Math.floor(i / 2) * 60_000_000;
  const id = newUuid(startedAt / 1000);
  const isRefused = i % 7 === 3;
  const odd = ODD[i % ODD.length] ?? '';
  const runs = i % 5 === 0;
  const channel = (ordinal: number, more: Partial<ChannelRow>): ChannelRow => ({
    connectionId: id,
    ordinal,
    kind: 'exec',
    command: '',
    destination: '',
    originator: '',
    protocol: '',
    openedAt: startedAt,
    endedAt: null,
    bytesIn: 0,
    bytesOut: 0,
    result: null,
    ...more,
  });
  return {
    id,
    shortId: shortId(id),
    kind: i % 11 === 0 ? 'gate' : 'target',
    parentId: null,
    instance: '',
    userId: `u${i}`,
    user: i % 2 === 0 ? 'alice' : odd,
    loginName: `alice@root@db${i}`,
    sourceAddress: `10.0.0.${i}`,
    sourcePort: 1000 + i,
    clientVersion: i % 3 === 0 ? 'SSH-2.0-OpenSSH_9.2' : 'SSH-2.0-PuTTY',
    authMethod: 'publickey',
    keyFingerprint: `SHA256:${i}`,
    targetId: isRefused ? null : 't',
    target: isRefused ? null : `db${i % 4}`,
    accountId: isRefused ? null : 'a',
    account: isRefused ? null : 'Root',
    address: isRefused ? null : '127.0.0.1',
    port: isRefused ? null : 22,
    rule: isRefused ? null : odd,
    downstreamAlgorithms: null,
    upstreamAlgorithms: null,
    startedAt,
    endedAt: runs ? null : startedAt + i * 1_500_000,
    bytesIn: (i * 37) % 10,
    bytesOut: i,
    status: runs ? 'CONNECTED' : 'DISCONNECTED',
    reason: runs ? null : odd,
    lastSequence: 1,
    channels: [
      channel(0, { command: `echo ${odd}`, result: i % 4 === 0 ? 'refused: no' : 'exit 0' }),
      ...(i % 3 === 0 ? [channel(1, { kind: 'local-forward', destination: `db${i}:5432` })] : []),
    ],
  };
}

const rows = Array.from({ length: 50 }, (_, i) => connectionAt(i));
let db: Database;

const scope = new ManualScope();
after(() => scope.end());

before(async () => {
  ({ db } = await testDatabase(scope));
  await db.transaction(async (manager) => {
    await manager.insert(
      ConnectionEntity,
      rows.map((row) => ({ ...row, channels: undefined })),
    );
    await manager.insert(
      ChannelEntity,
      rows.flatMap(({ channels }) => channels.map((channel) => ({ ...channel }))),
    );
  });
});

function search(more: Partial<ConnectionSearch> = {}) {
  return searchConnections(db, { limit: 500, offset: 0, now: NOW, ...more });
}

const byTime = (a: ConnectionRow, b: ConnectionRow): number =>
  b.startedAt - a.startedAt || (a.id < b.id ? 1 : -1);
const newest = rows.toSorted(byTime);

type Value = string | number | null;

/** What a column says of a row, by plain arithmetic; of channels, one value each. */
function valuesOf(row: ConnectionRow, column: SearchColumn): Value[] {
  const of = (read: (channel: ChannelRow) => Value): Value[] => row.channels.map(read);
  if (column === 'channelKind') return of(({ kind }) => kind);
  if (column === 'accepted') {
    return of(({ result }) => (result?.startsWith('refused') === true ? 0 : 1));
  }
  if (column === 'lastAt') return [row.endedAt ?? NOW];
  if (column === 'seconds') {
    return [Math.floor(((row.endedAt ?? NOW) - row.startedAt) / 1_000_000)];
  }
  return isOfRow(column) ? [row[column]] : of((channel) => channel[column]);
}

function isOfRow<T extends SearchColumn>(column: T): column is T & keyof ConnectionRow {
  return Object.hasOwn(connectionAt(0), column);
}

const lower = (text: string): string => text.replace(/[A-Z]/g, (char) => char.toLowerCase());

function fits(row: ConnectionRow, condition: Condition): boolean {
  switch (condition.kind) {
    case 'constant':
      return condition.value;
    case 'not':
      return !fits(row, condition.of);
    case 'and':
      return condition.of.every((one) => fits(row, one));
    case 'or':
      return condition.of.some((one) => fits(row, one));
    case 'absent':
      return valuesOf(row, condition.column).includes(null);
    case 'text': {
      const { column, match, text } = condition;
      return valuesOf(row, column).some((value) => {
        if (typeof value !== 'string') return false;
        if (match === 'whole') return value === text;
        const [all, part] = [lower(value), lower(text)];
        return match === 'begin' ? all.startsWith(part) : all.includes(part);
      });
    }
    case 'between': {
      const { column, from, above, to, below } = condition;
      return valuesOf(row, column).some(
        (value) =>
          value !== null &&
          (from === undefined || value >= from) &&
          (above === undefined || value > above) &&
          (to === undefined || value <= to) &&
          (below === undefined || value < below),
      );
    }
    case 'anywhere': {
      const { match, text } = condition;
      const texts = [...WORDS, ...CHANNEL_WORDS].flatMap((column) => valuesOf(row, column));
      const part = lower(text);
      return (
        NAMES.some((column) => row[column] === text) ||
        texts.some((value) => {
          if (typeof value !== 'string') return false;
          return match === 'begin' ? lower(value).startsWith(part) : lower(value).includes(part);
        })
      );
    }
  }
}

const NAMES = ['id', 'shortId', 'keyFingerprint'] as const;
const WORDS = [
  ...(['user', 'loginName', 'sourceAddress', 'target', 'account'] as const),
  ...(['address', 'rule', 'reason', 'clientVersion'] as const),
];
const CHANNEL_WORDS = ['command', 'destination', 'originator'] as const;

const TEXTS = [...ODD, 'alice', 'ALICE', 'db1', 'db', 'root', 'Root', 'ssh', 'echo', '0', '%', '_'];
const text = fc.constantFrom(
  ...TEXTS.filter((one) => one !== ''),
  ...rows.slice(0, 3).map(({ id }) => id),
);
const textColumn = fc.constantFrom(...WORDS, ...CHANNEL_WORDS, 'channelKind', 'status', 'result');
const numberColumn = fc.constantFrom(
  ...(['sourcePort', 'port', 'bytesIn', 'bytesOut', 'seconds', 'accepted'] as const),
);
const ends = fc.record(
  {
    from: fc.integer({ min: 0, max: 60 }),
    above: fc.integer({ min: 0, max: 60 }),
    to: fc.integer({ min: 0, max: 2000 }),
    below: fc.integer({ min: 0, max: 2000 }),
  },
  { requiredKeys: [] },
);
const leaf: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({ kind: fc.constant('constant' as const), value: fc.boolean() }),
  fc.record({ kind: fc.constant('absent' as const), column: textColumn }),
  fc.record({
    kind: fc.constant('text' as const),
    column: textColumn,
    match: fc.constantFrom('whole' as const, 'begin' as const, 'part' as const),
    text,
  }),
  fc
    .tuple(numberColumn, ends)
    .map(([column, between]) => ({ kind: 'between' as const, column, ...between })),
  fc.record({
    kind: fc.constant('anywhere' as const),
    match: fc.constantFrom('begin' as const, 'part' as const),
    text,
  }),
);
const { tree } = fc.letrec<{ tree: Condition }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.record({ kind: fc.constant('not' as const), of: tie('tree') }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(tie('tree'), { maxLength: 3 }),
    }),
  ),
}));

test('any condition finds just what it says, in order, and counts all of it', async () => {
  const page = fc.record({
    limit: fc.integer({ min: 0, max: 60 }),
    offset: fc.integer({ min: 0, max: 60 }),
  });
  await fc.assert(
    fc.asyncProperty(tree, page, async (where, { limit, offset }) => {
      const wanted = newest.filter((row) => fits(row, where));
      const found = await search({ where, limit, offset });
      assert.equal(found.matchCount, wanted.length);
      assert.deepEqual(
        found.rows.map(({ id }) => id),
        wanted.slice(offset, offset + limit).map(({ id }) => id),
      );
    }),
    { numRuns: 400 },
  );
});

test('rows come with their channels, newest first, and a page of them with the count of all', async () => {
  const all = await search();
  assert.deepEqual(all.rows, newest);
  const page = await search({ limit: 7, offset: 14 });
  assert.deepEqual([page.rows, page.matchCount], [newest.slice(14, 21), 50]);
  const beyond = await search({ limit: 7, offset: 70 });
  assert.deepEqual([beyond.rows, beyond.matchCount], [[], 50]);
  const alice: Condition = { kind: 'anywhere', match: 'part', text: 'alice@' };
  for (const where of [alice, { kind: 'constant', value: true } as const]) {
    assert.deepEqual((await search({ where, limit: 0 })).matchCount, 50);
  }
});

test('an order has several keys; what has no value comes last, both ways', async () => {
  const ordered = async (...order: SearchOrder[]): Promise<string[]> =>
    (await search({ order })).rows.map(({ id }) => id);
  const endless = newest.filter(({ endedAt }) => endedAt === null).map(({ id }) => id);
  for (const descending of [false, true]) {
    const ended = newest
      .filter(({ endedAt }) => endedAt !== null)
      .sort(
        (a, b) => ((a.endedAt ?? 0) - (b.endedAt ?? 0)) * (descending ? -1 : 1) || byTime(a, b),
      );
    const want = [...ended.map(({ id }) => id), ...endless];
    assert.deepEqual(await ordered({ column: 'endedAt', descending }), want);
  }
  const two = newest.toSorted((a, b) => a.bytesIn - b.bytesIn || b.bytesOut - a.bytesOut);
  assert.deepEqual(
    await ordered(
      { column: 'bytesIn', descending: false },
      { column: 'bytesOut', descending: true },
    ),
    two.map(({ id }) => id),
  );
});

test('the largest expression that may be read can be asked', async () => {
  const any: Condition = { kind: 'anywhere', match: 'part', text: 'nowhere' };
  let where: Condition = { kind: 'or', of: Array.from({ length: 128 }, () => any) };
  for (let depth = 0; depth < 32; depth++) where = { kind: 'not', of: where };
  assert.equal((await search({ where })).matchCount, 0);
});
