/**
 * Every route, asked by everybody: nobody without a login gets past the door, nobody without a right gets past the route,
 * a right to see changes nothing. The routes come from the table itself, and a route whose access is not written down
 * here fails.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startApiGate } from '../support/api-gate.ts';
import type { ApiGate } from '../support/api-gate.ts';
import type { ApiClient } from '../support/api-client.ts';
import { ManualScope } from '../support/scope.ts';

/** What may be done with each path: object, and the methods that are not GET. */
const ACCESS: Readonly<Record<string, string>> = {
  '/api': 'login',
  '/api/authentication': 'open, DELETE login',
  '/api/authentication/login_methods': 'open',
  '/api/authentication/types': 'open',
  '/api/info': 'open',
  '/api/setup': 'open',
  '/healthz': 'open',
  '/readyz': 'open',
  '/openapi.json': 'open',
  '/metrics': '/special/basic',
  '/api/transaction': 'login',
  '/api/transaction/changes': 'login',
  '/api/active-sessions': '/special/active_sessions',
  '/api/audit': 'login',
  '/api/audit/sessions': '/special/searchmenu',
  '/api/audit/sessions/{key}': '/special/searchmenu',
  '/api/audit/sessions/{key}/alerts': '/special/searchmenu',
  '/api/audit/sessions/{key}/channels': '/special/searchmenu',
  '/api/audit/sessions/{key}/channels/{channel}': '/special/searchmenu',
  '/api/audit/sessions/{key}/content': '/special/searchmenu',
  '/api/audit/sessions/{key}/events': '/special/searchmenu',
  '/api/audit/sessions/{key}/indexing': '/special/searchmenu',
  '/api/audit/changes': '/special/changelog',
  '/api/audit/changes/{number}': '/special/changelog',
  '/api/audit/sessions/{key}/audit_trail': '/special/searchmenu',
  '/api/audit/sessions/{key}/files': '/special/searchmenu',
  '/api/audit/sessions/{key}/files/{file}': '/special/searchmenu',
  '/api/audit/sessions/{key}/files/{file}/content': '/special/searchmenu',
  '/api/cluster': '/special/basic',
  '/api/cluster/nodes': '/special/basic',
  '/api/cluster/nodes/{id}': '/special/basic',
  '/api/cluster/status': '/special/basic',
  '/api/cluster/status/{id}': '/special/basic',
  '/api/configuration': 'login',
  '/api/configuration/aaa': '/special/auth',
  '/api/configuration/aaa/acls': '/special/auth',
  '/api/configuration/aaa/local_database': '/special/auth',
  '/api/configuration/aaa/local_database/groups': '/special/auth',
  '/api/configuration/aaa/local_database/groups/{id}': '/special/auth',
  '/api/configuration/aaa/local_database/users': '/special/auth',
  '/api/configuration/aaa/local_database/users/{id}': '/special/auth',
  '/api/configuration/aaa/settings': '/special/auth',
  '/api/configuration/management': 'login',
  '/api/configuration/management/accounting': '/special/basic',
  '/api/configuration/management/email': '/special/basic',
  '/api/configuration/passwords': '/special/auth',
  '/api/configuration/passwords/{id}': '/special/auth',
  '/api/configuration/policies': 'login',
  '/api/configuration/policies/targets': '/special/pol',
  '/api/configuration/policies/targets/{id}': '/special/pol',
  '/api/configuration/policies/targets/{target}/accounts': '/special/pol',
  '/api/configuration/policies/targets/{target}/accounts/{id}': '/special/pol',
  '/api/configuration/ssh': 'login',
  '/api/configuration/ssh/rules': '/special/ssh',
  '/api/configuration/ssh/rules/{id}': '/special/ssh',
  '/api/firmware/slots': '/special/basic',
};

const OBJECTS = [...new Set(Object.values(ACCESS))].filter((text) => text.startsWith('/'));

interface Entry {
  readonly method: string;
  readonly path: string;
  readonly needs: string;
}

function needed(path: string, method: string): string {
  const [first = '', other] = (ACCESS[path] ?? '').split(', ');
  const special = other?.startsWith(`${method} `) ? other.slice(method.length + 1) : first;
  return special;
}

suite('permission matrix', () => {
  const scope = new ManualScope();
  let place: ApiGate;
  let entries: Entry[];
  before(async () => {
    const password = 'a password of a tester';
    const user = (name: string) => ({ name, password, groups: [name] });
    place = await startApiGate(scope, {
      inventory: {
        users: ['none', 'reader', 'writer', 'narrow'].map(user),
        groups: ['none', 'reader', 'writer', 'narrow'].map((name) => ({ name })),
        acls: [
          { group: 'reader', objects: OBJECTS, permission: 'read' },
          { group: 'writer', objects: OBJECTS, permission: 'write' },
        ],
      },
    });
    const { json } = await place.client().get('/openapi.json');
    const paths = json['paths'] as unknown as Record<string, Record<string, unknown>>;
    entries = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((name) => {
        const method = name.toUpperCase();
        return { method, path, needs: needed(path, method) };
      }),
    );
  });
  after(() => scope.end());

  async function ask(client: ApiClient, { method, path }: Entry): Promise<number> {
    const real = path.replace(/\{\w+\}/g, '0123456789abcdef012345');
    const body = method === 'POST' || method === 'PUT' ? { body: {} } : {};
    return (await client.send(method, real, body)).status;
  }

  test('every route is written down here, and every path here is a route', () => {
    const paths = [...new Set(entries.map(({ path }) => path))].sort();
    assert.deepEqual(paths, Object.keys(ACCESS).sort());
  });

  test('without a login: what is open, and 401 for all else', async () => {
    for (const entry of entries) {
      const isLogin = entry.path === '/api/authentication';
      const status = await ask(place.client(), entry);
      if (entry.needs === 'open' && !isLogin) assert.equal(status, 200, JSON.stringify(entry));
      else assert.equal(status, 401, JSON.stringify(entry));
    }
  });

  const people = [
    { who: 'none', may: (): boolean => false },
    { who: 'reader', may: (method: string): boolean => method === 'GET' },
    { who: 'writer', may: (): boolean => true },
  ];
  for (const { who, may } of people) {
    test(`${who}: 403 for what no ACL allows, and not for what one does`, async () => {
      const client = await place.as(who, 'a password of a tester');
      for (const entry of entries) {
        if (entry.path === '/api/authentication') continue;
        const status = await ask(client, entry);
        const opens = entry.path === '/api/transaction' && entry.method === 'POST';
        const allowed = opens ? may('POST') : !entry.needs.startsWith('/') || may(entry.method);
        const what = `${who} ${entry.method} ${entry.path}: ${status}`;
        if (allowed) assert.ok(status !== 401 && status !== 403 && status < 500, what);
        else assert.equal(status, 403, what);
      }
    });
  }

  test('the administrator may do everything', async () => {
    const admin = await place.admin();
    for (const entry of entries) {
      if (entry.path === '/api/authentication') continue;
      const status = await ask(admin, entry);
      assert.ok(status !== 401 && status !== 403 && status < 500, `${entry.method} ${entry.path}`);
    }
  });

  test('an ACL on a path covers what is below it, and nothing beside it', async () => {
    const admin = await place.admin();
    await admin.post('/api/transaction');
    const acls = (await admin.get('/api/configuration/aaa/acls')).json['body'];
    const below = '/api/configuration/aaa/local_database/groups';
    const more = { group: 'narrow', objects: [below], permission: 'read' };
    const put = await admin.put('/api/configuration/aaa/acls', [...(acls ?? []), more]);
    assert.equal(put.status, 200, put.bytes.toString());
    await admin.put('/api/transaction', { status: 'commit' });
    const client = await place.as('narrow', 'a password of a tester');
    assert.equal((await client.get(below)).status, 200);
    assert.equal((await client.get('/api/configuration/aaa/local_database/users')).status, 403);
    assert.equal((await client.post(below, { name: 'x', members: [] })).status, 403);
  });
});
