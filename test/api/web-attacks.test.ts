/**
 * What a hostile page or client tries at the API with headers, cookies, origins, tokens and searches: each is refused and
 * changes nothing, and no answer tells how the gate is made.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { ADMIN_PASSWORD } from '../support/api-gate.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { ManualScope } from '../support/scope.ts';
import {
  ACLS,
  BOB,
  CHANGES,
  CONFIGURATION,
  GROUPS,
  RULES,
  SESSIONS,
  TARGETS,
  TRANSACTION,
  USERS,
  itemsOf,
  startWebPlace,
  statusOf,
} from './web-place.ts';
import type { WebPlace } from './web-place.ts';

/** What a reply must not tell: how it is made, and of what. */
const INSIDE =
  /sqlite|typeorm|no such (column|table)|near \\?"|select .* from|node_modules|\/src\/|\.ts:\d/i;

suite('attacks on the web', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  let place: WebPlace;
  before(async () => {
    place = await startWebPlace(scope);
  });
  after(() => scope.end());

  test('E1: no header says where the gate is, and nothing is a redirect', async () => {
    const admin = await place.admin();
    const evil = 'evil.example';
    const forged: Record<string, string>[] = [
      { Host: evil },
      { Host: `${place.gate.https}@${evil}` },
      { Host: `x@${evil}:443` },
      { 'X-Forwarded-Host': evil, 'X-Forwarded-Proto': 'http', 'X-Forwarded-For': '6.6.6.6' },
      { Forwarded: `host=${evil};proto=javascript`, 'X-Original-URL': `//${evil}/` },
      { 'X-Forwarded-Host': ' '.repeat(12_000) + evil, 'X-Forwarded-Proto': ','.repeat(2_000) },
      { Referer: `https://${evil}/`, 'X-Rewrite-URL': `/\\${evil}` },
    ];
    const places = Object.keys(place.paths).filter((path) => !path.includes('{'));
    assert.ok(places.length > 20);
    const ends = [
      '',
      '//',
      `?next=//${evil}`,
      `?redirect_uri=javascript:${evil}`,
      `?to=/%5C${evil}`,
    ];
    for (const headers of forged) {
      for (const path of [...places, '/', '/api/', `//${evil}`, `/\\${evil}`, `/api/%2F${evil}`]) {
        for (const end of headers === forged[0] ? ends : ['']) {
          const reply = await admin.get(`${path}${end}`, { headers });
          const what = `${path}${end} ${JSON.stringify(headers).slice(0, 80)}: ${reply.status}`;
          assert.ok(reply.status < 300 || (reply.status >= 400 && reply.status < 500), what);
          assert.equal(reply.headers.location, undefined, what);
          if (!path.includes(evil)) assert.equal(reply.bytes.includes(evil), false, what);
        }
      }
    }
    for (const text of [' '.repeat(100_000) + evil, `${evil}${' '.repeat(100_000)}.`]) {
      const headers = { 'X-Forwarded-Host': text, 'X-Forwarded-Proto': text };
      // Blanks before a value are none of it: they may pass, and are not read.
      const status = await statusOf(admin.get('/api', { headers }));
      assert.ok(status === 431 || (status === 200 && text.startsWith(' ')), String(status));
    }
    assert.doesNotMatch(place.gate.log(), /6\.6\.6\.6/);
  });

  test('E2: a cookie of which one digit is another is no login, and each has all attributes', async () => {
    const admin = await place.admin();
    const own = admin.cookie ?? '';
    for (let at = 0; at < own.length; at++) {
      const other = own[at] === '0' ? '1' : '0';
      const cookie = own.slice(0, at) + other + own.slice(at + 1);
      const headers = { Cookie: `session_id=${cookie}; session_id.sig=${own}` };
      assert.equal((await place.client().get('/api', { headers })).status, 401, `digit ${at}`);
    }
    for (const cookie of [own.toUpperCase(), `${own}0`, own.slice(1), `"${own}`, `${own}%00`]) {
      if (cookie === own) continue;
      const headers = { Cookie: `session_id=${cookie}` };
      assert.equal((await place.client().get('/api', { headers })).status, 401, cookie);
    }
    const used = await admin.get('/api');
    assert.equal(used.status, 200);
    const ended = await admin.delete('/api/authentication');
    const login = await place.client().login('admin', ADMIN_PASSWORD);
    for (const { headers } of [login, used, ended]) {
      for (const cookie of headers['set-cookie'] ?? []) {
        const parts = cookie.split('; ');
        for (const part of ['Path=/', 'SameSite=Strict', 'Secure', 'HttpOnly']) {
          assert.ok(parts.includes(part), `${part} in ${cookie}`);
        }
        assert.doesNotMatch(cookie, /domain/i);
      }
    }
    assert.match(login.headers['set-cookie']?.[0] ?? '', /^session_id=[0-9a-f]{40};/);
    assert.match(ended.headers['set-cookie']?.[0] ?? '', /^session_id=;.*expires=Thu, 01 Jan 1970/);
    const headers = { Cookie: `session_id=${own}` };
    assert.equal((await place.client().get('/api', { headers })).status, 401);
  });

  test('E3: what a page of another site sends is refused and changes nothing', async () => {
    await place.inTransaction(async (admin) => {
      const bob = await place.idOf(admin, USERS, 'bob');
      assert.equal((await admin.post(GROUPS, { name: 'waits', members: [] })).status, 201);
      const was = await place.state(admin);
      const foreign: Record<string, string>[] = [
        { Origin: 'https://evil.example' },
        { Origin: 'null' },
        { Origin: '' },
        { Origin: `http://${place.gate.https}` },
        { Origin: `https://${place.gate.https}.evil.example` },
        { Origin: `https://${place.gate.https.replace(/:.*/, '')}` },
        { 'Sec-Fetch-Site': 'cross-site' },
        { 'Sec-Fetch-Site': 'same-site' },
        { Origin: `https://${place.gate.https}`, 'Sec-Fetch-Site': 'cross-site' },
      ];
      const changes: [string, string, unknown?][] = [
        ['POST', GROUPS, { name: 'made', members: [] }],
        ['POST', `${CONFIGURATION}/passwords`, { plain: 'x' }],
        ['PUT', TRANSACTION, { status: 'commit' }],
        ['PUT', ACLS, []],
        ['DELETE', `${USERS}/${bob}`],
        ['DELETE', TRANSACTION],
        ['DELETE', '/api/authentication'],
        ['DELETE', '/api/active-sessions?id=x'],
      ];
      for (const headers of foreign) {
        for (const [method, path, body] of changes) {
          const { status } = await admin.send(method, path, { headers, body });
          assert.equal(status, 403, `${method} ${path} ${JSON.stringify(headers)}`);
        }
      }
      assert.equal(await place.state(admin), was);
      const text = JSON.stringify({ name: 'made', members: [] });
      for (const type of [
        'text/plain',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'text/plain; application/json',
        'application/json-x',
        '',
      ]) {
        const headers = { 'Content-Type': type };
        for (const path of [GROUPS, TRANSACTION]) {
          const { status } = await admin.send('POST', path, { headers, body: text });
          assert.equal(status, 400, `${path} ${type}`);
        }
      }
      assert.equal(await place.state(admin), was);
      const own = { Origin: `https://${place.gate.https}`, 'Sec-Fetch-Site': 'same-origin' };
      const body = { name: 'made', members: [] };
      assert.equal((await admin.send('POST', GROUPS, { headers: own, body })).status, 201);
    });
  });

  test('E3: a link of another site logs nobody in', async () => {
    const basic = `Basic ${Buffer.from(`bob:${BOB}`).toString('base64')}`;
    for (const more of [{ 'Sec-Fetch-Site': 'cross-site' }, { Origin: 'https://evil.example' }]) {
      const headers = { Authorization: basic, ...more };
      const reply = await place.client().get('/api/authentication', { headers });
      assert.equal(reply.status, 403);
      assert.equal(reply.headers['set-cookie'], undefined);
    }
    const headers = { Authorization: basic, 'Sec-Fetch-Site': 'none' };
    assert.equal((await place.client().get('/api/authentication', { headers })).status, 200);
  });

  test('E4, E10: nothing that looks like a token or an identity is taken for one', async () => {
    const part = (value: object): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = part({ sub: 'admin', userName: 'admin', exp: 4_102_444_800 });
    const tokens = [
      `${part({ alg: 'none', typ: 'JWT' })}.${claims}.`,
      `${part({ alg: 'HS256', kid: '../../dev/null' })}.${claims}.${randomBytes(32).toString('base64url')}`,
      Buffer.from('{"userName":"admin"}').toString('base64'),
    ];
    const bob = await place.as('bob', BOB);
    const names = ['Authorization', 'X-Auth-Token', 'X-Api-Key', 'X-Session-Id', 'Cookie'];
    const tries: Record<string, string>[] = tokens.flatMap((token) =>
      names.map((name) => ({
        [name]:
          name === 'Authorization'
            ? `Bearer ${token}`
            : name === 'Cookie'
              ? `session_id=${token}; token=${token}; koa.sess=${token}`
              : token,
      })),
    );
    for (const name of [
      'X-Forwarded-User',
      'X-Remote-User',
      'Remote-User',
      'X-User',
      'X-User-Id',
      'X-Auth-Request-User',
      'X-Sallyport-User',
      'X-WebAuth-User',
      'X-Ssl-Client-Cn',
      'X-Original-User',
    ]) {
      tries.push({ [name]: 'admin', 'X-Forwarded-For': '127.0.0.1', 'X-Real-IP': '127.0.0.1' });
    }
    for (const headers of tries) {
      const what = JSON.stringify(headers).slice(0, 90);
      assert.equal((await place.client().get(USERS, { headers })).status, 401, what);
      // Beside a cookie that is good: neither more nor less than its owner may.
      const beside = headers['Cookie'] === undefined ? headers : { 'X-Token': tokens[0] ?? '' };
      assert.equal((await bob.get('/api', { headers: beside })).status, 200, what);
      assert.equal((await bob.get(USERS, { headers: beside })).status, 403, what);
    }
    const token = encodeURIComponent(tokens[0] ?? '');
    for (const name of ['access_token', 'token', 'session_id', 'user']) {
      assert.equal((await place.client().get(`${USERS}?${name}=${token}`)).status, 401);
    }
  });

  test('E5: parameters of lists are from a list of ours, or refused without a word of the database', async () => {
    const admin = await place.admin();
    const values = [
      `'`,
      `"`,
      '`',
      `id' OR '1'='1`,
      '1;DROP TABLE users--',
      'start_time;select 1',
      'start_time desc',
      '(select 1)',
      '[]',
      '{"$ne":1}',
      '__proto__',
      'constructor',
      'toString',
      '-1',
      '1e9',
      '0x10',
      'NaN',
      '\u0000',
      '\ud800',
      'a'.repeat(5_000),
    ];
    const strict = ['sort', 'fields', 'limit', 'offset', 'start', 'end', 'format', 'filter'];
    const asks: [path: string, mayPass: boolean][] = [];
    for (const value of values) {
      const sent = encodeURIComponent(value.toWellFormed());
      for (const name of strict) asks.push([`${SESSIONS}?${name}=${sent}`, false]);
      for (const name of ['q', 'content']) asks.push([`${SESSIONS}?${name}=${sent}`, true]);
      for (const name of ['limit', 'before']) asks.push([`${CHANGES}?${name}=${sent}`, false]);
      for (const path of [USERS, GROUPS, TARGETS, RULES, `${CONFIGURATION}/aaa`]) {
        asks.push([`${path}?sort=${sent}`, false]);
      }
      asks.push([`${SESSIONS}/${sent}`, false], [`${CHANGES}/${sent}`, false]);
      asks.push([`${USERS}/${sent}`, false], [`${TARGETS}/${sent}/accounts`, false]);
    }
    for (const name of [
      'sort[]',
      'sort[$ne]',
      'sort.x',
      '__proto__',
      '__proto__[sort]',
      'constructor',
      'hasOwnProperty',
      "sort'--",
    ]) {
      asks.push([`${SESSIONS}?${encodeURIComponent(name)}=start_time`, false]);
    }
    asks.push([`${SESSIONS}?sort=start_time&sort=end_time`, false]);
    for (const [path, mayPass] of asks) {
      const { status, bytes } = await admin.get(path);
      const what = `${path.slice(0, 120)}: ${status} ${bytes.toString().slice(0, 200)}`;
      if (!(mayPass && status === 200)) assert.ok(status >= 400 && status < 500, what);
      assert.doesNotMatch(bytes.toString(), INSIDE);
    }
    for (const name of strict) {
      const path = `${SESSIONS}?${name}=${'a'.repeat(1_000_000)}`;
      assert.equal(await statusOf(admin.get(path)), 431, name);
    }
    assert.equal((await admin.get(`${SESSIONS}?sort=-start_time&limit=5`)).status, 200);
  });

  test(
    'E6: a search that would count all ways through a text does not',
    { timeout: 120_000 },
    async () => {
      const admin = await place.admin();
      const searches = [
        '(a+)+$',
        '/(a+)+$/',
        'channels.command:"(a+)+$"',
        `channels.command:${'*a'.repeat(1_500)}*b`,
        `channels.command:${'a*'.repeat(1_500)}b`,
        `channels.command:${'?'.repeat(2_000)}`,
        `channels.command:${'%'.repeat(1_300)}`,
        '%'.repeat(1_300),
        '('.repeat(1_300),
        `${'NOT '.repeat(900)}a`,
        `${'a OR '.repeat(700)}a`,
        `"${'\\'.repeat(1_300)}`,
      ];
      for (const search of searches) {
        for (const name of ['q', 'content']) {
          const reply = await admin.get(`${SESSIONS}?${name}=${encodeURIComponent(search)}`);
          const { status, bytes } = reply;
          const what = `${search.slice(0, 40)}: ${status} ${bytes.toString().slice(0, 200)}`;
          assert.ok(status === 200 || status === 400, what);
          if (status === 200) assert.equal(itemsOf(reply).length, 0, what);
        }
      }
      assert.equal((await admin.get(`${SESSIONS}?q=${'a'.repeat(10_000)}`)).status, 400);
      for (const long of ['%25'.repeat(100_000), 'a'.repeat(65_536)]) {
        assert.equal(await statusOf(admin.get(`${SESSIONS}?q=${long}`)), 431);
      }
      assert.equal((await place.client().get('/healthz')).status, 200);
    },
  );
});
