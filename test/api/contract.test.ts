/**
 * The tables of the SPS contract that no story of another test passes through: conventions, errors with their exact bodies,
 * links and siblings, ids, and the objects of each kind.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { after, before, suite, test } from 'node:test';
import type { ApiClient, ApiReply, ApiRequest, Reply } from '../support/api-client.ts';
import { startApiGate } from '../support/api-gate.ts';
import type { ApiGate } from '../support/api-gate.ts';
import { ManualScope } from '../support/scope.ts';

const CONFIGURATION = '/api/configuration';
const AAA = `${CONFIGURATION}/aaa`;
const DB = `${AAA}/local_database`;
const USERS = `${DB}/users`;
const GROUPS = `${DB}/groups`;
const PASSWORDS = `${CONFIGURATION}/passwords`;
const TRANSACTION = '/api/transaction';
const NOBODY = '0123456789abcdef012345';
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

suite('contract', () => {
  const scope = new ManualScope();
  let place: ApiGate;
  let admin: ApiClient;

  before(async () => {
    place = await startApiGate(scope, {
      inventory: {
        users: [
          { name: 'bob', password: 'b of bob', groups: ['readers'] },
          { name: 'carl', password: 'c of carl', groups: ['writers'] },
        ],
        groups: [{ name: 'readers' }, { name: 'writers' }],
        acls: [
          { group: 'readers', objects: ['/special/basic'], permission: 'read' },
          { group: 'writers', objects: ['/special/auth'], permission: 'write' },
        ],
      },
    });
    admin = await place.admin();
  });
  after(() => scope.end());

  /** Runs something in a transaction that is dropped. */
  async function dropped(body: () => Promise<void>): Promise<void> {
    assert.equal((await admin.post(TRANSACTION)).status, 200);
    try {
      await body();
    } finally {
      await admin.delete(TRANSACTION);
    }
  }

  /** Sends a request as it stands, and gives the whole answer. */
  function raw(lines: readonly string[]): Promise<string> {
    const [host = '', port] = place.gate.https.split(':');
    const ca = readFileSync(join(place.gate.dir, 'tls/ca.pem'));
    const head = [...lines, `Host: ${host}`, `Cookie: session_id=${admin.cookie ?? ''}`];
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port: Number(port), ca }, () => {
        socket.write(`${[...head, 'Connection: close'].join('\r\n')}\r\n\r\n`);
      });
      let text = '';
      socket.setEncoding('utf8');
      socket.on('data', (piece: string) => (text += piece));
      socket.on('error', reject);
      socket.on('end', () => {
        resolve(text);
        socket.destroy();
      });
    });
  }

  function isError(reply: ApiReply, status: number, type: string, path: string, more = {}): void {
    const text = reply.bytes.toString();
    assert.equal(reply.status, status, text);
    assert.match(String(reply.headers['content-type']), /^application\/json/);
    const { message, ...error } = reply.json['error'] as unknown as Record<string, unknown>;
    assert.ok(typeof message === 'string' && message !== '', text);
    assert.deepEqual(error, { type, details: { resource: path, ...more } });
    const parent = path.slice(0, path.lastIndexOf('/'));
    assert.deepEqual(reply.json['meta'], { href: path, parent });
    assert.deepEqual(Object.keys(reply.json).sort(), ['error', 'meta']);
  }

  const itemsOf = (reply: ApiReply): readonly Reply[] => [...(reply.json['items'] ?? [])];
  const keysOf = (reply: ApiReply): string[] => itemsOf(reply).map(({ key }) => String(key));
  async function keyOf(collection: string, name: string): Promise<string> {
    const items = itemsOf(await admin.get(collection));
    return String(items.find(({ body }) => String(body?.['name']) === name)?.['key']);
  }

  suite('conventions', () => {
    test('a slash behind a path and one too many are not there', async () => {
      for (const [odd, path] of [
        ['/api/transaction/', TRANSACTION],
        ['/api/configuration/aaa/', AAA],
        ['/api/setup/', '/api/setup'],
        ['/api//', '/api'],
        ['//api//configuration//aaa//', AAA],
      ] as const) {
        const [first, second] = [await admin.get(odd), await admin.get(path)];
        assert.equal(first.status, 200, odd);
        assert.deepEqual(Object.keys(first.json), Object.keys(second.json));
        assert.equal(String(first.json['meta']?.['href']), path);
      }
    });

    test('a body has a length, and none is a length of 0', async () => {
      for (const method of ['POST', 'PUT']) {
        const text = await raw([`${method} ${TRANSACTION} HTTP/1.1`]);
        assert.match(text, /^HTTP\/1\.1 411 /);
        assert.match(text, /"type":"LengthRequired"/);
      }
      const opened = await raw([`POST ${TRANSACTION} HTTP/1.1`, 'Content-Length: 0']);
      assert.match(opened, /^HTTP\/1\.1 200 /);
      assert.equal((await admin.delete(TRANSACTION)).status, 200);
    });

    test('every answer is JSON in UTF-8, that of an unknown path too, and none leads elsewhere', async () => {
      for (const path of ['/api', '/api/info', '/api/nothing', '/api/a/b/c', '/', '/index.html']) {
        const { status, headers, bytes } = await admin.get(path);
        assert.ok(status === 200 || status === 404, `${path}: ${status}`);
        assert.equal(headers['content-type'], 'application/json; charset=utf-8', path);
        assert.equal(headers.location, undefined);
        assert.doesNotMatch(bytes.toString(), /<html/i);
      }
    });

    test('a method that is not offered is 405, and Allow says which are', async () => {
      for (const [method, path, allowed] of [
        ['POST', '/api/info', 'GET'],
        ['PATCH', USERS, 'POST'],
        ['PUT', USERS, 'POST'],
        ['DELETE', GROUPS, 'POST'],
        ['GET', '/api/active-sessions', 'DELETE'],
        ['POST', '/api/audit/sessions', 'GET'],
        ['POST', '/api/authentication', 'DELETE'],
        ['DELETE', `${AAA}/acls`, 'PUT'],
        ['GET', PASSWORDS, 'POST'],
        ['PUT', PASSWORDS, 'POST'],
        ['DELETE', PASSWORDS, 'POST'],
        ['PUT', `${PASSWORDS}/${NOBODY}`, 'GET'],
        ['DELETE', `${PASSWORDS}/${NOBODY}`, 'GET'],
      ] as const) {
        const body = method === 'DELETE' || method === 'GET' ? {} : { body: {} };
        const reply = await admin.send(method, path, body);
        isError(reply, 405, 'MethodNotAllowed', path);
        const allow = String(reply.headers['allow']).split(', ');
        assert.ok(allow.includes(allowed) && !allow.includes(method), `${path}: ${allow.join()}`);
      }
    });
  });

  suite('errors', () => {
    test('without a login, and without a right', async () => {
      const path = `${USERS}/${NOBODY}`;
      isError(await place.client().get(path), 401, 'Unauthenticated', path);
      const dead = place.client();
      dead.cookie = 'a'.repeat(40);
      isError(await dead.get('/api/nothing'), 401, 'Unauthenticated', '/api/nothing');
      const refused = await place.client().login('bob', 'wrong');
      isError(refused, 401, 'AuthenticationFailure', '/api/authentication');
      const bob = await place.as('bob', 'b of bob');
      isError(await bob.get(path), 403, 'Unauthorized', path);
    });

    test('what is not there', async () => {
      for (const path of [
        `${USERS}/${NOBODY}`,
        `${GROUPS}/${NOBODY}`,
        `${PASSWORDS}/8f84d7d1-9de1-429a-a7a7-c33a61cc7419`,
        `${CONFIGURATION}/policies/targets/${NOBODY}`,
        `${CONFIGURATION}/policies/targets/${NOBODY}/accounts`,
        `${CONFIGURATION}/ssh/rules/${NOBODY}`,
        '/api/audit/sessions/rpokH8fD9kx6CaxNLznKx2',
        '/api/cluster/nodes/b35c54da-b556-4f91-ade5-d26283d68277',
        '/api/nothing',
      ]) {
        isError(await admin.get(path), 404, 'NotFound', path);
      }
      const path = '/api/active-sessions';
      const id = 'svc/rpokH8fD9kx6CaxNLznKx2/test:12';
      isError(await admin.delete(path), 400, 'SessionIdMissing', path);
      isError(await admin.delete(`${path}?id=`), 400, 'SessionIdMissing', path);
      const gone = await admin.delete(`${path}?id=${id}`);
      isError(gone, 404, 'SessionCouldNotBeFound', path, { id });
    });

    test('transactions', async () => {
      const group = await keyOf(GROUPS, 'readers');
      const carl = await place.as('carl', 'c of carl');
      for (const [method, path, body] of [
        ['POST', GROUPS, { name: 'ops', members: [] }],
        ['PUT', `${GROUPS}/${group}`, { name: 'ops', members: [] }],
        ['DELETE', `${GROUPS}/${group}`, undefined],
        ['POST', PASSWORDS, { plain: 'a password' }],
        ['PUT', `${AAA}/acls`, []],
        ['PUT', TRANSACTION, { status: 'commit' }],
        ['DELETE', TRANSACTION, undefined],
      ] as const) {
        const sent: ApiRequest = body === undefined ? {} : { body };
        isError(await admin.send(method, path, sent), 409, 'NoTransaction', path);
      }
      await dropped(async () => {
        isError(await admin.post(TRANSACTION), 409, 'TransactionAlreadyOpen', TRANSACTION);
        const locked = await carl.post(TRANSACTION);
        isError(locked, 409, 'ConfigurationLocked', TRANSACTION, { owner: 'admin' });
      });
    });

    test('bodies and parameters', async () => {
      const headers = { 'Content-Type': 'application/json' };
      await dropped(async () => {
        for (const body of [
          '{',
          '"text"',
          '17',
          'null',
          '[]',
          '[{"name":"a"}]',
          '{"name":"\xff"}',
        ]) {
          const bytes = Buffer.from(body, 'latin1');
          const reply = await admin.send('POST', GROUPS, { headers, body: bytes });
          isError(reply, 400, 'SyntacticError', GROUPS);
        }
        const plain = await admin.send('POST', GROUPS, { body: '{"name":"a","members":[]}' });
        isError(plain, 400, 'SyntacticError', GROUPS);
        for (const [body, field] of [
          [{}, 'name'],
          [{ name: 'a' }, 'members'],
          [{ members: [] }, 'name'],
          [{ name: 7, members: [] }, 'name'],
          [{ name: 'readers', members: [] }, 'name'],
          [{ name: 'a', members: [NOBODY] }, 'members.0'],
          [{ name: 'a', members: [], more: 1 }, 'more'],
          [{ body: { name: 'a', members: [] } }, 'name'],
        ] as const) {
          isError(await admin.post(GROUPS, body), 400, 'SemanticError', GROUPS, { field });
        }
        for (const [body, field] of [
          [{ name: 'a' }, 'password'],
          [{ name: 'bob', password: null }, 'name'],
          [{ name: 'a', password: '8f84d7d1-9de1-429a-a7a7-c33a61cc7419' }, 'password'],
        ] as const) {
          isError(await admin.post(USERS, body), 400, 'SemanticError', USERS, { field });
        }
        isError(await admin.post(PASSWORDS, {}), 400, 'SemanticError', PASSWORDS, {
          field: 'plain',
        });
        const other = await admin.put(TRANSACTION, { status: 'closed' });
        isError(other, 400, 'SemanticError', TRANSACTION, { field: 'status' });
      });
      const sessions = '/api/audit/sessions';
      for (const query of ['limit=x', 'offset=-1', 'q=%28', 'sort=nothing', 'start=then', 'no=1']) {
        const { status, json } = await admin.get(`${sessions}?${query}`);
        assert.deepEqual([status, String(json['error']?.['type'])], [400, 'InvalidQuery'], query);
      }
    });
  });

  suite('message format', () => {
    const sibling = (
      first: string,
      previous: string | null,
      next: string | null,
      last: string,
    ) => ({
      first,
      last,
      next,
      previous,
      transaction: TRANSACTION,
    });

    test('the tree of the configuration, each with its siblings', async () => {
      const acls = `${AAA}/acls`;
      const settings = `${AAA}/settings`;
      const areas = await admin.get(CONFIGURATION);
      assert.deepEqual(keysOf(areas), ['aaa', 'management', 'passwords', 'policies', 'ssh']);
      assert.deepEqual(areas.json['meta'], {
        href: CONFIGURATION,
        parent: null,
        transaction: TRANSACTION,
      });
      assert.deepEqual(keysOf(await admin.get(AAA)), ['acls', 'local_database', 'settings']);
      for (const [href, links] of [
        [AAA, sibling(AAA, null, `${CONFIGURATION}/management`, `${CONFIGURATION}/ssh`)],
        [acls, sibling(acls, null, DB, settings)],
        [DB, sibling(acls, acls, settings, settings)],
        [settings, sibling(acls, DB, null, settings)],
        [GROUPS, sibling(GROUPS, null, USERS, USERS)],
        [USERS, sibling(GROUPS, GROUPS, null, USERS)],
      ] as const) {
        const parent = href.slice(0, href.lastIndexOf('/'));
        assert.deepEqual((await admin.get(href)).json['meta'], { href, parent, ...links });
      }
    });

    for (const collection of [USERS, GROUPS]) {
      test(`the objects of ${collection} lead to each other`, async () => {
        const paths = keysOf(await admin.get(collection)).map((key) => `${collection}/${key}`);
        assert.equal(paths.length, 3);
        const ends = [paths[0] ?? '', paths.at(-1) ?? ''] as const;
        for (const [at, href] of paths.entries()) {
          const { json } = await admin.get(href);
          const key = String(json['key']);
          assert.equal(`${collection}/${key}`, href);
          assert.match(key, /^[0-9a-f]{22,23}$/);
          assert.ok(json['body']);
          const [previous, next] = [paths[at - 1] ?? null, paths[at + 1] ?? null];
          const links = sibling(ends[0], previous, next, ends[1]);
          assert.deepEqual(json['meta'], { href, parent: collection, ...links });
        }
      });
    }

    test('what leads somewhere, leads there', async () => {
      const seen = new Set<string>(['/api']);
      for (const path of seen) {
        const { status, json } = await admin.get(path);
        const here = path === '/api/active-sessions' || path === PASSWORDS;
        assert.equal(status, here ? 405 : 200, path);
        for (const item of [...(json['items'] ?? [])]) {
          const { href } = item['meta'] as unknown as { href: string };
          // The one slot of firmware is told whole in its list.
          if (!href.startsWith('/api/firmware')) seen.add(href);
        }
      }
      assert.ok(seen.size > 20, [...seen].join(' '));
    });

    test('a transaction says what it is in both forms, and that it holds something', async () => {
      const closed = await admin.get(TRANSACTION);
      assert.deepEqual(closed.json['body'], { commit_message: 'optional', status: 'closed' });
      assert.deepEqual(closed.json['transaction'], { status: 'closed' });
      assert.equal(String(closed.json['key']), 'transaction');
      await dropped(async () => {
        assert.equal((await admin.get(TRANSACTION)).json['meta']?.['changes'], undefined);
        await admin.post(GROUPS, { name: 'a', members: [] });
        const { json } = await admin.get(TRANSACTION);
        assert.equal(String(json['meta']?.['changes']), `${TRANSACTION}/changes`);
        assert.deepEqual(json['body'], { commit_message: 'optional', status: 'open' });
        const changes = await admin.get(`${TRANSACTION}/changes`);
        assert.deepEqual(changes.json['meta'], {
          href: `${TRANSACTION}/changes`,
          parent: TRANSACTION,
          transaction: TRANSACTION,
        });
      });
    });
  });

  suite('objects', () => {
    test('what is referred to may be sent as it is shown, and is shown as key and path', async () => {
      const bob = await keyOf(USERS, 'bob');
      const shown = { key: bob, meta: { href: `${USERS}/${bob}` } };
      await dropped(async () => {
        for (const [name, member] of [
          ['by-id', bob],
          ['as-shown', shown],
        ] as const) {
          const { status, json } = await admin.post(GROUPS, { name, members: [member] });
          assert.equal(status, 201);
          const key = String(json['key']);
          assert.equal(String(json['meta']?.['href']), `${GROUPS}/${key}`);
          const group = await admin.get(`${GROUPS}/${key}`);
          assert.deepEqual(group.json['body'], { name, members: [shown] });
          const again = await admin.put(`${GROUPS}/${key}`, group.json['body']);
          assert.equal(again.status, 200, again.bytes.toString());
          const less = await admin.put(`${GROUPS}/${key}`, { name, members: [] });
          assert.equal(less.status, 200);
          assert.deepEqual((await admin.get(`${GROUPS}/${key}`)).json['body'], {
            name,
            members: [],
          });
        }
      });
    });

    test('a password is a UUID, told of without what it is, and given to one alone', async () => {
      await dropped(async () => {
        const made = await admin.post(PASSWORDS, { plain: 'a very clear text' });
        assert.equal(made.status, 201);
        const key = String(made.json['key']);
        assert.match(key, UUID);
        const { json, bytes } = await admin.get(`${PASSWORDS}/${key}`);
        assert.equal(String(json['key']), key);
        assert.doesNotMatch(bytes.toString(), /clear text|argon2id\$/);
        const seconds = Math.floor(Date.now() / 1000);
        const reference = { key, meta: { href: `${PASSWORDS}/${key}` } };
        const user = await admin.post(USERS, { name: 'dora', password: reference });
        assert.equal(user.status, 201, user.bytes.toString());
        const own = `${USERS}/${String(user.json['key'])}`;
        const body = (await admin.get(own)).json['body'] as unknown as Record<string, unknown>;
        assert.deepEqual(body['password'], reference);
        assert.ok(Math.abs(Number(body['password_created']) - seconds) < 600);
        const twice = await admin.post(USERS, { name: 'emil', password: key });
        isError(twice, 400, 'SemanticError', USERS, { field: 'password' });
        const kept = await admin.put(own, { name: 'dora', password: key });
        assert.equal(kept.status, 200);
        assert.deepEqual((await admin.get(own)).json['body'], body);
      });
    });

    test('what others refer to and what is built in stays; the rest leaves its meta alone', async () => {
      const [own, bob] = [await keyOf(USERS, 'admin'), await keyOf(USERS, 'bob')];
      const readers = await keyOf(GROUPS, 'readers');
      await dropped(async () => {
        for (const path of [`${USERS}/${own}`, `${USERS}/${bob}`, `${GROUPS}/${readers}`]) {
          isError(await admin.delete(path), 400, 'SemanticError', path, { field: 'name' });
        }
        await admin.put(`${GROUPS}/${readers}`, { name: 'readers', members: [] });
        const removed = await admin.delete(`${USERS}/${bob}`);
        assert.equal(removed.status, 200, removed.bytes.toString());
        assert.deepEqual(Object.keys(removed.json), ['meta']);
        const { href, parent } = removed.json['meta'] as unknown as Record<string, string>;
        assert.deepEqual([href, parent], [`${USERS}/${bob}`, USERS]);
        isError(await admin.get(`${USERS}/${bob}`), 404, 'NotFound', `${USERS}/${bob}`);
      });
      assert.equal((await admin.get(`${USERS}/${bob}`)).status, 200);
    });

    test('the ACLs are one list', async () => {
      const { status, json } = await admin.get(`${AAA}/acls`);
      assert.equal(status, 200);
      assert.equal(String(json['key']), 'acls');
      assert.deepEqual(json['body'], [
        { group: 'readers', objects: ['/special/basic'], permission: 'read' },
        { group: 'writers', objects: ['/special/auth'], permission: 'write' },
      ]);
    });
  });

  suite('what the gate says of itself', () => {
    test('login methods, in the form of now and of then', async () => {
      const anybody = place.client();
      const methods = await anybody.get('/api/authentication/login_methods');
      assert.deepEqual(methods.json, {
        login_methods: [{ name: 'local', type: 'password' }],
        meta: { href: '/api/authentication/login_methods', parent: '/api/authentication' },
      });
      assert.deepEqual((await anybody.get('/api/authentication/types')).json['types'], ['basic']);
      const basic = Buffer.from('bob:b of bob').toString('base64');
      const headers = { Authorization: `Basic ${basic}` };
      const named = await anybody.get('/api/authentication?login_method=local', { headers });
      assert.equal(named.status, 200);
      for (const query of ['login_method=ldap', 'type=x509', 'type=x509&login_method=pki']) {
        const other = await place.client().get(`/api/authentication?${query}`, { headers });
        isError(other, 401, 'AuthenticationFailure', '/api/authentication');
      }
    });

    test('info says less to anybody than to who is logged in', async () => {
      const open = ['domainname', 'hostname', 'nickname', 'plugin_sdk_version', 'support_link'];
      const all = [
        ...['analytics_enabled', 'build_date', 'config_hash', 'firmware_version', 'roles'],
        'version',
      ];
      for (const [client, names] of [
        [place.client(), open],
        [admin, [...open, ...all].sort()],
      ] as const) {
        const { status, json } = await client.get('/api/info');
        assert.equal(status, 200);
        assert.equal(String(json['key']), 'about_info');
        assert.deepEqual(Object.keys(json['body'] ?? {}).sort(), names.toSorted());
      }
    });

    test('set-up, mail and firmware', async () => {
      const setup = await place.client().get('/api/setup');
      const { eula, ...meta } = setup.json['meta'] as unknown as Record<string, unknown>;
      assert.equal(typeof eula, 'string');
      assert.deepEqual(meta, { href: '/api/setup', parent: '/api', remaining_seconds: 0 });
      assert.equal(String(setup.json['status']), 'completed');
      const email = (await admin.get(`${CONFIGURATION}/management/email`)).json;
      assert.equal(String(email['key']), 'email');
      assert.deepEqual(Object.keys(email['body'] ?? {}).sort(), [
        ...['admin_address', 'alerting_address', 'reporting_address', 'sender_address'],
        ...['smtp_auth', 'smtp_encryption', 'smtp_server'],
      ]);
      const { json } = await admin.get('/api/firmware/slots');
      assert.ok(json['body']);
      const version = String((await admin.get('/api/info')).json['body']?.['version']);
      assert.equal(String(json['items']?.[0]?.['body']?.['version']), version);
    });

    test('the cluster has one node, which is well', async () => {
      const { json } = await admin.get('/api/cluster/status');
      const [node, ...others] = itemsOf({ json } as ApiReply);
      assert.deepEqual(others, []);
      const key = String(node?.['key']);
      assert.match(key, UUID);
      const href = `/api/cluster/status/${key}`;
      assert.deepEqual(json['meta'], {
        href: '/api/cluster/status',
        parent: '/api/cluster',
        self: href,
      });
      const configuration = `/api/cluster/nodes/${key}`;
      assert.deepEqual(node?.['meta'], { configuration, href });
      const health = node['health_status'] as unknown as Record<string, unknown>;
      for (const name of ['memory', 'disk', 'swap', 'load1', 'load5', 'load15']) {
        assert.equal(typeof health[name], 'number', name);
      }
      assert.deepEqual(health['sessions'], { SSH: 0 });
      assert.equal(health['total_sessions'], 0);
      assert.equal(String(node['sync_status']), 'n/a');
      assert.deepEqual(node['configuration_sync']?.['issues'], { warnings: [] });
      const role = (await admin.get(configuration)).json['body'] as unknown as Record<
        string,
        unknown
      >;
      assert.equal(typeof role['address'], 'string');
      assert.deepEqual(role['roles'], ['central-management']);
    });
  });
});
