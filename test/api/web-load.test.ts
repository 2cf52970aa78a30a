/**
 * What a client may cost: slow and silent ones are let go, what is too big is refused before it is taken in, and of many
 * at once a few are served and the rest refused. Meanwhile somebody types over SSH and notices nothing.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { Canary } from '../e2e/hostile-place.ts';
import type { ApiClient } from '../support/api-client.ts';
import { ADMIN_PASSWORD, ApiGate, withAdmin } from '../support/api-gate.ts';
import { eventually } from '../support/eventually.ts';
import { sftp } from '../support/file-clients.ts';
import { inventoryOf, startGate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { remoteDir } from '../support/remote-dir.ts';
import { defer, ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { withSettings } from '../support/settings.ts';
import { ssh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { GROUPS, itemsOf, SESSIONS, statusOf } from './web-place.ts';

const HASH_KIB = 32_768;

suite('load on the web', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  let place: ApiGate;
  let canary: Canary;
  let real: Endpoint;
  let admin: ApiClient;
  before(async () => {
    const [target, key] = await Promise.all([startOpenSsh(scope), makeKey(scope)]);
    const user = { name: 'alice', key };
    const inventory = withAdmin(inventoryOf(user, [{ name: 'db1', target }]));
    // Hashes long enough that many logins are there before the first is judged.
    const configure = withSettings({ passwords: { memory_kib: HASH_KIB, passes: 12 } });
    const gate = await startGate(scope, { inventory, configure });
    place = new ApiGate(gate);
    real = gate.endpoint(`alice@${target.user}@db1`, { key: key.path });
    canary = await Canary.start(scope, { gate, target, real });
    admin = await place.admin();
  });
  after(() => scope.end());

  /** A connection that is closed with the scope; TLS has been agreed on unless it is `plain`. */
  async function dial(of: Scope, kind: 'tls' | 'plain'): Promise<Socket> {
    const [host = '', port = ''] = place.gate.https.split(':');
    const ca = readFileSync(join(place.gate.dir, 'tls/ca.pem'));
    const at = { host, port: Number(port) };
    const socket = kind === 'tls' ? connectTls({ ...at, ca }) : connect(at);
    socket.on('error', () => undefined);
    defer(of, () => {
      socket.destroy();
    });
    await once(socket, kind === 'tls' ? 'secureConnect' : 'connect');
    socket.resume();
    return socket;
  }

  /** MiB of the gate: now, or the most there ever were. */
  function memory(which: 'VmRSS' | 'VmHWM'): number {
    const text = readFileSync(`/proc/${place.gate.pid}/status`, 'utf8');
    return Number(new RegExp(`^${which}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024;
  }

  function head(lines: readonly string[]): string {
    return [...lines, `Host: ${place.gate.https}`, ''].join('\r\n');
  }

  test('E12: who is slow or silent is let go', { timeout: 400_000 }, async () => {
    const cookie = `Cookie: session_id=${admin.cookie ?? ''}`;
    const post = [`POST ${GROUPS} HTTP/1.1`, cookie, 'Content-Type: application/json'];
    await canary.undisturbed('slow clients of the API', async (of) => {
      const open: Socket[] = [];
      for (let i = 0; i < 10; i++) {
        open.push(await dial(of, 'plain'), await dial(of, 'tls'));
        for (const said of [
          head(['GET /api HTTP/1.1']) + 'X-Slow: ',
          head([...post, 'Content-Length: 1000']) + '\r\n{"name":"',
          head([...post, 'Transfer-Encoding: chunked']) + '\r\n1\r\n{\r\n8\r\n',
        ]) {
          const socket = await dial(of, 'tls');
          socket.write(said);
          open.push(socket);
        }
      }
      const drip = setInterval(() => {
        for (const [at, socket] of open.entries()) {
          if (at % 5 > 1 && socket.writable) socket.write('x');
        }
      }, 1_000);
      try {
        const left = (): number => open.filter((socket) => !socket.closed).length;
        await eventually('the end of all slow clients', () => left() === 0, { everyMs: 100 });
      } finally {
        clearInterval(drip);
      }
      assert.equal((await admin.get('/api')).status, 200);
    });
  });

  test('E12: what is too big, too deep, too much or compressed is refused', async () => {
    const json = { 'Content-Type': 'application/json' };
    const send = (body: Buffer | string, headers: Record<string, string> = {}): Promise<number> =>
      statusOf(admin.send('POST', GROUPS, { headers: { ...json, ...headers }, body }));
    await canary.undisturbed('big requests to the API', async (of) => {
      for (const [cookie, status] of [
        [admin.cookie ?? '', 413],
        ['', 401],
      ] as const) {
        const socket = await dial(of, 'tls');
        const lines = [`POST ${GROUPS} HTTP/1.1`, `Cookie: session_id=${cookie}`];
        const announced = ['Content-Type: application/json', 'Content-Length: 1073741824'];
        const answer = once(socket, 'data') as Promise<[Buffer]>;
        socket.write(`${head([...lines, ...announced])}\r\n{"name":"`);
        const [first] = await answer;
        assert.match(first.toString(), new RegExp(`^HTTP/1\\.1 ${status} `));
        socket.destroy();
      }
      const endless = await dial(of, 'tls');
      const lines = [`POST ${GROUPS} HTTP/1.1`, `Cookie: session_id=${admin.cookie ?? ''}`];
      endless.write(`${head([...lines, 'Transfer-Encoding: chunked'])}\r\n`);
      const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
      const closed = once(endless, 'close');
      while (!endless.closed && endless.bytesWritten < 2 ** 28) {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        endless.write(chunk, () => resolve(undefined));
        await Promise.race([promise, closed]);
      }
      assert.ok(endless.bytesWritten < 2 ** 28, 'an endless body was taken in');
      for (const [open, close] of [
        ['[', ']'],
        ['{"a":', '}'],
      ] as const) {
        assert.equal(await send(open.repeat(100_000) + '1' + close.repeat(100_000)), 400);
        assert.equal(await send(open.repeat(100_000)), 400);
      }
      const bomb = Buffer.alloc(64 * 2 ** 20, ' ');
      for (const [encoding, body] of [
        ['gzip', gzipSync(bomb)],
        ['deflate', deflateSync(bomb)],
        ['br', brotliCompressSync(bomb.subarray(0, 2 ** 20))],
        ['gzip, gzip', gzipSync(gzipSync(bomb))],
      ] as const) {
        assert.equal(await send(body, { 'Content-Encoding': encoding }), 400, encoding);
      }
      const keys = (count: number): string =>
        Array.from({ length: count }, (_, at) => `k${at}=1`).join('&');
      assert.equal((await admin.get(`${SESSIONS}?${keys(1_000)}`)).status, 400);
      assert.equal(await statusOf(admin.get(`${SESSIONS}?${keys(10_000)}`)), 431);
      const fields = Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`X-${at}`, '1']));
      assert.equal(await statusOf(admin.get('/api', { headers: fields })), 431);
    });
  });

  test('E12: a hundred downloads at once are whole, and one that stops costs nothing', async () => {
    const local = tempDir(scope);
    const content = randomBytes(4 * 2 ** 20);
    writeFileSync(join(local, 'f'), content);
    const remote = await remoteDir(scope, real);
    const { code, stderr } = await sftp(real, [`put ${local}/f ${remote}/f`]);
    assert.equal(code, 0, stderr.toString());
    const path = await eventually('the file', async () => {
      for (const { key } of itemsOf(await admin.get(SESSIONS))) {
        const [file] = itemsOf(await admin.get(`${SESSIONS}/${key}/files`));
        if (file?.body['whole'] === true) return `${SESSIONS}/${key}/files/${file.key}/content`;
      }
      return undefined;
    });
    const scenario = async (of: Scope): Promise<void> => {
      const lines = [`GET ${path} HTTP/1.1`, `Cookie: session_id=${admin.cookie ?? ''}`];
      for (let i = 0; i < 10; i++) {
        const stopped = await dial(of, 'tls');
        stopped.write(`${head(lines)}\r\n`);
        await once(stopped, 'data');
        stopped.pause();
      }
      const parts = Array.from({ length: 100 }, async (_, at) => {
        const from = at * 40_000;
        const headers = { Range: `bytes=${from}-${from + 99_999}` };
        const { status, bytes } = await admin.get(path, { headers });
        assert.equal(status, 206);
        assert.ok(bytes.equals(content.subarray(from, from + 100_000)), `from ${from}`);
      });
      await Promise.all(parts);
    };
    // Once before it is watched: the thread that reads trails begins with the first download, and keeps its heap.
    const was = memory('VmRSS');
    const peers = new ManualScope();
    await scenario(peers).finally(() => peers.end());
    await canary.undisturbed('100 downloads of the API', scenario, { rssMiB: 64 });
    const grown = memory('VmHWM') - was;
    assert.ok(grown < 256, `the gate grew by ${grown} MiB`);
  });

  test('E13: of 200 logins at once a few are judged and the rest refused', async () => {
    await canary.undisturbed('200 logins to the API', async () => {
      const was = memory('VmHWM');
      const all = Array.from({ length: 200 }, async (_, at) => {
        const { status } = await place.client().login(`user-${at}`, 'wrong');
        return status;
      });
      const beside = ssh(real, 'echo in');
      const counts = Object.groupBy(await Promise.all(all), String);
      assert.deepEqual(Object.keys(counts).sort(), ['401', '503']);
      const refused = counts['503']?.length ?? 0;
      assert.ok(refused >= 50, `${refused} were refused`);
      assert.equal((await beside).stdout.toString(), 'in\n');
      // Two hashes at a time, and what 200 connections take; not 200 hashes.
      const grown = memory('VmHWM') - was;
      assert.ok(grown < 10 * (HASH_KIB / 1024), `the gate grew by ${grown} MiB`);
    });
    assert.equal((await place.client().login('admin', ADMIN_PASSWORD)).status, 200);
  });
});
