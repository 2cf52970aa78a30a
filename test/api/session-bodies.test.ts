/**
 * Bodies of sessions and channels from the rows of a real gate: everything that the SPS contract names is there and true
 * of what OpenSSH's clients just did, every field can be searched by the value that it shows, and the events tell the story.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { channelBody, channelShape } from '../../src/api/channel-body.ts';
import { conditionOf, searchFields } from '../../src/api/search-fields.ts';
import { parseQuery, printQuery } from '../../src/api/search-query.ts';
import { sessionBody, sessionShape } from '../../src/api/session-body.ts';
import type { SessionBody } from '../../src/api/session-body.ts';
import { eventShape, sessionEvents } from '../../src/api/session-events.ts';
import { valueAt } from '../../src/api/session-fields.ts';
import { isUuid } from '../../src/base/ids.ts';
import { Storage } from '../../src/recording/storage.ts';
import { searchConnections } from '../../src/store/connection-search.ts';
import type { ConnectionRow } from '../../src/store/connections.ts';
import { openDatabase } from '../../src/store/database.ts';
import type { Database } from '../../src/store/database.ts';
import { ALL, ask, startEcho } from '../e2e/forward-place.ts';
import { eventually } from '../support/eventually.ts';
import { scp, sftp } from '../support/file-clients.ts';
import { freePort } from '../support/free-port.ts';
import { ManualScope, defer } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh, startSsh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';

const NODE = '0191e5c4-0000-7000-8000-000000000000';

suite('bodies of sessions', () => {
  const scope = new ManualScope();
  let site: Site;
  let db: Database;
  let storage: Storage;

  before(async () => {
    site = await startSite(scope, { channels: ALL });
    const { dir } = site.gate;
    db = await openDatabase({ path: join(dir, 'data/sallyport.db') });
    defer(scope, () => db.close());
    storage = new Storage(join(dir, 'recordings'));
  });
  after(() => scope.end());

  const now = Date.now() * 1000 + 3_600_000_000;

  async function found(q: string): Promise<readonly ConnectionRow[]> {
    const where = conditionOf(parseQuery(q), { nodeId: NODE });
    return (await searchConnections(db, { where, limit: 500, offset: 0, now })).rows;
  }

  async function newest(): Promise<ConnectionRow | undefined> {
    return (await searchConnections(db, { limit: 1, offset: 0, now })).rows[0];
  }

  /** The session that `work` makes, once it has ended. */
  async function sessionOf(work: () => Promise<unknown>): Promise<ConnectionRow> {
    const last = await newest();
    await work();
    return eventually('the end of the session', async () => {
      const row = await newest();
      return row && row.id !== last?.id && row.status !== 'CONNECTED' ? row : undefined;
    });
  }

  const bodyOf = (row: ConnectionRow): SessionBody =>
    sessionBody(row, { nodeId: NODE, now, ruleId: (name) => (name === 'all' ? 'r1' : undefined) });

  test('a session that has ended has all that the contract names', async () => {
    const row = await sessionOf(() => ssh(site.to, 'echo in-a-body; exit 3'));
    const body = sessionShape.parse(bodyOf(row));
    const { port, user, host } = site.target;
    assert.equal(body.active, false);
    assert.equal(body.protocol, 'SSH');
    assert.match(body.start_time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.ok(body.end_time !== null && body.end_time >= body.start_time);
    assert.equal(body.creation_time, body.start_time);
    const { ip, name, port: from } = body.client;
    assert.deepEqual([ip, name, typeof from], ['127.0.0.1', '127.0.0.1', 'number']);
    assert.deepEqual(body.server, { ip: host, name: 'db1', port });
    assert.deepEqual(body.recording.target, body.server);
    assert.deepEqual(body.user, {
      name: 'alice',
      gateway_username: 'alice',
      server_username: user,
    });
    assert.equal(body.verdict, 'ACCEPT');
    assert.equal(body.node_id, NODE);
    assert.equal(body.recording.auth_method, 'publickey');
    assert.equal(body.recording.connection_policy, 'all');
    assert.equal(body.recording.connection_policy_id, 'r1');
    assert.equal(body.recording.has_accepted_channel, true);
    assert.match(body.recording.session_id, new RegExp(`^svc/${row.shortId}/all:\\d+$`));
    assert.equal(body.recording.session_id, bodyOf({ ...row }).recording.session_id);
    const href = `/api/audit/sessions/${row.shortId}`;
    assert.equal(body.recording.audit_trail.download.href, `${href}/audit_trail`);
    assert.deepEqual(body.channels, { href: `${href}/channels` });
    assert.ok(isUuid(body.gate.id));
    assert.equal(body.gate.status, 'DISCONNECTED');
    assert.match(body.gate.client_version, /OpenSSH/);
    assert.match(body.gate.algorithms.upstream?.kex ?? '', /./);
  });

  test('each field finds the session by the value that it shows', async () => {
    const row = await sessionOf(() => ssh(site.to, 'true'));
    const body = bodyOf(row);
    const term = (field: string, value: string): string =>
      printQuery({ kind: 'term', field, value, prefix: false, at: 0 });
    let asked = 0;
    for (const { name } of searchFields()) {
      const value = valueAt(body, name);
      const isScalar =
        typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
      if (!isScalar) continue;
      const q = `gate.id:"${row.id}" AND ${term(name, String(value))}`;
      assert.deepEqual(
        (await found(q)).map(({ id }) => id),
        [row.id],
        q,
      );
      assert.deepEqual(await found(q.replace(' AND ', ' AND NOT ')), [], q);
      asked++;
    }
    assert.ok(asked >= 30, `${asked} fields were asked`);
    const { session_id: session } = body.recording;
    const other = session.replace(/\d+$/, (number) => String(Number(number) + 1));
    assert.deepEqual(await found(`recording.session_id:"${other}"`), []);
    assert.equal((await found(row.shortId)).length, 1);
  });

  test('a session that runs is active and has no end', async (t) => {
    const session = startSsh(t, site.to, 'echo up; cat');
    await session.line(/^up$/);
    const row = await eventually('the row', async () => (await found('active:true'))[0]);
    const body = sessionShape.parse(bodyOf(row));
    assert.deepEqual([body.active, body.end_time], [true, null]);
    assert.ok(body.duration >= 3_500, 'so far');
    assert.equal(body.recording.index_status, 'CHANNEL_OPEN');
    session.stdin?.end();
    await session.exited;
    await eventually('the end', async () => (await found('active:true')).length === 0);
  });

  test('a session that no rule let anywhere is rejected', async () => {
    const row = await sessionOf(() => ssh(site.as('alice@nobody@db1'), 'true'));
    const body = sessionShape.parse(bodyOf(row));
    assert.equal(body.verdict, 'REJECT');
    assert.deepEqual(body.server, { ip: null, name: null, port: null });
    assert.equal(body.recording.connection_policy, null);
    assert.match(body.recording.session_id, new RegExp(`^svc/${row.shortId}/-:\\d+$`));
    const ids = (await found('verdict:reject')).map(({ id }) => id);
    assert.deepEqual(ids, [row.id]);
    assert.equal((await found(`recording.session_id:"${body.recording.session_id}"`)).length, 1);
  });

  test('channels have the type of what was done in them, and what belongs to it', async (t) => {
    const local = tempDir(t);
    const file = join(local, 'from here');
    writeFileSync(file, 'content');
    const channelsOf = async (work: () => Promise<unknown>) =>
      (await sessionOf(work)).channels.map((row) => channelShape.parse(channelBody(row, now)));
    const [exec] = await channelsOf(() => ssh(site.to, 'echo "a b"'));
    assert.deepEqual(
      [exec?.type, exec?.command, exec?.verdict],
      ['session exec', 'echo "a b"', 'accept'],
    );
    assert.ok(exec && exec.end_time !== null && exec.end_time >= exec.start_time);
    const [shell] = await channelsOf(() => ssh(site.to, undefined, { input: 'exit\n' }));
    assert.equal(shell?.type, 'session shell');
    const [copied] = await channelsOf(() => scp(site.to, ['-O'], file, `HOST:${local}/there`));
    assert.deepEqual([copied?.type, copied?.scp_path], ['session exec scp', `${local}/there`]);
    const [moved] = await channelsOf(() => sftp(site.to, [`put "${file}" ${local}/sftp`]));
    assert.deepEqual([moved?.type, moved?.subsystem_name], ['session subsystem sftp', 'sftp']);
    const echo = await startEcho(t);
    const port = await freePort(t);
    const flags = ['-L', `127.0.0.1:${port}:127.0.0.1:${echo.port}`];
    const [, forward] = await channelsOf(async () => {
      const session = startSsh(t, site.to, 'echo up; cat', { flags });
      await session.line(/^up$/);
      assert.equal(await ask({ port }, ['x']), 'X');
      session.stdin?.end();
      await session.exited;
    });
    assert.equal(forward?.type, 'local forward');
    assert.deepEqual(forward.connected, { ip: '127.0.0.1', name: '127.0.0.1', port: echo.port });
    assert.equal(forward.originator?.ip, '127.0.0.1');
    const q = `channels.type:"local forward" recording.target.port:${site.target.port}`;
    assert.equal((await found(q)).length, 1);
  });

  test('events tell what was asked for and what became of it, in order and within a budget', async () => {
    const { id } = await sessionOf(() => ssh(site.to, 'echo told; exit 4'));
    const { events, isComplete } = await sessionEvents(storage, id);
    assert.ok(isComplete);
    for (const { body } of events) eventShape.parse(body);
    const times = events.map(({ body }) => body.time);
    assert.deepEqual(times, times.toSorted());
    assert.equal(new Set(events.map(({ key }) => key)).size, events.length);
    const request = events.find(({ body }) => body.details['type'] === 'exec');
    assert.equal(request?.body.details['command'], 'echo told; exit 4');
    assert.deepEqual(
      [request.body.from, request.body.channel, request.body.fate],
      ['downstream', 0, 'passed'],
    );
    const exit = events.find(({ body }) => body.details['type'] === 'exit-status');
    assert.deepEqual([exit?.body.from, exit?.body.details['status']], ['upstream', 4]);
    assert.ok(!events.some(({ body }) => body.type === 'stdout'));
    const few = await sessionEvents(storage, id, { events: 3 });
    assert.deepEqual([few.events.length, few.isComplete], [3, false]);
    assert.equal((await sessionEvents(storage, id, { bytes: 1 })).isComplete, false);
  });
});
