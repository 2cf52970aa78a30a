/** `apply` with a gate and without: the same words, all or nothing, one commit, and who did it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { commits } from '../../src/store/audit.ts';
import { openDatabase } from '../../src/store/database.ts';
import { makeKey } from '../support/keys.ts';
import { check, start } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { SALLYPORT } from '../support/gate.ts';
import { tempDir } from '../support/tempdir.ts';
import { sallyport, succeed } from './sallyport.ts';

/** A gate's folder, an inventory file beside a private key, and a gate that serves it if wanted. */
async function place(scope: Scope, running: boolean) {
  const key = await makeKey(scope);
  const home = join(key.path, '..');
  const dir = join(tempDir(scope), 'gate');
  await succeed(['init', '--dir', dir, '--ssh', '127.0.0.1:0', '--https', '127.0.0.1:0']);
  if (running) await start(scope, [SALLYPORT, 'serve', '--dir', dir]).line(/"event":"ready"/);
  const write = (text: string) => writeFileSync(join(home, 'inventory.yaml'), text);
  // A relative name: the gate has another working folder.
  const apply = (...flags: string[]) =>
    sallyport(['apply', '--dir', dir, ...flags, 'inventory.yaml'], { cwd: home });
  return { dir, write, apply };
}

const INVENTORY = `users:
  - { name: alice, password: "s3cret", groups: [ops] }
  - { name: bob }
groups:
  - { name: ops }
targets:
  - name: db1
    address: 127.0.0.1
    host_key_policy: accept-new
    accounts: [{ name: root, private_key_file: ./id_ed25519 }]
rules:
  - { name: all, groups: [ops], targets: [db1], accounts: [root], channels: [shell, exec] }
`;

for (const running of [false, true]) {
  const how = running ? 'through a running gate' : 'without a gate';

  test(`${how}: what changed is told, and a second apply changes nothing`, async (t) => {
    const { dir, write, apply } = await place(t, running);
    write(INVENTORY);
    assert.deepEqual((await apply()).out.split('\n'), [
      '+ group ops',
      '+ user alice',
      '+ user bob',
      '+ target db1',
      '+ account root@db1',
      '+ rule all',
      'commit 1: 6 changes',
      '',
    ]);
    assert.equal((await apply()).out, 'nothing to change\n');
    write(INVENTORY.replace('s3cret', 'other').replace('127.0.0.1', '127.0.0.2'));
    assert.deepEqual((await apply('--message', 'moved')).out.split('\n'), [
      '~ user alice: password changed',
      '~ target db1: address 127.0.0.1 → 127.0.0.2',
      'commit 2: 2 changes',
      '',
    ]);
    write('users: [{ name: alice }]\ngroups: [{ name: ops }]\n');
    assert.equal((await apply()).out, 'nothing to change\n');
    const { out } = await apply('--prune');
    assert.match(out, /^- user bob\n- target db1\n- account root@db1\n- rule all\ncommit 3/);
    assert.match(await succeed(['audit', 'verify', '--dir', dir]), /^3 commits, head [0-9a-f]{64}/);
    const db = await openDatabase({ path: join(dir, 'data/sallyport.db') });
    const [, second] = await commits(db);
    await db.close();
    assert.equal(second?.author, userInfo().username);
    assert.equal(second.message, 'moved');
  });

  test(`${how}: a file that is wrong is refused by file, line and reason`, async (t) => {
    const { dir, write, apply } = await place(t, running);
    write(INVENTORY);
    await apply();
    const before = await succeed(['export-inventory', '--dir', dir]);
    const wrong: readonly (readonly [string, string])[] = [
      [INVENTORY.replace('name: bob', 'nam: bob'), 'inventory.yaml:3: '],
      [INVENTORY.replace('./id_ed25519', './id_none'), 'inventory.yaml:10: '],
      [
        INVENTORY.replace('groups: [ops], targets', 'groups: [opz], targets'),
        'inventory.yaml:12: ',
      ],
      ['users: [', 'inventory.yaml:1: '],
    ];
    for (const [text, place] of wrong) {
      write(text);
      const { code, err, out } = await apply();
      assert.equal(code, 1);
      assert.ok(err.startsWith(`sallyport: ${place}`), err);
      assert.ok(!err.includes('s3cret'));
      assert.equal(out, '');
    }
    assert.equal(await succeed(['export-inventory', '--dir', dir]), before);
  });
}

test('two applies at once both happen, one after the other', async (t) => {
  const { dir, write, apply } = await place(t, false);
  write(INVENTORY);
  const codes = (await Promise.all([apply(), apply(), apply()])).map(({ code }) => code);
  assert.deepEqual(codes, [0, 0, 0]);
  assert.match(await succeed(['audit', 'verify', '--dir', dir]), /^1 commit, /);
});

test('what is exported can be applied again and changes nothing', async (t) => {
  const { dir, write, apply } = await place(t, false);
  write(INVENTORY);
  await apply();
  const text = await succeed(['export-inventory', '--dir', dir]);
  assert.ok(!text.includes('s3cret') && !text.includes('argon2') && !text.includes('PRIVATE'));
  write(text);
  assert.equal((await apply()).out, 'nothing to change\n');
});

test('an audit log that was changed in the database is not verified', async (t) => {
  const { dir, write, apply } = await place(t, false);
  write(INVENTORY);
  await apply('--message', 'the true reason');
  const path = join(dir, 'data/sallyport.db');
  const bytes = readFileSync(path);
  const at = bytes.indexOf('the true reason');
  assert.ok(at > 0);
  writeFileSync(path, bytes.fill('the fake', at, at + 8));
  const { code, err } = await sallyport(['audit', 'verify', '--dir', dir]);
  assert.equal(code, 1);
  assert.match(err, /commit 1 is not what was written/);
});

test('a master key of another gate is refused at the start, by name and with the remedy', async (t) => {
  const { dir, write, apply } = await place(t, false);
  write(INVENTORY);
  await apply();
  writeFileSync(join(dir, 'keys/master.key'), readFileSync(await otherMasterKey(t)), {
    mode: 0o600,
  });
  const { code, err } = await sallyport(['serve', '--dir', dir]);
  assert.equal(code, 1);
  assert.match(
    err,
    /^sallyport: keys\/master\.key opens none of the stored credentials: .*put the right one back/,
  );
});

async function otherMasterKey(scope: Scope): Promise<string> {
  const dir = join(tempDir(scope), 'gate');
  await succeed(['init', '--dir', dir]);
  return join(dir, 'keys/master.key');
}

test('an inventory may come through a pipe; a device, or a pipe as key, is refused and not waited for', async (t) => {
  const { dir, write, apply } = await place(t, false);
  const shell = 'printf "groups: [{ name: piped }]" | "$0" apply --dir "$1" /dev/stdin';
  await check(['/bin/sh', '-c', shell, SALLYPORT, dir]);
  const device = await sallyport(['apply', '--dir', dir, '/dev/zero']);
  assert.equal(device.code, 1);
  assert.match(device.err, /cannot read \/dev\/zero: not a regular file/);
  const pipe = join(tempDir(t), 'pipe');
  await check(['mkfifo', pipe]);
  write(INVENTORY.replace('./id_ed25519', pipe));
  const { code, err } = await apply();
  assert.equal(code, 1);
  assert.match(err, /inventory\.yaml:\d+: .*not a regular file/);
});
