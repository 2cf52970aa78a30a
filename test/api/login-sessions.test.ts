/**
 * How long a session of the API lives: 20 minutes after its last use, in the database too, and not a moment longer;
 * and that whoever logs in without end fills no memory.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Snapshot, SnapshotHolder } from '../../src/access/snapshot.ts';
import { digestOf, IDLE_MS, LoginSessions } from '../../src/api/login-sessions.ts';
import type { LoginSessionsOptions } from '../../src/api/login-sessions.ts';
import { inventory, user } from '../access/inventory-fixture.ts';

const MINUTE = 60_000;
const alice = user('alice', { passwordHash: 'x' });

function place() {
  const clock = { ms: Date.UTC(2027, 0, 31) };
  const rows = new Map<string, Parameters<LoginSessionsOptions['rows']['put']>[0]>();
  const read: string[] = [];
  const options: LoginSessionsOptions = {
    rows: {
      get: (digest) => {
        read.push(digest);
        return Promise.resolve(rows.get(digest));
      },
      put: (row) => Promise.resolve(void rows.set(row.digest, row)),
      remove: (digest) => Promise.resolve(void rows.delete(digest)),
      removeExpired: (now) => {
        for (const [digest, { expiresAt }] of rows) if (expiresAt < now) rows.delete(digest);
        return Promise.resolve();
      },
    },
    snapshots: new SnapshotHolder(new Snapshot(inventory({ users: [alice] }))),
    now: () => clock.ms,
  };
  return { clock, rows, read, options, sessions: new LoginSessions(options) };
}

test('a session lives for 20 minutes after its last use', async () => {
  assert.equal(IDLE_MS, 20 * MINUTE);
  const { clock, rows, sessions } = place();
  const cookie = sessions.genid();
  const data = sessions.dataOf(alice, []);
  await sessions.set(cookie, data);
  for (let i = 0; i < 5; i++) {
    clock.ms += 19 * MINUTE;
    const known = await sessions.get(cookie);
    assert.ok(known, `not used for 19 minutes, time ${i}`);
    await sessions.set(cookie, known);
  }
  assert.equal(sessions.aliveUntil(digestOf(cookie)), clock.ms + IDLE_MS);
  clock.ms += IDLE_MS;
  assert.equal(sessions.aliveUntil(digestOf(cookie)), undefined);
  assert.equal(await sessions.get(cookie), undefined);
  assert.equal(rows.size, 0);
  await sessions.set(cookie, data);
  assert.equal(await sessions.get(cookie), undefined, 'a late request has brought it back');
});

test('a gate that starts again knows it for as long as it had left', async () => {
  const { clock, rows, sessions, options } = place();
  const cookie = sessions.genid();
  await sessions.set(cookie, sessions.dataOf(alice, []));
  assert.equal(JSON.stringify([...rows.values()]).includes(cookie), false);
  clock.ms += 19 * MINUTE;
  assert.ok(await new LoginSessions(options).get(cookie));
  clock.ms += MINUTE;
  assert.equal(await new LoginSessions(options).get(cookie), undefined);
});

test('of more sessions than memory holds the one not seen for longest is read again', async () => {
  const { read, sessions } = place();
  const data = sessions.dataOf(alice, []);
  const [used, unused] = [sessions.genid(), sessions.genid()];
  await sessions.set(used, data);
  await sessions.set(unused, data);
  await sessions.set(used, data);
  for (let i = 2; i <= 10_000; i++) await sessions.set(sessions.genid(), data);
  assert.ok(await sessions.get(used));
  assert.deepEqual(read, []);
  assert.ok(await sessions.get(unused));
  assert.deepEqual(read, [digestOf(unused)]);
});
