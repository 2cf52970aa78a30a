/**
 * The whole story over the API: a session is opened with OpenSSH, found, read, its log and files taken away with equal
 * bytes, and closed while it runs; what was taken is itself in the log.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { ApiClient } from '../support/api-client.ts';
import { ApiGate, withAdmin } from '../support/api-gate.ts';
import { eventually } from '../support/eventually.ts';
import { sftp } from '../support/file-clients.ts';
import { SALLYPORT, startGate, targetOf } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { check, run } from '../support/process.ts';
import { remoteDir } from '../support/remote-dir.ts';
import { ManualScope } from '../support/scope.ts';
import { ssh, startSsh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';

const SESSIONS = '/api/audit/sessions';

interface Item {
  readonly key: string;
  readonly body: Record<string, unknown>;
}

suite('sessions over the API', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  let place: ApiGate;
  let to: Endpoint;
  let auditor: ApiClient;
  before(async () => {
    const target = await startOpenSsh(scope);
    const key = await makeKey(scope);
    const password = 'a password of an auditor';
    const inventory = withAdmin({
      users: [
        { name: 'alice', keys: [key.publicLine], groups: ['testers'] },
        { name: 'auditor', password, groups: ['auditors'] },
      ],
      groups: [{ name: 'testers' }, { name: 'auditors' }],
      targets: [targetOf('db1', target)],
      rules: [
        {
          name: 'all',
          groups: ['testers'],
          targets: ['db1'],
          accounts: [target.user],
          channels: ['shell', 'exec', 'sftp', 'scp'],
        },
      ],
      acls: [{ group: 'auditors', objects: ['/special/searchmenu'], permission: 'read' }],
    });
    place = new ApiGate(await startGate(scope, { inventory }));
    to = place.gate.endpoint(`alice@${target.user}@db1`, { key: key.path });
    auditor = await place.as('auditor', password);
  });
  after(() => scope.end());

  async function find(q: string, fields = 'active,recording.session_id'): Promise<Item[]> {
    const { status, json, bytes } = await auditor.get(
      `${SESSIONS}?q=${encodeURIComponent(q)}&fields=${fields}`,
    );
    assert.equal(status, 200, bytes.toString());
    return json['items'] as unknown as Item[];
  }

  test('one that ended is found, told in full, and its trail taken away verifies', async () => {
    await ssh(to, 'echo a-word-of-its-own');
    const [found] = await eventually('the end of the session', async () => {
      const items = await find('active:false AND "a-word-of-its-own"');
      return items.length > 0 ? items : undefined;
    });
    assert.ok(found);
    const one = `${SESSIONS}/${found.key}`;
    const { json } = await auditor.get(one);
    assert.equal(json['body']?.['protocol'], 'SSH');
    assert.equal(json['body']['server']?.['name'], 'db1');
    const channels = (await auditor.get(`${one}/channels`)).json['items'] as unknown as Item[];
    assert.equal(channels[0]?.body['type'], 'session exec');
    assert.equal(channels[0].body['command'], 'echo a-word-of-its-own');
    const events = (await auditor.get(`${one}/events`)).json['items'] as unknown as Item[];
    assert.ok(events.some(({ body }) => body['type'] === 'login'));

    const tar = await auditor.get(`${one}/audit_trail`);
    assert.equal(tar.status, 200);
    assert.equal(tar.headers['content-type'], 'application/x-tar');
    const folder = tempDir(scope);
    writeFileSync(join(folder, 'trail.tar'), tar.bytes);
    await check(['tar', '-xf', join(folder, 'trail.tar'), '-C', folder]);
    const trails = readdirSync(join(folder, found.key)).sort();
    assert.deepEqual(trails, ['0.trail', 'connection.trail']);
    const paths = trails.map((name) => join(folder, found.key, name));
    const key = join(place.gate.dir, 'keys/signing.pub');
    const verified = await run([SALLYPORT, 'trail', 'verify', '--key', key, ...paths]);
    assert.equal(verified.code, 0, verified.stderr.toString());
    const alone = await auditor.get(`${one}/audit_trail?channel=0`);
    assert.deepEqual(alone.bytes, readFileSync(join(folder, found.key, '0.trail')));
    const raw = await auditor.get(`${one}/audit_trail?channel=0&format=raw-stdout`);
    assert.equal(raw.bytes.toString(), 'a-word-of-its-own\n');
    assert.equal((await auditor.get(`${one}/audit_trail?channel=0&format=zip`)).status, 400);
    assert.equal((await auditor.get(`${one}/audit_trail?channel=7`)).status, 404);
    assert.match(place.gate.log(), /"event":"trail-read"/);
  });

  test('files come back byte for byte, whole and in ranges, under names that are safe', async () => {
    const local = tempDir(scope);
    const content = randomBytes(1_500_000);
    const folder = join(local, 'far');
    mkdirSync(folder);
    writeFileSync(join(local, 'f'), content);
    const remote = await remoteDir(scope, to);
    const odd = 'a "b"; x=\u00fc.bin';
    const { code, stderr } = await sftp(to, [
      `put ${local}/f '${remote}/${odd}'`,
      `get '${remote}/${odd}' ${folder}/f`,
    ]);
    assert.equal(code, 0, stderr.toString());
    const files = await eventually('its files', async () => {
      for (const { key } of await find('user.name:alice')) {
        const { json } = await auditor.get(`${SESSIONS}/${key}/files`);
        const items = json['items'] as unknown as Item[];
        if (items.length === 2) return items.map((item) => ({ ...item, session: key }));
      }
      return undefined;
    });
    const hash = createHash('sha256').update(content).digest('hex');
    for (const { key, session, body } of files) {
      assert.equal(body['sha256'], hash);
      const path = `${SESSIONS}/${session}/files/${key}/content`;
      const whole = await auditor.get(path);
      assert.ok(whole.bytes.equals(content));
      assert.equal(whole.headers['content-length'], String(content.length));
      assert.equal(
        whole.headers['content-disposition'],
        `attachment; filename="a _b__ x__.bin"; filename*=UTF-8''a%20%22b%22%3B%20x%3D%C3%BC.bin`,
      );
      for (const [range, from, to_] of [
        ['bytes=0-0', 0, 1],
        ['bytes=1000000-1400000', 1_000_000, 1_400_001],
        ['bytes=1499990-', 1_499_990, 1_500_000],
        ['bytes=-7', 1_499_993, 1_500_000],
      ] as const) {
        const part = await auditor.get(path, { headers: { Range: range } });
        assert.equal(part.status, 206, range);
        assert.equal(part.headers['content-range'], `bytes ${from}-${to_ - 1}/1500000`);
        assert.ok(part.bytes.equals(content.subarray(from, to_)), range);
      }
      const outside = await auditor.get(path, { headers: { Range: 'bytes=1500000-' } });
      assert.equal(outside.status, 416);
    }
  });

  test('one that runs is closed by who may, its user is told, and others go on', async () => {
    const closing = startSsh(scope, to, 'echo here; exec sleep 600');
    const staying = startSsh(scope, to, 'echo here; exec cat');
    await closing.until(({ stdout }) => stdout.toString().includes('here') || undefined, 'closing');
    await staying.until(({ stdout }) => stdout.toString().includes('here') || undefined, 'staying');
    const items = await eventually('both sessions', async () => {
      const running = await find('active:true');
      return running.length === 2 ? running : undefined;
    });
    let session = '';
    for (const { key, body } of items) {
      const channels = (await auditor.get(`${SESSIONS}/${key}/channels`)).json['items'];
      const command = (channels as unknown as Item[])[0]?.body['command'];
      const recording = body['recording'] as { session_id: string };
      if (String(command).includes('sleep')) session = recording.session_id;
    }
    assert.match(session, /^svc\/[0-9A-Za-z]{22}\/all:\d+$/);
    const path = `/api/active-sessions?id=${session}`;
    assert.equal((await auditor.delete(path)).status, 403);
    const admin = await place.admin();
    assert.equal(
      (await admin.delete('/api/active-sessions')).json['error']?.['type'],
      'SessionIdMissing',
    );
    const closed = await admin.delete(path);
    assert.equal(closed.status, 200, closed.bytes.toString());
    assert.deepEqual(closed.json, { meta: { href: '/api/active-sessions', parent: '/api' } });
    const outcome = await closing.exited;
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr.toString(), /terminated by admin/);
    const again = await admin.delete(`/api/active-sessions?id=${encodeURIComponent(session)}`);
    assert.equal(again.status, 404);
    assert.equal(again.json['error']?.['type'], 'SessionCouldNotBeFound');
    const rows = await place.gate.connections();
    const row = rows.find(({ status }) => status === 'TERMINATED');
    assert.match(String(row?.['reason']), /admin/);
    staying.stdin?.write('still here\n');
    await staying.until(
      ({ stdout }) => stdout.toString().includes('still here') || undefined,
      'the other',
    );
    await staying.stop();
  });

  test('searches are checked, paged and exported', async () => {
    const wrong = await auditor.get(`${SESSIONS}?q=${encodeURIComponent('protocol:SSH AND (')}`);
    assert.equal(wrong.status, 400);
    assert.equal(wrong.json['error']?.['type'], 'InvalidQuery');
    assert.equal((await auditor.get(`${SESSIONS}?sort=id;drop`)).status, 400);
    assert.equal((await auditor.get(`${SESSIONS}?fields=passwordHash`)).status, 400);
    assert.equal((await auditor.get(`${SESSIONS}?unknown=1`)).status, 400);
    const first = await auditor.get(`${SESSIONS}?limit=1&sort=start_time`);
    const meta = first.json['meta'] as unknown as { match_count: number; next: string };
    assert.ok(meta.match_count > 1);
    const next = await auditor.get(meta.next);
    assert.notEqual(next.json['items']?.[0]?.['key'], first.json['items']?.[0]?.['key']);
    const csv = await auditor.get(`${SESSIONS}?format=csv&fields=user.name,protocol`);
    assert.match(String(csv.headers['content-type']), /^text\/csv/);
    assert.match(csv.bytes.toString(), /^user\.name|"user\.name"/);
    assert.equal((await auditor.get(`${SESSIONS}/0123456789012345678901`)).status, 404);
  });
});
