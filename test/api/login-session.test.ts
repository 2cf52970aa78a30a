/**
 * The cookie session of the API: made by a login with a right password alone, under a new id each time, kept by a gate
 * that starts again, and dead at once after logout, a new password, or when its user is disabled or gone.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { ADMIN_PASSWORD, startApiGate } from '../support/api-gate.ts';
import type { ApiGate } from '../support/api-gate.ts';
import { ManualScope } from '../support/scope.ts';

const USERS = '/api/configuration/aaa/local_database/users';

suite('login sessions', () => {
  const scope = new ManualScope();
  let place: ApiGate;
  before(async () => {
    place = await startApiGate(scope, {
      inventory: { users: [{ name: 'bob', password: 'b\u00f6b:s', groups: [] }] },
    });
  });
  after(() => scope.end());

  test('a login gives a cookie that is random, secure and the first', async () => {
    const client = place.client();
    const { status, headers, json } = await client.login('admin', ADMIN_PASSWORD);
    assert.equal(status, 200);
    assert.deepEqual(json['meta'], {
      href: '/api/authentication',
      parent: '/api',
      remaining_seconds: 1200,
    });
    const [cookie = '', ...others] = headers['set-cookie'] ?? [];
    assert.deepEqual(others, []);
    assert.match(
      cookie,
      /^session_id=[0-9a-f]{40}; Path=\/; expires=\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT; SameSite=Strict; Secure; HttpOnly$/,
    );
    const database = readFileSync(join(place.gate.dir, 'data/sallyport.db'));
    assert.equal(database.includes(client.cookie ?? ''), false, 'the cookie is in the database');
    assert.equal(place.gate.log().includes(client.cookie ?? ''), false, 'the cookie is in the log');
  });

  test('a wrong password, an unknown user and a broken header are refused alike, with a challenge', async () => {
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
    for (const header of [
      basic('admin:wrong'),
      basic('nobody:wrong'),
      basic('admin'),
      basic(':x'),
      'Basic ///',
      'Bearer x',
    ]) {
      const headers = { Authorization: header };
      const {
        status,
        json,
        headers: got,
      } = await place.client().get('/api/authentication', { headers });
      assert.equal(status, 401, header);
      assert.equal(json['error']?.['type'], 'AuthenticationFailure');
      assert.match(String(got['www-authenticate']), /^Basic realm="/);
      assert.equal(got['set-cookie'], undefined);
    }
    assert.equal((await place.client().get('/api/authentication')).status, 401);
    assert.equal((await place.client().login('bob', 'b\u00f6b:s')).status, 200);
  });

  test('a Basic header beside the cookie is harmless, and is no login elsewhere', async () => {
    const admin = await place.admin();
    const headers = { Authorization: `Basic ${Buffer.from('bob:nonsense').toString('base64')}` };
    assert.equal((await admin.get(USERS, { headers })).status, 200);
    const right = `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString('base64')}`;
    const { status } = await place.client().get(USERS, { headers: { Authorization: right } });
    assert.equal(status, 401);
  });

  test('a login takes a new id, whatever cookie it came with, and the old one is dead', async () => {
    const client = place.client();
    const chosen = randomBytes(20).toString('hex');
    client.cookie = chosen;
    await client.login('admin', ADMIN_PASSWORD);
    const first = client.cookie;
    assert.notEqual(first, chosen);
    await client.login('admin', ADMIN_PASSWORD);
    assert.notEqual(client.cookie, first);
    assert.equal((await client.get(USERS)).status, 200);
    const old = place.client();
    for (const cookie of [first, chosen]) {
      old.cookie = cookie;
      assert.equal((await old.get(USERS)).status, 401);
    }
  });

  test('logout ends it, and a restart of the gate does not', async () => {
    const stays = await place.admin();
    const leaves = await place.admin();
    const cookie = leaves.cookie;
    assert.equal((await leaves.delete('/api/authentication')).status, 200);
    leaves.cookie = cookie;
    assert.equal((await leaves.get(USERS)).status, 401);
    await place.gate.restart();
    const again = place.client();
    again.cookie = stays.cookie;
    assert.equal((await again.get(USERS)).status, 200);
    again.cookie = cookie;
    assert.equal((await again.get(USERS)).status, 401);
  });

  test('it is dead once its user is disabled, has expired or is gone', async () => {
    for (const end of [{ disabled: true }, { expires: '2001-01-01' }]) {
      const bob = await place.as('bob', 'b\u00f6b:s');
      assert.equal((await bob.get('/api')).status, 200);
      const { code, stderr } = await place.gate.apply({ users: [{ name: 'bob', ...end }] });
      assert.equal(code, 0, stderr.toString());
      assert.equal((await bob.get('/api')).status, 401, JSON.stringify(end));
      assert.equal((await place.client().login('bob', 'b\u00f6b:s')).status, 401);
      await place.gate.apply({ users: [{ name: 'bob', disabled: false, expires: null }] });
    }
  });

  test('a cookie that never was is no login', async () => {
    const client = place.client();
    for (const cookie of [randomBytes(20).toString('hex'), 'x', '', '../../x', 'a'.repeat(4000)]) {
      client.cookie = cookie;
      assert.equal((await client.get(USERS)).status, 401, cookie.slice(0, 20));
    }
  });
});
