/**
 * Changes of the configuration over the API: nothing without a transaction, one transaction at a time, seen by its owner
 * alone, committed as a whole into the audit log, and gone with its session.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startApiGate } from '../support/api-gate.ts';
import type { ApiGate } from '../support/api-gate.ts';
import { ManualScope } from '../support/scope.ts';

const DB = '/api/configuration/aaa/local_database';
const GROUPS = `${DB}/groups`;
const USERS = `${DB}/users`;
const TRANSACTION = '/api/transaction';

suite('transactions', () => {
  const scope = new ManualScope();
  let place: ApiGate;
  before(async () => {
    place = await startApiGate(scope, {
      inventory: {
        users: [
          { name: 'second', password: 'the second one', groups: ['changers'] },
          { name: 'other', password: 'what he had', groups: ['changers'] },
        ],
        groups: [{ name: 'changers' }],
        acls: [{ group: 'changers', objects: ['/special/auth'], permission: 'write' }],
      },
    });
  });
  after(() => scope.end());

  test('a change without a transaction is refused and changes nothing', async () => {
    const admin = await place.admin();
    const was = await admin.get(GROUPS);
    const { status, json } = await admin.post(GROUPS, { name: 'nobody', members: [] });
    assert.equal(status, 409);
    assert.equal(json['error']?.['type'], 'NoTransaction');
    assert.deepEqual((await admin.get(GROUPS)).json, was.json);
    for (const method of ['PUT', 'DELETE'] as const) {
      const body = method === 'PUT' ? { body: { status: 'commit' } } : {};
      assert.equal((await admin.send(method, TRANSACTION, body)).status, 409, method);
    }
  });

  test('its owner sees his changes, others what is committed, and a commit makes it live', async () => {
    const admin = await place.admin();
    const second = await place.as('second', 'the second one');
    const opened = await admin.post(TRANSACTION);
    assert.equal(opened.status, 200);
    assert.equal(opened.json['body']?.['status'], 'open');
    assert.deepEqual(opened.json['transaction'], { status: 'open' });
    assert.equal((await admin.post(TRANSACTION)).json['error']?.['type'], 'TransactionAlreadyOpen');
    const locked = await second.post(TRANSACTION);
    assert.equal(locked.status, 409);
    assert.equal(locked.json['error']?.['type'], 'ConfigurationLocked');

    const made = await admin.post(GROUPS, { name: 'ops', members: [] });
    assert.equal(made.status, 201, made.bytes.toString());
    const key = String(made.json['key']);
    assert.match(key, /^[0-9a-f]{22}$/);
    assert.equal((await admin.get(`${GROUPS}/${key}`)).status, 200);
    assert.equal((await second.get(`${GROUPS}/${key}`)).status, 404);
    assert.equal((await second.get(TRANSACTION)).json['body']?.['status'], 'closed');
    const { json } = await admin.get(`${TRANSACTION}/changes`);
    assert.deepEqual(json['changes'], [
      { type: 'create', path: `${GROUPS}/${key}`, new_value: { name: 'ops', members: [] } },
    ]);

    const committed = await admin.put(TRANSACTION, { status: 'commit', message: 'people of ops' });
    assert.equal(committed.status, 200, committed.bytes.toString());
    assert.equal(committed.json['body']?.['status'], 'closed');
    assert.equal((await second.get(`${GROUPS}/${key}`)).json['body']?.['name'], 'ops');
    const { items } = (await admin.get('/api/audit/changes?limit=1')).json as unknown as {
      items: { body: { author: string; message: string } }[];
    };
    assert.equal(items[0]?.body.author, 'admin');
    assert.equal(items[0].body.message, 'people of ops');
    assert.match(await place.gate.text(['audit', 'verify']), /in agreement with \d+ heads/);
  });

  test('what is dropped, or left by a session that ends, is not there', async () => {
    const admin = await place.admin();
    await admin.post(TRANSACTION);
    await admin.post(GROUPS, { name: 'dropped', members: [] });
    assert.equal((await admin.delete(TRANSACTION)).status, 200);
    await admin.post(TRANSACTION);
    await admin.post(GROUPS, { name: 'left', members: [] });
    assert.equal((await admin.delete('/api/authentication')).status, 200);
    const again = await place.admin();
    assert.equal((await again.get(TRANSACTION)).json['body']?.['status'], 'closed');
    assert.equal((await again.post(TRANSACTION)).status, 200);
    const names = (await again.get(GROUPS)).bytes.toString();
    assert.doesNotMatch(names, /dropped|left/);
    await again.delete(TRANSACTION);
  });

  test('a password is given once, and a commit with a new one ends the sessions of its user', async () => {
    const admin = await place.admin();
    const other = await place.as('other', 'what he had');
    const { json } = await admin.get(USERS);
    const users = json['items'] as unknown as { key: string; body: { name: string } }[];
    const key = users.find(({ body }) => body.name === 'other')?.key ?? '';
    await admin.post(TRANSACTION);
    const made = await admin.post('/api/configuration/passwords', { plain: 'another one' });
    const password = String(made.json['key']);
    assert.match(password, /^[0-9a-f-]{36}$/);
    const changed = await admin.put(`${USERS}/${key}`, { name: 'other', password });
    assert.equal(changed.status, 200, changed.bytes.toString());
    const twice = await admin.post(USERS, { name: 'third', password });
    assert.equal(twice.status, 400);
    assert.equal(twice.json['error']?.['type'], 'SemanticError');
    assert.equal(twice.json['error']['details']?.['field'], 'password');
    assert.equal((await other.get(USERS)).status, 200);
    await admin.put(TRANSACTION, { status: 'commit' });
    assert.equal((await other.get(USERS)).status, 401);
    assert.equal((await place.client().login('other', 'what he had')).status, 401);
    assert.equal((await place.client().login('other', 'another one')).status, 200);
  });

  test('a commit is refused where apply has changed the same thing, and keeps what is beside it', async () => {
    const admin = await place.admin();
    await admin.post(TRANSACTION);
    const made = await admin.post(GROUPS, { name: 'beside', members: [] });
    await place.gate.apply({ groups: [{ name: 'applied' }] });
    assert.equal((await admin.put(TRANSACTION, { status: 'commit' })).status, 200);
    const all = (await admin.get(GROUPS)).bytes.toString();
    assert.match(all, /applied/);
    assert.match(all, /beside/);

    await admin.post(TRANSACTION);
    const path = `${GROUPS}/${String(made.json['key'])}`;
    assert.equal((await admin.delete(path)).status, 200);
    await place.gate.apply({ users: [{ name: 'second', groups: ['beside', 'changers'] }] });
    const refused = await admin.put(TRANSACTION, { status: 'commit' });
    const stays = (await admin.get(TRANSACTION)).json['body']?.['status'];
    assert.deepEqual([refused.status, stays], [400, 'open'], refused.bytes.toString());
    await admin.delete(TRANSACTION);
    assert.equal((await admin.get(path)).status, 200);
  });
});
