/**
 * What a hostile client puts into objects of the API: fields that nobody declared, text that is code elsewhere. It is
 * refused, or kept as the text that it is; the administrator stays, and no reply to anybody holds a secret.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { ADMIN_PASSWORD } from '../support/api-gate.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { ManualScope } from '../support/scope.ts';
import { ROOT } from '../support/source-tree.ts';
import { ssh } from '../support/ssh-client.ts';
import {
  BOB,
  CHANGES,
  CONFIGURATION,
  FAR,
  GROUPS,
  RULES,
  SESSIONS,
  TARGETS,
  TRANSACTION,
  USERS,
  itemsOf,
  startWebPlace,
} from './web-place.ts';
import type { WebPlace } from './web-place.ts';

suite('hostile objects over the API', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  let place: WebPlace;
  before(async () => {
    place = await startWebPlace(scope);
  });
  after(() => scope.end());

  test('E7: a field that nobody declared is refused, and the administrator stays', async () => {
    const was = await place.state(await place.admin());
    await place.inTransaction(async (admin) => {
      const own = await place.idOf(admin, USERS, 'admin');
      const bob = await place.idOf(admin, USERS, 'bob');
      const shown = (await admin.get(`${USERS}/${own}`)).json['body'] as unknown as object;
      const his = (await admin.get(`${USERS}/${bob}`)).json['body'] as unknown as object;
      const before_ = await place.state(admin);
      for (const extra of [
        { id: own },
        { uuid: '00000000-0000-7000-8000-000000000000' },
        { key: own },
        { passwordHash: '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA' },
        { password_hash: 'x' },
        { passwordId: 'x' },
        { isAdmin: true },
        { groups: ['admins'] },
        { constructor: { prototype: { isAdmin: true } } },
      ]) {
        const what = JSON.stringify(extra);
        const put = await admin.put(`${USERS}/${bob}`, { ...his, ...extra });
        assert.equal(put.status, 400, `PUT ${what}`);
        const post = await admin.post(USERS, { name: 'new', password: null, ...extra });
        assert.equal(post.status, 400, `POST ${what}`);
        const group = await admin.post(GROUPS, { name: 'new', members: [], ...extra });
        assert.equal(group.status, 400, `group ${what}`);
      }
      const polluted =
        '{"name":"bob","password":null,"__proto__":{"isAdmin":true,"disabled":true}}';
      const headers = { 'Content-Type': 'application/json' };
      await admin.send('POST', USERS, { headers, body: polluted });
      const hash = { hash: '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA' };
      assert.equal((await admin.post(`${CONFIGURATION}/passwords`, hash)).status, 400);
      for (const change of [
        { name: 'root' },
        { disabled: true },
        { expires: '2001-01-01' },
        { expires: '2100-01-01' },
        { password: null },
      ]) {
        const { status, json } = await admin.put(`${USERS}/${own}`, { ...shown, ...change });
        assert.equal(status, 400, JSON.stringify(change));
        assert.equal(json['error']?.['details']?.['field'], Object.keys(change)[0]);
      }
      assert.equal((await admin.delete(`${USERS}/${own}`)).status, 400);
      assert.equal(await place.state(admin), before_);
      assert.equal((await admin.put(`${USERS}/${own}`, shown)).status, 200);
    });
    assert.equal(await place.state(await place.admin()), was);
  });

  test('E7: no reply to any GET holds a secret', async () => {
    const data = join(place.gate.dir, 'data');
    const rows = readdirSync(data)
      .filter((name) => name.startsWith('sallyport.db'))
      .map((name) => readFileSync(join(data, name), 'latin1'))
      .join('\n');
    const found = [
      ...rows.matchAll(/\$argon2id\$v=19\$[\w,=]+\$([\w+/]+)\$([\w+/]+)/g),
      ...rows.matchAll(/v1\.([\w-]{16})\.([\w-]+)\.([\w-]{22})/g),
    ];
    const sealed = found.flatMap(([, ...parts]) => parts).filter((part) => part.length >= 16);
    assert.ok(sealed.length >= 4 + 9, `${sealed.length} parts of hashes and sealed values`);
    const plain = [
      ADMIN_PASSWORD,
      BOB,
      FAR,
      ...place.privateKey.split('\n').filter((l) => l.length > 60),
    ];
    await place.inTransaction(async (admin) => {
      const made = await admin.post(`${CONFIGURATION}/passwords`, { plain: FAR });
      const secrets = [...sealed, ...plain, admin.cookie ?? ''];
      const queue = Object.entries(place.paths).flatMap(([path, methods]) =>
        'get' in methods && !path.includes('{') ? [path] : [],
      );
      queue.push(`${CONFIGURATION}/passwords/${String(made.json['key'])}`);
      queue.push(`${SESSIONS}?fields=*`, `${SESSIONS}?format=csv`);
      const seen = new Set<string>();
      for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
        if (seen.has(path)) continue;
        seen.add(path);
        const { status, bytes, headers } = await admin.get(path);
        const text = bytes.toString('latin1');
        const told = secrets.filter((secret) => text.includes(secret));
        assert.deepEqual(told, [], `${path}: ${status}`);
        const said = JSON.stringify({ ...headers, 'set-cookie': '' });
        assert.ok(!secrets.some((secret) => said.includes(secret)), `headers of ${path}`);
        for (const [, href = ''] of text.matchAll(/"(\/api\/[^"#]*)(?:#[^"]*)?"/g)) {
          if (!href.includes('{')) queue.push(href);
        }
        const one = new RegExp(`^${SESSIONS}/[0-9A-Za-z]{22}$`);
        if (one.test(path)) {
          for (const part of ['events', 'channels', 'channels/0', 'files', 'audit_trail', 'alerts'])
            queue.push(`${path}/${part}`);
        }
        if (path.startsWith(`${TARGETS}/`) && path.split('/').length === 6) {
          queue.push(`${path}/accounts`);
        }
      }
      const kinds = ['users/', 'groups/', 'rules/', '/accounts/', 'changes/', '/audit_trail'];
      for (const kind of kinds) {
        assert.ok(
          [...seen].some((path) => path.includes(kind)),
          `${kind} was not seen`,
        );
      }
    });
    for (const secret of [...sealed, ...plain]) assert.ok(!place.gate.log().includes(secret));
  });

  test('E11: text that is code elsewhere is kept as it is or refused, and never run', async () => {
    const admin = await place.admin();
    assert.equal((await admin.post(TRANSACTION)).status, 200);
    const touch = 'touch${IFS}pwned';
    const kept = [
      `;${touch};`,
      `$(${touch})`,
      `\`${touch}\``,
      `|${touch}`,
      `&&${touch}`,
      `'--`,
      `"><img(src)onerror=alert(1)>`,
      '-oProxyCommand=touch',
      '=1+cmd|A0',
      '{{7*7}}',
      '..',
    ];
    for (const name of kept) {
      for (const [path, body] of [
        [USERS, { name, password: null }],
        [GROUPS, { name, members: [] }],
        [TARGETS, { name, address: name, host_key_policy: 'accept-new' }],
      ] as const) {
        const made = await admin.post(path, body);
        assert.equal(made.status, 201, `${path} ${name} ${made.bytes.toString()}`);
        const back = await admin.get(`${path}/${String(made.json['key'])}`);
        assert.equal(back.json['body']?.['name'], name);
        assert.match(String(back.headers['content-type']), /^application\/json/);
        assert.equal(back.headers['x-content-type-options'], 'nosniff');
        if (path === TARGETS) {
          const accounts = `${path}/${String(made.json['key'])}/accounts`;
          const own = await admin.post(accounts, { name, login: 'password', password: name });
          assert.equal(own.status, 201, own.bytes.toString());
        }
      }
    }
    const refused = [
      'a\nb',
      'a\rb',
      'a\u0000b',
      'a\u001b]52;c;x\u0007',
      'a\u202eb',
      'a b',
      'a@b',
      '/a',
      '',
    ];
    for (const name of refused) {
      for (const [path, body] of [
        [USERS, { name, password: null }],
        [GROUPS, { name, members: [] }],
        [TARGETS, { name: 'fine', address: name, host_key_policy: 'accept-new' }],
        [RULES, { name, groups: [], targets: [], accounts: [], channels: [] }],
      ] as const) {
        const { status } = await admin.post(path, body);
        assert.equal(status, 400, `${path} ${JSON.stringify(name)}`);
      }
    }
    const message = 'one\ntwo $(touch pwned) \u001b[31m \u202e "';
    const committed = await admin.put(TRANSACTION, { status: 'commit', message });
    assert.equal(committed.status, 200, committed.bytes.toString());
    const [change] = itemsOf(await admin.get(`${CHANGES}?limit=1`));
    assert.equal(change?.body['message'], message);
    for (const line of place.gate.log().split('\n').filter(Boolean)) {
      assert.doesNotMatch(line, /[\u0000-\u001f\u007f\u202e]/);
      assert.ok(typeof JSON.parse(line) === 'object');
    }
    // Reached by its name as well: the address is a host name to be resolved, and nothing else.
    assert.equal((await ssh(place.at('trap'), 'true')).code, 255);
    const csv = (await admin.get(`${SESSIONS}?format=csv&fields=user.name`)).bytes.toString();
    assert.match(csv, /^"'=1\+A1"/m);
    for (const folder of [process.cwd(), ROOT, place.gate.dir, join(place.gate.dir, 'data')]) {
      assert.equal(existsSync(join(folder, 'pwned')), false, folder);
    }
    const tasks = `/proc/${place.gate.pid}/task`;
    for (const task of readdirSync(tasks)) {
      assert.equal(
        readFileSync(join(tasks, task, 'children'), 'utf8').trim(),
        '',
        'a child process',
      );
    }
  });
});
