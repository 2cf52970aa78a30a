/**
 * The worked examples of the contract and the commands of the vendor's guide, run by real curl against a gate that records
 * two sessions of OpenSSH: each status, and each member that the documents show.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { ApiGate } from '../support/api-gate.ts';
import { eventually } from '../support/eventually.ts';
import { startGate, targetOf } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { check } from '../support/process.ts';
import type { Running } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { startSsh } from '../support/ssh-client.ts';
import { ROOT } from '../support/source-tree.ts';
import { tempDir } from '../support/tempdir.ts';

const CURL = '/usr/bin/curl';
const AAA = '/api/configuration/aaa';
const DB = `${AAA}/local_database`;
const USERS = `${DB}/users`;
const GROUPS = `${DB}/groups`;
const PASSWORDS = '/api/configuration/passwords';
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const OBJECT = /^[0-9a-f]{22,23}$/;

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

interface Listed {
  readonly key: string;
  readonly meta: object;
  readonly body?: Record<string, unknown>;
}

const missing = !hasOpenSsh() || !existsSync(CURL);

suite('worked examples', { skip: missing ? 'no OpenSSH server, or no curl' : false }, () => {
  const scope = new ManualScope();
  const answers = new Map<string, Answer>();
  const sessions: Running[] = [];
  let ops = '';

  before(async () => {
    const target = await startOpenSsh(scope);
    const key = await makeKey(scope);
    const inventory = {
      users: [
        { name: 'admin', password: 'secret', groups: ['admins'] },
        { name: 'other', password: 'other-Passw0rd', groups: [] },
        { name: 'alice', keys: [key.publicLine], groups: ['testers'] },
      ],
      groups: [{ name: 'admins' }, { name: 'testers' }, { name: 'session-ops' }],
      targets: [targetOf('db1', target)],
      rules: [
        {
          name: 'test',
          groups: ['testers'],
          targets: ['db1'],
          accounts: [target.user],
          channels: ['exec'],
        },
      ],
      acls: [
        { group: 'session-ops', objects: ['/special/active_sessions'], permission: 'write' },
        { group: 'testers', objects: ['/special/basic'], permission: 'read' },
      ],
    };
    const place = new ApiGate(await startGate(scope, { inventory }));
    const to = place.gate.endpoint(`alice@${target.user}@db1`, { key: key.path });
    for (let i = 0; i < 2; i++) {
      const session = startSsh(scope, to, 'echo here; exec sleep 600');
      await session.until(({ stdout }) => stdout.includes('here') || undefined, 'a session');
      sessions.push(session);
    }
    const admin = await place.as('admin', 'secret');
    const ids = await eventually('both sessions', async () => {
      const fields = 'fields=recording.session_id&sort=start_time&q=active:true';
      const { json } = await admin.get(`/api/audit/sessions?${fields}`);
      const all = [...(json['items'] ?? [])];
      return all.length < 2
        ? undefined
        : all.map((item) => String(item['body']?.['recording']?.['session_id']));
    });
    const groups = [...((await admin.get(GROUPS)).json['items'] ?? [])];
    ops = String(groups.find(({ body }) => String(body?.['name']) === 'session-ops')?.['key']);
    const text = await check(['/bin/bash', join(ROOT, 'test/api/worked-examples.sh')], {
      cwd: tempDir(scope),
      env: {
        PATH: process.env['PATH'],
        H: `https://${place.gate.https}`,
        SESSION: ids[0],
        SEED_SESSION: ids[1],
        OPS: ops,
        CURL_CA_BUNDLE: join(place.gate.dir, 'tls/ca.pem'),
      },
      timeoutMs: 300_000,
    });
    for (const line of text.split('\n').filter(Boolean)) {
      const [name = '', status, body = ''] = line.split('\t');
      answers.set(name, {
        status: Number(status),
        body: JSON.parse(body) as Record<string, unknown>,
      });
    }
  });
  after(() => scope.end());

  /** The body of an answer, which has this status. */
  function answer(name: string, status: number): Record<string, unknown> {
    const found = answers.get(name);
    assert.ok(found, `${name}: no answer`);
    assert.equal(found.status, status, `${name}: ${JSON.stringify(found.body)}`);
    return found.body;
  }
  const metaOf = (name: string, status = 200): Record<string, unknown> =>
    answer(name, status)['meta'] as Record<string, unknown>;
  const itemsOf = (name: string): readonly Listed[] => answer(name, 200)['items'] as Listed[];
  const keyOf = (name: string): string => String(answer(name, 201)['key']);
  const errorOf = (name: string, status: number): Record<string, unknown> =>
    answer(name, status)['error'] as Record<string, unknown>;
  const among = (href: string, others: Record<string, string | null>): object => ({
    ...others,
    href,
    parent: href.slice(0, href.lastIndexOf('/')),
    transaction: '/api/transaction',
  });
  const usersMeta = among(USERS, { first: GROUPS, last: USERS, next: null, previous: GROUPS });

  test('1 to 3: a login, no login, and the users', () => {
    const meta = { href: '/api/authentication', parent: '/api', remaining_seconds: 1200 };
    assert.deepEqual(answer('1', 200), { meta });
    assert.equal(Number(answers.get('1-jar')?.body), 1);
    const { message, ...refused } = errorOf('2', 401);
    assert.ok(message);
    assert.deepEqual(refused, { type: 'Unauthenticated', details: { resource: DB } });
    assert.deepEqual(metaOf('3'), usersMeta);
    for (const { key, meta: own } of itemsOf('3')) {
      assert.match(key, OBJECT);
      assert.deepEqual(own, { href: `${USERS}/${key}` });
    }
    assert.equal(itemsOf('3').length, 3);
  });

  test('4 to 8: nothing without a transaction; in one, a password and a user, and a commit', () => {
    assert.equal(errorOf('4', 409)['type'], 'NoTransaction');
    const { body, key, meta } = answer('5', 200);
    assert.deepEqual(body, { commit_message: 'optional', status: 'open' });
    assert.equal(key, 'transaction');
    const { remaining_seconds: seconds, ...links } = meta as Record<string, unknown>;
    assert.deepEqual(links, { href: '/api/transaction', parent: '/api' });
    assert.ok(Number(seconds) > 1100 && Number(seconds) <= 1200, String(seconds));

    const password = keyOf('6-password');
    assert.match(password, UUID);
    assert.equal(metaOf('6-password', 201)['href'], `${PASSWORDS}/${password}`);
    const user = keyOf('6-user');
    assert.match(user, OBJECT);
    assert.equal(metaOf('6-user', 201)['href'], `${USERS}/${user}`);
    assert.equal(errorOf('6-again', 400)['type'], 'SemanticError');
    const [change] = answer('7-changes', 200)['changes'] as Record<string, unknown>[];
    assert.equal(change?.['type'], 'create');
    assert.equal(change['path'], `${USERS}/${user}`);
    answer('7-member', 200);
    const commit = answer('7-commit', 200);
    assert.equal((commit['body'] as Record<string, unknown>)['status'], 'closed');

    const shown = answer('8', 200);
    const { password_created: created, ...rest } = shown['body'] as Record<string, unknown>;
    assert.ok(Number.isInteger(created), String(created));
    assert.equal(rest['name'], 'user1');
    assert.deepEqual(rest['password'], {
      key: password,
      meta: { href: `${PASSWORDS}/${password}` },
    });
    assert.equal(shown['key'], user);
  });

  test('9: a session is closed once, by who may', async () => {
    answer('9-login', 200);
    const meta = { href: '/api/active-sessions', parent: '/api' };
    assert.deepEqual(answer('9-closed', 200), { meta });
    assert.equal(errorOf('9-again', 404)['type'], 'SessionCouldNotBeFound');
    assert.equal(errorOf('9-no-id', 400)['type'], 'SessionIdMissing');
    answer('9-other', 200);
    assert.equal(errorOf('9-no-right', 403)['type'], 'Unauthorized');
    const outcome = await sessions[0]?.exited;
    assert.match(String(outcome?.stderr), /terminated by user1/);
  });

  test('10: the sessions that run, and a logout', () => {
    assert.equal(metaOf('10')['match_count'], 1);
    const [item] = itemsOf('10');
    assert.deepEqual(item?.meta, { href: `/api/audit/sessions/${item?.key}` });
    assert.equal(item.body?.['protocol'], 'SSH');
    const { ip, port } = item.body['client'] as Record<string, unknown>;
    assert.equal(ip, '127.0.0.1');
    assert.ok(Number.isInteger(port));
    const { session_id: id } = item.body['recording'] as Record<string, unknown>;
    assert.match(String(id), new RegExp(`^svc/${item.key}/test:\\d+$`));
    answer('10-logout', 200);
    assert.equal(errorOf('10-dead', 401)['type'], 'Unauthenticated');
  });

  test('the guide: what is listed', () => {
    answer('seed-login', 200);
    const acls = answer('seed-acls', 200);
    assert.deepEqual(acls['body'], [
      { group: 'session-ops', objects: ['/special/active_sessions'], permission: 'write' },
      { group: 'testers', objects: ['/special/basic'], permission: 'read' },
    ]);
    assert.equal(acls['key'], 'acls');
    const acl = { first: `${AAA}/acls`, last: `${AAA}/settings`, next: DB, previous: null };
    assert.deepEqual(acls['meta'], among(`${AAA}/acls`, acl));
    assert.deepEqual(answer('seed-database', 200), {
      items: [
        { key: 'groups', meta: { href: GROUPS } },
        { key: 'users', meta: { href: USERS } },
      ],
      meta: among(DB, {
        first: `${AAA}/acls`,
        last: `${AAA}/settings`,
        next: `${AAA}/settings`,
        previous: `${AAA}/acls`,
      }),
    });
    assert.equal(itemsOf('seed-groups').length, 3);
    assert.deepEqual(metaOf('seed-users'), usersMeta);
    const keys = itemsOf('seed-users').map(({ key }) => `${USERS}/${key}`);
    const own = `${USERS}/${keyOf('6-user')}`;
    const at = keys.indexOf(own);
    assert.deepEqual(
      metaOf('seed-user'),
      among(own, {
        first: keys[0] ?? '',
        last: keys.at(-1) ?? '',
        next: keys[at + 1] ?? null,
        previous: keys[at - 1] ?? null,
      }),
    );
  });

  test('the guide: a user and a group are made, changed and removed', () => {
    answer('seed-open', 200);
    answer('seed-password', 201);
    const user = keyOf('seed-new-user');
    const group = keyOf('seed-new-group');
    const reference = (key: string): object => ({ key, meta: { href: `${USERS}/${key}` } });
    const both = [keyOf('6-user'), user].map(reference);
    const made = answer('seed-group', 200)['body'] as Record<string, unknown>;
    assert.equal(made['name'], 'new-usergroup');
    const order = (list: unknown): unknown[] => (list as Listed[]).map(({ key }) => key).sort();
    assert.deepEqual(order(made['members']), order(both));
    answer('seed-less', 200);
    answer('seed-commit', 200);
    const less = { members: [reference(user)], name: 'new-usergroup' };
    assert.deepEqual(answer('seed-after', 200)['body'], less);
    answer('seed-open-again', 200);
    const removed = answer('seed-delete', 200);
    assert.deepEqual(Object.keys(removed), ['meta']);
    const { href, parent } = removed['meta'] as Record<string, unknown>;
    assert.deepEqual({ href, parent }, { href: `${GROUPS}/${group}`, parent: GROUPS });
    answer('seed-commit-again', 200);
    assert.equal(errorOf('seed-gone', 404)['type'], 'NotFound');
  });

  test('the guide: user1 closes a session', async () => {
    answer('seed-user1', 200);
    answer('seed-close', 200);
    const outcome = await sessions[1]?.exited;
    assert.match(String(outcome?.stderr), /terminated by user1/);
  });
});
