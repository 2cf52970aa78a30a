/** Facts become rows: in order, any number of times with the same result, whatever the database does meanwhile. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { newUuid, shortId } from '../../src/base/ids.ts';
import type { Fact, FactValue } from '../../src/ops/facts.ts';
import { connection, connectionJson, connections } from '../../src/store/connections.ts';
import type { Database } from '../../src/store/database.ts';
import { readInventory } from '../../src/store/inventory.ts';
import { FactWriter, endCrashed } from '../../src/store/trails.ts';
import type { FactWriterOptions } from '../../src/store/trails.ts';
import { Running } from '../support/process.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { testDatabase, testGate } from './setup.ts';

/** A writer that never gets through would otherwise keep a test for ever. */
const LIMIT = { timeout: 30_000 };
const START = 1_800_000_000_000_000;
const instance = newUuid(1_800_000_000_000);

function writer(
  db: Pick<Database, 'transaction'>,
  more: Partial<FactWriterOptions> = {},
): FactWriter {
  return new FactWriter(db, {
    onTrouble: (text) => assert.fail(text),
    onCommit: () => assert.fail('a commit was made'),
    now: () => 1_800_000_000_000,
    ...more,
  });
}

function started(at = START, of = instance): FactValue {
  return {
    kind: 'connection-started',
    instance: of,
    userId: 'u1',
    user: 'alice',
    sourceAddress: '127.0.0.1',
    sourcePort: 4711,
    clientVersion: 'OpenSSH_9.2',
    authMethod: 'publickey',
    keyFingerprint: 'SHA256:x',
    loginName: 'alice@root@db1',
    startedAt: at,
  };
}

/** A whole connection, as a session tells it. */
function story(at = START): Fact[] {
  const id = newUuid(at / 1000);
  const values: FactValue[] = [
    started(at),
    {
      kind: 'destination-chosen',
      targetId: 't1',
      target: 'db1',
      accountId: 'a1',
      account: 'root',
      address: '127.0.0.1',
      port: 22,
      rule: 'ops-db',
    },
    { kind: 'channel-opened', channel: 0, type: 'session', openedAt: at + 1 },
    { kind: 'channel-changed', channel: 0, type: 'exec', command: 'echo \0 \\xff' },
    { kind: 'channel-opened', channel: 1, type: 'session', openedAt: at + 2 },
    {
      kind: 'channel-ended',
      channel: 0,
      endedAt: at + 3,
      bytesIn: 1,
      bytesOut: 2 ** 40,
      end: 'exit 0',
    },
    {
      kind: 'connection-ended',
      status: 'DISCONNECTED',
      reason: 'closed by user',
      endedAt: at + 1_000_001,
      bytesIn: 10,
      bytesOut: 2 ** 41,
    },
  ];
  return values.map((value, sequence) => ({ connection: id, sequence, value }));
}

test('what a leg agreed on is told in the names of the command', async (t) => {
  const { db } = await testDatabase(t);
  const [first] = story();
  assert.ok(first);
  const up = { cipher: 'aes128-ctr', mac: 'hmac-sha2-256-etm@openssh.com' };
  const down = { cipher: 'aes128-gcm@openssh.com', mac: '' };
  const agreed = { kex: 'mlkem768x25519-sha256', hostKey: 'ssh-ed25519' };
  const algorithms = { ...agreed, clientToServer: up, serverToClient: down };
  const sink = writer(db);
  sink.emit(first);
  sink.emit({
    ...first,
    sequence: 1,
    value: { kind: 'leg-negotiated', leg: 'upstream', algorithms },
  });
  await sink.flush();
  const row = await connection(db, first.connection);
  assert.ok(row);
  assert.deepEqual(connectionJson(row).algorithms, {
    downstream: null,
    upstream: {
      kex: 'mlkem768x25519-sha256',
      host_key: 'ssh-ed25519',
      client_to_server: up,
      server_to_client: down,
    },
  });
});

test('a connection says what it is for and what it came through', async (t) => {
  const { db } = await testDatabase(t);
  const sink = writer(db);
  const [outer, inner, chosen, old] = [0, 1, 2, 3].map((ms) => newUuid(START / 1000 + ms));
  const tell = (connection: string | undefined, sequence: number, value: FactValue): void =>
    sink.emit({ connection: connection ?? '', sequence, value });
  const first = started();
  assert.ok(first.kind === 'connection-started' && outer !== undefined);
  tell(outer, 0, { ...first, connectionKind: 'gate' });
  tell(inner, 0, { ...first, connectionKind: 'target', parent: outer });
  tell(chosen, 0, { ...first, connectionKind: 'gate' });
  const [, destination] = story();
  assert.ok(destination);
  tell(chosen, 1, destination.value);
  tell(old, 0, first);
  await sink.flush();
  const seen = await Promise.all(
    [outer, inner, chosen, old].map(async (id) => {
      const row = await connection(db, id ?? '');
      assert.ok(row);
      const { kind, parent } = connectionJson(row);
      return [kind, parent];
    }),
  );
  assert.deepEqual(seen, [
    ['gate', null],
    ['target', outer],
    ['target', null],
    ['target', null],
  ]);
});

test('a connection told in facts is found by both its ids, with its channels', async (t) => {
  const { db } = await testDatabase(t);
  const facts = story();
  const id = facts[0]?.connection ?? '';
  const sink = writer(db);
  for (const fact of facts) sink.emit(fact);
  await sink.flush();
  const row = await connection(db, id);
  assert.ok(row);
  assert.deepEqual(await connection(db, shortId(id)), row);
  assert.equal(await connection(db, newUuid(1)), undefined);
  assert.equal(await connection(db, ''), undefined);
  assert.deepEqual(connectionJson(row), {
    id,
    short_id: shortId(id),
    kind: 'target',
    parent: null,
    user: 'alice',
    login_name: 'alice@root@db1',
    source_address: '127.0.0.1',
    source_port: 4711,
    client_version: 'OpenSSH_9.2',
    auth_method: 'publickey',
    key_fingerprint: 'SHA256:x',
    target: 'db1',
    account: 'root',
    address: '127.0.0.1',
    port: 22,
    rule: 'ops-db',
    algorithms: {
      downstream: null,
      upstream: null,
    },
    status: 'DISCONNECTED',
    reason: 'closed by user',
    started: '2027-01-15T08:00:00.000000Z',
    ended: '2027-01-15T08:00:01.000001Z',
    bytes_in: 10,
    bytes_out: 2 ** 41,
    instance,
    channels: [
      {
        id: 0,
        kind: 'exec',
        command: 'echo \uFFFD \\xff',
        destination: '',
        originator: '',
        protocol: '',
        opened: '2027-01-15T08:00:00.000001Z',
        ended: '2027-01-15T08:00:00.000003Z',
        bytes_in: 1,
        bytes_out: 2 ** 40,
        result: 'exit 0',
        tool: null,
      },
      {
        id: 1,
        kind: 'session',
        command: '',
        destination: '',
        originator: '',
        protocol: '',
        opened: '2027-01-15T08:00:00.000002Z',
        ended: null,
        bytes_in: 0,
        bytes_out: 0,
        result: null,
        tool: null,
      },
    ],
  });
});

test('a channel that forwards says where to, from where, and what it carries', async (t) => {
  const { db } = await testDatabase(t);
  const sink = writer(db);
  const facts = story();
  const id = facts[0]?.connection ?? '';
  const [destination, originator] = ['db:5432', '127.0.0.1:4711'];
  const more: FactValue[] = [
    { kind: 'channel-opened', channel: 2, type: 'direct-tcpip', openedAt: START + 5 },
    { kind: 'channel-forwards', channel: 2, type: 'local-forward', destination, originator },
    { kind: 'channel-carries', channel: 2, protocol: 'postgres' },
  ];
  for (const fact of facts) sink.emit(fact);
  more.forEach((value, i) => {
    sink.emit({ connection: id, sequence: facts.length + i, value });
  });
  await sink.flush();
  const row = await connection(db, id);
  assert.ok(row);
  const channel = connectionJson(row).channels[2];
  assert.equal(channel?.kind, 'local-forward');
  assert.equal(channel.destination, destination);
  assert.equal(channel.originator, originator);
  assert.equal(channel.protocol, 'postgres');
});

test('facts applied twice, in parts, or again after a crash give the same rows', async (t) => {
  const { db } = await testDatabase(t);
  const facts = story();
  const sink = writer(db);
  for (const fact of facts) sink.emit(fact);
  await sink.flush();
  const once = await connections(db);
  for (let from = 0; from < facts.length; from++) {
    const again = writer(db);
    for (const fact of [...facts.slice(from), ...facts]) again.emit(fact);
    await again.flush();
    assert.deepEqual(await connections(db), once);
  }
  for (let cut = 1; cut < facts.length; cut++) {
    const other = story();
    const before = writer(db);
    for (const fact of other.slice(0, cut)) before.emit(fact);
    await before.flush();
    const after = writer(db);
    for (const fact of other) after.emit(fact);
    await after.flush();
    const row = await connection(db, other[0]?.connection ?? '');
    assert.ok(row);
    const [first] = once;
    assert.ok(first);
    const { id, short_id } = connectionJson(row);
    assert.deepEqual({ ...connectionJson(first), id, short_id }, connectionJson(row));
  }
});

test('a connection whose first facts are lost has a row all the same', async (t) => {
  const { db } = await testDatabase(t);
  const sink = writer(db);
  const last = story().at(-1) ?? assert.fail();
  sink.emit(last);
  await sink.flush();
  const row = await connection(db, last.connection);
  assert.equal(row?.status, 'DISCONNECTED');
  assert.equal(row.startedAt, START);
});

test('connections are listed newest first, by limit, ids and status', async (t) => {
  const { db } = await testDatabase(t);
  const sink = writer(db);
  const stories = Array.from({ length: 20 }, (_, i) => story(START + i * 1_000_000));
  for (const facts of stories) for (const fact of facts.slice(0, -1)) sink.emit(fact);
  const [oldest = []] = stories;
  sink.emit(oldest.at(-1) ?? assert.fail());
  await sink.flush();
  const ids = stories.map(([fact]) => fact?.connection ?? '').toReversed();
  const list = async (query: Parameters<typeof connections>[1]) =>
    (await connections(db, query)).map(({ id }) => id);
  assert.deepEqual(await list({}), ids);
  assert.deepEqual(await list({ limit: 3 }), ids.slice(0, 3));
  assert.deepEqual(await list({ limit: 0 }), []);
  assert.deepEqual(await list({ ids: ids.slice(4, 6) }), ids.slice(4, 6));
  assert.deepEqual(await list({ ids: [] }), []);
  assert.deepEqual(await list({ status: 'DISCONNECTED' }), ids.slice(-1));
  assert.equal((await list({ status: 'CONNECTED' })).length, 19);
});

/** Another process that holds the write lock of the database until it is told to let go. */
async function lockedByAnother(scope: Scope, path: string): Promise<() => Promise<void>> {
  const script = `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(process.argv[1]);
    db.exec('BEGIN IMMEDIATE');
    console.log('locked');
    process.stdin.resume().on('end', () => { db.exec('COMMIT'); db.close(); });`;
  const other = new Running([process.execPath, '-e', script, path], {});
  defer(scope, async () => {
    await other.stop();
  });
  await other.line(/^locked$/);
  return async () => {
    other.stdin?.end();
    assert.equal((await other.exited).code, 0);
  };
}

test('a database locked by another process delays facts and loses none', LIMIT, async (t) => {
  const { db, path } = await testDatabase(t, { busyTimeoutMs: 10 });
  const trouble: string[] = [];
  const { promise: troubled, resolve } = Promise.withResolvers<unknown>();
  const onTrouble = (text: string) => {
    trouble.push(text);
    resolve(undefined);
  };
  const letGo = await lockedByAnother(t, path);
  const sink = writer(db, { onTrouble });
  const stories = Array.from({ length: 100 }, () => story());
  for (let i = 0; i < 7; i++) for (const facts of stories) sink.emit(facts[i] ?? assert.fail());
  await troubled;
  assert.equal(sink.pending, 700);
  assert.equal((await connections(db)).length, 0);
  await letGo();
  await sink.flush();
  assert.match(trouble[0] ?? '', /700 facts wait for the database: SQLITE_BUSY/);
  assert.equal(trouble.at(-1), 'the database takes facts again');
  assert.equal(sink.pending + sink.lost, 0);
  const rows = await connections(db);
  assert.equal(rows.length, 100);
  assert.ok(rows.every((row) => row.status === 'DISCONNECTED' && row.channels.length === 2));
});

test('close does not wait for ever for a locked database and says what is left', async (t) => {
  const { db, path } = await testDatabase(t, { busyTimeoutMs: 10 });
  const letGo = await lockedByAnother(t, path);
  const trouble: string[] = [];
  const sink = writer(db, { onTrouble: (text) => trouble.push(text) });
  for (const fact of story()) sink.emit(fact);
  await sink.flush(10);
  assert.equal(sink.pending, 7, 'nor does a flush with a deadline');
  assert.equal(await sink.close(100), 7);
  await letGo();
  sink.emit(story()[0] ?? assert.fail());
  assert.equal(sink.lost, 1);
  assert.match(trouble.at(-1) ?? '', /being lost/);
});

test('the queue is bounded: full says so in time, and what is left out is told and counted', async (t) => {
  const { db } = await testDatabase(t);
  const trouble: string[] = [];
  const limits = { softLimit: 5, hardLimit: 7 };
  const sink = writer(db, { ...limits, onTrouble: (text) => trouble.push(text) });
  const facts = [...story(), ...story()];
  for (const [i, fact] of facts.entries()) {
    assert.equal(sink.full, i >= 5);
    sink.emit(fact);
  }
  assert.equal(sink.lost, 7);
  assert.equal(trouble.length, 1);
  await sink.flush();
  assert.equal(sink.full, false);
  assert.equal((await connections(db)).length, 1);
});

test('a fact that can never be applied is told and holds up no other', async (t) => {
  const { db } = await testDatabase(t);
  const trouble: string[] = [];
  const sink = writer(db, { onTrouble: (text) => trouble.push(text) });
  const [good, bad] = [story(), story()];
  for (const [i, fact] of good.entries()) {
    sink.emit(fact);
    const value = { ...started(), userId: null } as unknown as FactValue;
    if (i === 2) sink.emit({ connection: bad[0]?.connection ?? '', sequence: 0, value });
    if (i === 3) sink.emit({ connection: 'no id at all', sequence: 0, value: started() });
  }
  await sink.flush();
  assert.equal((await connection(db, good[0]?.connection ?? ''))?.status, 'DISCONNECTED');
  assert.equal(sink.lost, 2);
  assert.equal(trouble.length, 2);
  assert.match(trouble[0] ?? '', /^fact 0 \(connection-started\) of .* cannot be applied/);
});

test('a lock that comes while facts are tried one by one loses none', LIMIT, async (t) => {
  const { db, path } = await testDatabase(t, { busyTimeoutMs: 10 });
  const other = await testDatabase(t, { path });
  const free = Promise.withResolvers<undefined>();
  let held: Promise<unknown> = Promise.resolve();
  let calls = 0;
  const transaction: Database['transaction'] = async (work) => {
    // The first takes the whole batch, the second its bad fact alone, the third the first good one.
    if (++calls === 3) {
      const locked = Promise.withResolvers<undefined>();
      held = other.db.transaction(() => {
        locked.resolve(undefined);
        return free.promise;
      });
      await locked.promise;
    }
    return db.transaction(work);
  };
  const trouble: string[] = [];
  const onTrouble = (text: string) => {
    trouble.push(/cannot be applied|wait for|takes facts again/.exec(text)?.[0] ?? text);
    if (text.includes('wait for')) free.resolve(undefined);
  };
  const sink = writer({ transaction }, { onTrouble });
  const facts = story();
  sink.emit({ connection: 'no id at all', sequence: 0, value: started() });
  for (const fact of facts) sink.emit(fact);
  await sink.flush();
  await held;
  assert.equal(sink.lost, 1);
  assert.deepEqual(trouble, ['cannot be applied', 'wait for', 'takes facts again']);
  assert.equal((await connection(db, facts[0]?.connection ?? ''))?.status, 'DISCONNECTED');
});

test('the first host key of an accept-new target becomes a commit, once', async (t) => {
  const gate = await testGate(t);
  await gate.apply(`targets:
  - { name: web, address: 127.0.0.1, host_key_policy: accept-new }
  - { name: fix, address: 127.0.0.1, host_keys: ["${gate.key}"] }`);
  const ids = Object.fromEntries(
    (await readInventory(gate.db)).targets.map(({ name, id }) => [name, id]),
  );
  const seen: number[] = [];
  const trouble: string[] = [];
  const sink = writer(gate.db, {
    onCommit: (number) => seen.push(number),
    onTrouble: (text) => trouble.push(text),
  });
  const tell = async (target: string, hostKey: string, fact = story()[0] ?? assert.fail()) => {
    sink.emit(fact);
    const value = {
      kind: 'host-key-learned',
      targetId: ids[target] ?? '',
      target,
      hostKey,
    } as const;
    for (let i = 0; i < 2; i++) sink.emit({ connection: fact.connection, sequence: 1, value });
    await sink.flush();
  };
  await tell('web', 'ssh-ed25519 AAAA');
  assert.deepEqual(seen, [2]);
  const { targets, commit } = await readInventory(gate.db);
  assert.equal(commit, 2);
  assert.deepEqual(targets.find(({ name }) => name === 'web')?.hostKeys, ['ssh-ed25519 AAAA']);
  await tell('web', 'ssh-ed25519 AAAA');
  assert.deepEqual([seen, trouble], [[2], []]);
  await tell('web', 'ssh-ed25519 BBBB');
  await tell('fix', 'ssh-ed25519 BBBB');
  assert.deepEqual(seen, [2]);
  assert.equal(trouble.length, 2);
  assert.equal((await readInventory(gate.db)).commit, 2);
});

test('rows of dead instances end as CRASHED, and those that never came to be are made', async (t) => {
  const { db } = await testDatabase(t);
  const living = newUuid(START / 1000);
  const sink = writer(db);
  const [ended, cut, alive, unseen, headless] = [story(), story(), story(), story(), story()];
  const idOf = (facts: Fact[]) => facts[0]?.connection ?? '';
  for (const fact of [...ended, ...cut.slice(0, 3)]) sink.emit(fact);
  sink.emit({ connection: idOf(alive), sequence: 0, value: started(START, living) });
  await sink.flush();
  const options = {
    living: [living],
    reason: 'the gate died',
    endedAt: START + 60_000_000,
    recovered: [
      { connection: idOf(cut), facts: cut.slice(0, 6), endedAt: START + 7 },
      { connection: idOf(unseen), facts: unseen.slice(0, 1) },
      { connection: idOf(headless), facts: [] },
      { connection: idOf(ended), facts: ended, endedAt: START + 9 },
    ],
  };
  const report = await endCrashed(db, options);
  const three = [idOf(cut), idOf(unseen), idOf(headless)];
  assert.deepEqual(report.crashed.toSorted(), three.toSorted());
  assert.deepEqual(report.created, [idOf(unseen), idOf(headless)]);
  const rows = new Map((await connections(db)).map((row) => [row.id, row]));
  assert.equal(rows.get(idOf(ended))?.status, 'DISCONNECTED');
  assert.equal(rows.get(idOf(alive))?.status, 'CONNECTED');
  const row = rows.get(idOf(cut));
  assert.deepEqual(
    [row?.status, row?.reason, row?.endedAt],
    ['CRASHED', 'the gate died', START + 7],
  );
  assert.deepEqual(
    row?.channels.map(({ result, endedAt }) => [result, endedAt]),
    [
      ['exit 0', START + 3],
      ['the gate died', START + 7],
    ],
  );
  assert.equal(rows.get(idOf(unseen))?.endedAt, START + 60_000_000);
  assert.equal(rows.get(idOf(headless))?.status, 'CRASHED');
  assert.deepEqual(await endCrashed(db, options), { crashed: [], created: [] });
});

test('without the living instances only the recovered connections end, each at its own time', async (t) => {
  const { db } = await testDatabase(t);
  const sink = writer(db);
  const both = [story(), story()];
  for (const facts of both) sink.emit(facts[0] ?? assert.fail());
  await sink.flush();
  const [first = '', second = ''] = both.map(([fact]) => fact?.connection);
  const end = (recovered: { connection: string; facts: Fact[]; endedAt: number }[]) =>
    endCrashed(db, { reason: 'the gate died', endedAt: START + 99, recovered });
  await end([{ connection: first, facts: [], endedAt: START + 5 }]);
  assert.equal((await connection(db, second))?.status, 'CONNECTED');
  await end([{ connection: second, facts: [], endedAt: START + 6 }]);
  assert.equal((await connection(db, first))?.endedAt, START + 5);
  assert.equal((await connection(db, second))?.endedAt, START + 6);
});
