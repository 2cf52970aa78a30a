/**
 * Proof 9: `apply` from outside. The same file twice changes nothing; a broken one names file, line and reason and
 * changes nothing; what is applied while the gate runs counts from the next login on; the audit chain holds, and no
 * secret lies anywhere in clear.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { check, run } from '../support/process.ts';
import { startSite } from '../support/site.ts';
import { ssh, startSsh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';

/** The number of the newest commit. */
async function commitOf(gate: Gate): Promise<number> {
  const text = await gate.text(['export-inventory']);
  return Number(/commit (\d+)/.exec(text)?.[1]);
}

suite('apply', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('the same file twice is one commit; a broken file changes nothing', async (t) => {
    const { gate, inventory, to } = await startSite(t, { password: 'a long password' });
    const before = await commitOf(gate);
    const again = await gate.apply(inventory);
    assert.equal(again.code, 0);
    assert.match(again.stdout.toString(), /nothing|no change/i);
    assert.equal(await commitOf(gate), before);

    const broken = [
      { lines: ['users:', '  - { name: bob, groups: [nobody] }'], at: 2, why: /nobody/ },
      { lines: ['users:', '  - { name: bob, colour: red }'], at: 2, why: /unknown key "colour"/ },
      { lines: ['users:', '  - { name: "a@b" }'], at: 2, why: /name/ },
      { lines: ['groups:', '  - { name: g }', '  - { name: g }'], at: 3, why: /twice/ },
      { lines: ['users:', '', '  - { name: bob', 'x: ['], at: 4, why: /./ },
      {
        lines: ['groups: [{ name: fresh }]', 'rules:', '  - name: r', '    groups: [fresh]'],
        at: 3,
        why: /targets/,
      },
      { lines: ['users:', '  - name: bob', '    keys: ["ssh-ed25519 AAAA"]'], at: 3, why: /key/ },
      {
        lines: [
          'targets:',
          '  - name: t',
          '    address: 127.0.0.1',
          '    accounts:',
          '      - { name: root, private_key_file: ./nowhere }',
        ],
        at: 5,
        why: /nowhere/,
      },
    ];
    for (const { lines, at, why } of broken) {
      const { code, stderr, stdout } = await gate.apply(lines.join('\n'));
      const text = stderr.toString();
      assert.equal(code, 1, `${lines.join('\n')}: ${stdout.toString()}`);
      assert.match(text, why);
      const place = new RegExp(`inventory\\.yaml:(\\d+): `).exec(text);
      assert.equal(Number(place?.[1]), at, text);
      assert.equal(text.trim().split('\n').length, 1, text);
    }
    assert.equal(await commitOf(gate), before);
    assert.equal((await ssh(to, 'echo well')).stdout.toString(), 'well\n');
  });

  test('keys too weak are refused with file, line and reason', async (t) => {
    const { gate } = await startSite(t);
    const dir = tempDir(t);
    const weak: [string, string][] = [];
    const rsa = join(dir, 'rsa');
    await check(['ssh-keygen', '-q', '-t', 'rsa', '-b', '1024', '-N', '', '-f', rsa]);
    weak.push(['RSA of 1024 bits', readFileSync(`${rsa}.pub`, 'utf8').trim()]);
    const dsa = join(dir, 'dsa');
    // Newer versions of ssh-keygen cannot make them any more.
    const made = await run(['ssh-keygen', '-q', '-t', 'dsa', '-N', '', '-f', dsa]);
    if (made.code === 0) weak.push(['DSA', readFileSync(`${dsa}.pub`, 'utf8').trim()]);
    const before = await commitOf(gate);
    for (const [name, line] of weak) {
      const { code, stderr } = await gate.apply(
        ['users:', '  - name: bob', '    keys:', `      - ${line}`].join('\n'),
      );
      assert.equal(code, 1, name);
      assert.match(stderr.toString(), /inventory\.yaml:4: user "bob": keys? 1: \S/, name);
      assert.match(stderr.toString(), /dss|bits|RSA/i, name);
    }
    assert.equal(await commitOf(gate), before);
  });

  test('what is applied while the gate runs counts from the next login on', async (t) => {
    const { gate, inventory, to, as, target } = await startSite(t);
    const running = startSsh(t, to, 'echo ready; cat');
    await running.line(/ready/);
    const key = await makeKey(t);
    const bob = as(`bob@${target.user}@db1`, { key: key.path });
    assert.equal((await ssh(bob, 'true')).code, 255);
    const withBob = {
      ...inventory,
      users: [
        ...(inventory.users ?? []),
        { name: 'bob', keys: [key.publicLine], groups: ['testers'] },
      ],
    };
    const applied = await gate.apply(withBob);
    assert.equal(applied.code, 0, applied.stderr.toString());
    assert.equal((await ssh(bob, 'echo in')).stdout.toString(), 'in\n');

    const disabled = await gate.apply('users:\n  - { name: bob, disabled: true }\n');
    assert.equal(disabled.code, 0, disabled.stderr.toString());
    const refused = await ssh(bob, 'true');
    assert.equal(refused.code, 255);
    assert.match(refused.stderr.toString(), /Permission denied/);

    // The rule goes, and with it the session that stood on it; the next one is refused.
    const pruned = join(gate.dir, 'pruned.yaml');
    writeFileSync(pruned, JSON.stringify({ ...inventory, rules: [] }));
    const result = await gate.cli(['apply', '--prune', pruned]);
    assert.equal(result.code, 0, result.stderr.toString());
    assert.match((await ssh(to, 'true')).stderr.toString(), /no access to/);
    const ended = await running.exited;
    assert.equal(ended.code, 255);
    assert.match(ended.stderr.toString(), /terminated by .*no rule that let "\w+" in does so/);

    assert.equal((await gate.cli(['audit', 'verify'])).code, 0);
    await gate.stop();
    assert.equal((await gate.cli(['audit', 'verify'])).code, 0);
  });

  test('a changed commit is found, and so is a log cut short', async (t) => {
    const { gate } = await startSite(t);
    await gate.apply('groups: [{ name: second }]');
    await gate.apply('groups: [{ name: third }]');
    const commit = await commitOf(gate);
    await gate.stop();
    const good = await gate.cli(['audit', 'verify']);
    assert.equal(good.code, 0, good.stderr.toString());
    const database = join(gate.dir, 'data', 'sallyport.db');
    const original = readFileSync(database);
    // Its journal is folded in when the gate ends, so the file alone is the database.
    const tamper = async (sql: string): Promise<void> => {
      for (const suffix of ['-wal', '-shm']) rmSync(`${database}${suffix}`, { force: true });
      writeFileSync(database, original);
      const script =
        'import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.executescript(sys.argv[2])';
      await check(['/usr/bin/python3', '-c', script, database, sql]);
      const { code, stderr } = await gate.cli(['audit', 'verify']);
      assert.equal(code, 1, sql);
      assert.match(stderr.toString(), /not as it was written/, sql);
      assert.equal(stderr.toString().trim().split('\n').length, 1);
    };
    await tamper(`UPDATE commits SET author = 'somebody' WHERE number = 1`);
    await tamper(`UPDATE commits SET diff = replace(diff, 'second', 'fourth')`);
    await tamper(`DELETE FROM commits WHERE number = ${commit}`);
    await tamper('DELETE FROM commits WHERE number = 1');
  });

  test('the exported inventory applied again changes nothing', async (t) => {
    const { gate } = await startSite(t, { password: 'a long password' });
    const before = await commitOf(gate);
    const text = await gate.text(['export-inventory']);
    const applied = await gate.apply(text);
    assert.equal(applied.code, 0, applied.stderr.toString());
    assert.equal(await commitOf(gate), before);
    assert.equal(await gate.text(['export-inventory']), text);
  });

  test('no secret lies anywhere in clear', async (t) => {
    const word = 'wholly-secret-word-1';
    const site = await startSite(t, {
      password: word,
      inventory: (usual) => ({
        ...usual,
        targets: [
          ...(usual.targets ?? []),
          {
            name: 'db2',
            address: '127.0.0.1',
            host_key_policy: 'accept-new',
            accounts: [{ name: 'root', password: `${word}-2` }],
          },
        ],
      }),
    });
    const { gate, to, as, target } = site;
    assert.equal((await ssh(to, 'echo key')).stdout.toString(), 'key\n');
    const byWord = as(`alice@${target.user}@db1`, { password: word });
    assert.equal((await ssh(byWord, 'echo word')).stdout.toString(), 'word\n');
    const row = await eventually('the row', async () => (await gate.connections())[0]);
    assert.equal(row['auth_method'], 'password');
    const exportText = await gate.text(['export-inventory']);
    await gate.stop();
    // The test wrote this one itself.
    rmSync(join(gate.dir, 'inventory.yaml'));
    const pem = target.privateKeyText.split('\n').slice(2, 4);
    for (const entry of readdirSync(gate.dir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile()) continue;
      const bytes = readFileSync(path);
      for (const secret of [word, ...pem]) {
        assert.ok(!bytes.includes(secret), `${path} holds ${secret}`);
      }
      const privateOnes = /^(keys|data|run)\//.test(path.slice(gate.dir.length + 1));
      if (privateOnes && !path.endsWith('.pub')) {
        assert.equal(statSync(path).mode & 0o077, 0, `${path} can be read by others`);
      }
    }
    for (const secret of [word, ...pem]) {
      assert.ok(!gate.log().includes(secret), 'in the log');
      assert.ok(!exportText.includes(secret), 'in the exported inventory');
    }
  });
});
