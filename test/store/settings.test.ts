/** Settings, expiries and passwords as objects: applied, kept, exported, and invisible in what was before them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUuid } from '../../src/base/ids.ts';
import { commits, verifyAudit } from '../../src/store/audit.ts';
import { exportInventory } from '../../src/store/inventory-export.ts';
import { readInventory } from '../../src/store/inventory.ts';
import { LoginSessionRows } from '../../src/store/login-sessions.ts';
import { DEFAULT_SETTINGS } from '../../src/store/rows.ts';
import { sampleInventory, testDatabase, testGate } from './setup.ts';

test('settings come as they are by default; what is said is a change, and stays when it is left out', async (t) => {
  const { db, apply, key } = await testGate(t);
  await apply(sampleInventory(key));
  assert.deepEqual((await readInventory(db)).settings, DEFAULT_SETTINGS);
  const said = await apply('settings: { rights_at_once: true, end_sessions_on_change: false }');
  assert.equal(said.commit, 2);
  const [change] = 'changes' in said ? said.changes : [];
  assert.deepEqual(change?.fields, ['end_sessions_on_change', 'rights_at_once']);
  assert.equal(change.kind, 'setting');
  const wanted = { ...DEFAULT_SETTINGS, rightsAtOnce: true, endSessionsOnChange: false };
  await apply('settings:\n');
  await apply('users: []', { prune: true });
  const now = await readInventory(db);
  assert.deepEqual(now.settings, wanted);
  assert.deepEqual(now.users, []);
  assert.match(
    exportInventory(now),
    /settings:\n {2}end_sessions_on_change: false\n {2}rights_at_once: true\n/,
  );
  assert.equal((await apply(exportInventory(now))).commit, null);
  await assert.rejects(apply('settings: { colour: true }'), /:1: .*unknown key "colour"/);
  await assert.rejects(apply('\nsettings: { rights_at_once: maybe }'), /:2: .*rights_at_once/);
  assert.equal((await verifyAudit(db)).ok, true);
});

test('a commit without settings or expiries says nothing of them', async (t) => {
  const { db, apply, key } = await testGate(t);
  await apply(sampleInventory(key));
  const [first] = await commits(db);
  const text = JSON.stringify(first?.diff);
  assert.ok(!/setting|expires|password_|passwordId/.test(text), text);
});

test('a user has an expiry as a day or a time, and null takes it away', async (t) => {
  const { db, apply } = await testGate(t);
  const expires = async () => (await readInventory(db)).users[0]?.expires;
  await apply('users: [{ name: eve, expires: 2027-01-31 }]');
  assert.equal(await expires(), Date.UTC(2027, 0, 31) * 1000);
  assert.equal((await apply(exportInventory(await readInventory(db)))).commit, null);
  await apply('users: [{ name: eve }]');
  assert.equal(await expires(), Date.UTC(2027, 0, 31) * 1000);
  await apply('users: [{ name: eve, expires: "2027-01-31T09:30:00+02:00" }]');
  assert.equal(await expires(), Date.UTC(2027, 0, 31, 7, 30) * 1000);
  await apply('users: [{ name: eve, expires: null }]');
  assert.equal(await expires(), null);
  for (const wrong of ['2027-02-30', 'soon', '9999-12-31', '1969-12-31', '12', 'true']) {
    await assert.rejects(
      apply(`users: [{ name: eve, expires: ${wrong} }]`),
      /user "eve": expires/,
      wrong,
    );
  }
});

test('a password is an object that is new with each hash, and gone with it', async (t) => {
  const { db, apply } = await testGate(t);
  const eve = async () => {
    const [user] = (await readInventory(db)).users;
    assert.ok(user);
    return user;
  };
  await apply('users: [{ name: eve, password: "one" }]');
  const one = await eve();
  assert.ok(isUuid(one.passwordId ?? ''));
  assert.equal(one.passwordCreated, 1_800_000_000);
  await apply('users: [{ name: eve, password: "one" }]', { now: () => 1_900_000_000_000 });
  assert.deepEqual(await eve(), one);
  await apply('users: [{ name: eve, password: "two" }]', { now: () => 1_900_000_000_000 });
  const two = await eve();
  assert.notEqual(two.passwordId, one.passwordId);
  assert.equal(two.passwordCreated, 1_900_000_000);
  await apply('users: [{ name: eve, password: null }]');
  const { passwordId, passwordCreated } = await eve();
  assert.deepEqual([passwordId, passwordCreated], [null, null]);
});

test('sessions of the API are rows: written, found, and removed by cookie, user and time', async (t) => {
  const { db } = await testDatabase(t);
  const rows = new LoginSessionRows(db);
  const row = (digit: string, userId: string, expiresAt: number) => ({
    digest: digit.repeat(64),
    userId,
    data: '{}',
    createdAt: 1,
    expiresAt,
  });
  const [a, b, c] = [row('a', 'u1', 100), row('b', 'u2', 200), row('c', 'u2', 300)];
  for (const one of [a, b, c]) await rows.put(one);
  await rows.put({ ...a, data: '{"x":1}', expiresAt: 150 });
  assert.deepEqual({ ...(await rows.get(a.digest)) }, { ...a, data: '{"x":1}', expiresAt: 150 });
  await rows.removeExpired(150);
  assert.ok(await rows.get(a.digest));
  await rows.removeExpired(151);
  assert.equal(await rows.get(a.digest), undefined);
  await rows.remove(b.digest);
  assert.equal(await rows.get(b.digest), undefined);
  assert.ok(await rows.get(c.digest));
});
