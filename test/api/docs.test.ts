/**
 * docs/api.md is true: its commands run in their order against a gate, and do what it says; its errors are all there are.
 * So are the commands that README.md shows of the API.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { API_ERRORS } from '../../src/api/errors.ts';
import { ADMIN_PASSWORD, ApiGate, withAdmin } from '../support/api-gate.ts';
import { between } from '../support/error-table.ts';
import { eventually } from '../support/eventually.ts';
import { sftp } from '../support/file-clients.ts';
import { SALLYPORT, startGate, targetOf } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { run } from '../support/process.ts';
import { ROOT } from '../support/source-tree.ts';
import { startSsh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';

const TEXT = readFileSync(join(ROOT, 'docs/api.md'), 'utf8');
const missing = !hasOpenSsh() || !existsSync('/usr/bin/curl');

test('docs/api.md lists every type of error with its status, and no other', () => {
  const table = between(TEXT, ['<!-- api-errors -->', '<!-- /api-errors -->']) ?? '';
  const rows = [...table.matchAll(/^\| `(\w+)` +\| (\d+) +\|/gm)].map(([, type, status]) => [
    type,
    Number(status),
  ]);
  assert.deepEqual(Object.fromEntries(rows), { ...API_ERRORS });
});

suite('docs/api.md', { skip: missing ? 'no OpenSSH server, or no curl' : false }, () => {
  test('every command of it runs, in order, and does what it says', async (t) => {
    const target = await startOpenSsh(t);
    const key = await makeKey(t);
    const inventory = withAdmin({
      users: [{ name: 'tester', keys: [key.publicLine], groups: ['testers'] }],
      groups: [{ name: 'testers' }],
      targets: [targetOf('playground', target)],
      rules: [
        {
          name: 'playing',
          groups: ['testers'],
          targets: ['playground'],
          accounts: [target.user],
          channels: ['exec', 'sftp'],
        },
      ],
    });
    const place = new ApiGate(await startGate(t, { inventory }));
    const to = place.gate.endpoint(`tester@${target.user}@playground`, { key: key.path });
    const folder = tempDir(t);
    const content = randomBytes(100_000);
    writeFileSync(join(folder, 'sent'), content);
    const remote = `/tmp/sp-api-docs-${process.pid}`;
    const moved = await sftp(to, [`put ${folder}/sent ${remote}`, `rm ${remote}`]);
    assert.equal(moved.code, 0, moved.stderr.toString());
    const running = startSsh(t, to, 'echo here; exec sleep 600');
    await running.until(({ stdout }) => stdout.includes('here') || undefined, 'the session');
    await eventually('one that ended and one that runs', async () => {
      const rows = await place.gate.connections();
      const ended = rows.some(({ status }) => status === 'DISCONNECTED');
      return rows.length === 2 && ended ? true : undefined;
    });

    symlinkSync(place.gate.dir, join(folder, 'gate'));
    const blocks = [...TEXT.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
    assert.ok(blocks.length > 10);
    const script = ['set -euo pipefail', ...blocks]
      .join('\n')
      .replace('127.0.0.1:8443', place.gate.https);
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const quick = [...readme.matchAll(/^ {4}(curl --cacert gate.*)$/gm)]
      .map(([, line = '']) => `${line} --fail-with-body -sS`)
      .join('\n')
      .replace('-u admin ', '-u "admin:$ADMIN_PASSWORD" ')
      .replaceAll('127.0.0.1:8443', place.gate.https);
    assert.match(quick, /api\/authentication/);
    const first = await run(['/bin/bash', '-ec', quick], {
      cwd: folder,
      env: { PATH: process.env['PATH'], ADMIN_PASSWORD },
    });
    assert.equal(first.code, 0, `${first.stdout.toString()}\n${first.stderr.toString()}`);
    const outcome = await run(['/bin/bash', '-xc', script], {
      cwd: folder,
      env: { PATH: process.env['PATH'], ADMIN_PASSWORD },
      timeoutMs: 300_000,
    });
    const out = outcome.stdout.toString();
    assert.equal(outcome.code, 0, `${out}\n${outcome.stderr.toString()}`);

    const samples = [...TEXT.matchAll(/^ {4}(\{.*\})$/gm)].map(([, line = '']) => line);
    const shown = samples
      .filter((line) => !line.includes('"...'))
      .map((line) => line.split('{...}'));
    assert.equal(shown.length, 2);
    for (const parts of shown) {
      for (const part of parts) assert.ok(out.includes(part), `${part} is no part of\n${out}`);
    }
    assert.ok(readFileSync(join(folder, 'file.bin')).equals(content));
    assert.match(readFileSync(join(folder, 'sessions.csv'), 'utf8'), /tester/);
    const { stderr } = await running.exited;
    assert.match(stderr.toString(), /terminated by admin.*out of hours/);
    const signer = join(place.gate.dir, 'keys/signing.pub');
    const trail = join(folder, '0.trail');
    const verified = await run([SALLYPORT, 'trail', 'verify', '--key', signer, trail]);
    assert.equal(verified.code, 0, verified.stderr.toString());
    const admin = await place.admin();
    const names = [...((await admin.get('/api/configuration/ssh/rules')).json['items'] ?? [])];
    assert.deepEqual(names.map(({ body }) => String(body?.['name'])).sort(), [
      'ops-on-db1',
      'playing',
    ]);
    const groups = (await admin.get('/api/configuration/aaa/local_database/groups')).bytes;
    assert.doesNotMatch(groups.toString(), /operators/);
  });
});
