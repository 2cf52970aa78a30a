/** `apply`: one commit or none, all or nothing, and nothing secret in what a commit keeps. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Secret } from '../../src/base/secret.ts';
import { auditHead, commits, verifyAudit } from '../../src/store/audit.ts';
import { readInventory } from '../../src/store/inventory.ts';
import { exportInventory } from '../../src/store/inventory-export.ts';
import { credentialContext } from '../../src/store/rows.ts';
import { sampleInventory, testGate } from './setup.ts';

test('an inventory becomes one commit, and the same file again none', async (t) => {
  const gate = await testGate(t);
  const text = sampleInventory(gate.key);
  const first = await gate.apply(text);
  assert.equal(first.commit, 1);
  const before = await readInventory(gate.db);
  assert.deepEqual(await gate.apply(text), { commit: null });
  assert.deepEqual(await readInventory(gate.db), before);
  assert.equal((await auditHead(gate.db)).number, 1);
});

test('what was applied is what is read, with secrets hashed and sealed', async (t) => {
  const gate = await testGate(t);
  await gate.apply(sampleInventory(gate.key));
  const { users, targets, rules, acls, commit } = await readInventory(gate.db);
  assert.equal(commit, 1);
  const [alice, bob] = users;
  assert.ok(alice);
  assert.match(alice.passwordHash ?? '', /^\$argon2id\$/);
  assert.deepEqual(alice.keys, [gate.key]);
  assert.deepEqual(alice.groups, ['ops']);
  assert.match(alice.id, /^[0-9a-f]{22}$/);
  assert.equal(bob?.disabled, true);
  assert.equal(bob.passwordHash, null);
  const [db1, web] = targets;
  assert.deepEqual(db1?.hostKeys, [gate.key.split(' ').slice(0, 2).join(' ')]);
  assert.equal(db1.hostKeyPolicy, 'pinned');
  assert.deepEqual(web?.algorithms, { kex: ['diffie-hellman-group14-sha1'], hostKey: ['ssh-rsa'] });
  assert.equal(web.port, 22);
  const [app, me, root] = db1.accounts;
  assert.ok(root?.credential.kind === 'private-key' && app?.credential.kind === 'password');
  assert.equal(me?.credential.kind, 'agent');
  const opened = gate.options.open(root.credential.sealed, credentialContext(root.id));
  assert.ok(opened.equals(new Secret(gate.privateKey)));
  assert.throws(() => gate.options.open(root.credential.kind, credentialContext(app.id)));
  assert.deepEqual(rules[0]?.channels, ['shell', 'exec', 'subsystem:netconf']);
  assert.deepEqual(acls[0]?.objects, ['/special/active_sessions']);
  assert.ok(Object.isFrozen(alice.keys));
});

test('a commit says what changed before and after, and never a secret', async (t) => {
  const gate = await testGate(t);
  await gate.apply(sampleInventory(gate.key));
  const change = `users: [{ name: alice, password: "n3wsecret", groups: [] }]
targets: [{ name: db1, accounts: [{ name: app, password: "oth3r" }] }]`;
  const result = await gate.apply(change, { author: 'carol' });
  assert.equal(result.commit, 2);
  assert.deepEqual(
    result.changes.map(({ action, name, fields }) => [action, name, fields]),
    [
      ['changed', 'alice', ['password', 'groups']],
      ['changed', 'app@db1', ['secret']],
    ],
  );
  const [last] = await commits(gate.db, 1);
  assert.equal(last?.author, 'carol');
  const [alice] = last.diff as { before: { password: string }; after: { groups: string[] } }[];
  assert.equal(alice?.before.password, '[secret]');
  assert.deepEqual(alice.after.groups, []);
  const log = JSON.stringify(await commits(gate.db)) + JSON.stringify(result);
  const file = readFileSync(gate.path).toString('latin1');
  for (const secret of ['s3cret', 'n3wsecret', 'oth3r', 't0psecret', 'OPENSSH PRIVATE KEY']) {
    assert.ok(!log.includes(secret) && !file.includes(secret), secret);
  }
  for (const stored of ['$argon2id$', 'v1.']) assert.ok(!log.includes(stored), stored);
});

test('what apply does not name stays; prune removes it', async (t) => {
  const gate = await testGate(t);
  await gate.apply(sampleInventory(gate.key));
  const small = `groups: [{ name: net }]
users: [{ name: alice, groups: [net] }]
targets: [{ name: web, accounts: [{ name: admin, ask: true }] }]`;
  await gate.apply(small);
  const kept = await readInventory(gate.db);
  assert.deepEqual(
    kept.users.map(({ name }) => name),
    ['alice', 'bob'],
  );
  assert.deepEqual(
    kept.targets.map(({ name }) => name),
    ['db1', 'web'],
  );
  assert.deepEqual(
    kept.targets[1]?.accounts.map(({ name }) => name),
    ['admin', 'root'],
  );
  assert.ok(kept.users[0]?.passwordHash, 'a field that is left out stays');

  const pruned = await gate.apply(small, { prune: true });
  assert.equal(pruned.commit, 3);
  const left = await readInventory(gate.db);
  assert.deepEqual(
    left.users.map(({ name }) => name),
    ['alice'],
  );
  assert.deepEqual(
    left.groups.map(({ name }) => name),
    ['net'],
  );
  assert.deepEqual(
    left.targets.map(({ name }) => name),
    ['web'],
  );
  assert.deepEqual(
    left.targets[0]?.accounts.map(({ name }) => name),
    ['admin'],
  );
  assert.deepEqual([left.rules, left.acls], [[], []]);
  assert.deepEqual(await gate.apply(small, { prune: true }), { commit: null });
  assert.equal((await verifyAudit(gate.db)).ok, true);
});

test('a removed object and a new one of the same name are two objects', async (t) => {
  const gate = await testGate(t);
  await gate.apply('users: [{ name: alice, password: old }]');
  const [before] = (await readInventory(gate.db)).users;
  await gate.apply('groups: [{ name: x }]', { prune: true });
  await gate.apply('users: [{ name: alice, keys: [] }]');
  const [after] = (await readInventory(gate.db)).users;
  assert.notEqual(after?.id, before?.id);
  assert.equal(after?.passwordHash, null);
});

test('a password of null takes it away', async (t) => {
  const gate = await testGate(t);
  await gate.apply('users: [{ name: alice, password: old }]');
  await gate.apply('users: [{ name: alice, password: null }]');
  assert.equal((await readInventory(gate.db)).users[0]?.passwordHash, null);
});

test('a file that fails changes nothing', async (t) => {
  const gate = await testGate(t);
  await gate.apply(sampleInventory(gate.key));
  const before = await readInventory(gate.db);
  const bad = `users: [{ name: zoe }]
groups: [{ name: new }]
rules:
  - { name: r, groups: [new], targets: [nowhere], accounts: [], channels: [shell] }`;
  await assert.rejects(gate.apply(bad), { code: 'inventory-invalid', message: /:4: rule "r"/ });
  assert.deepEqual(await readInventory(gate.db), before);
});

test('two at once become two commits, each on top of the other', async (t) => {
  const gate = await testGate(t);
  const results = await Promise.all(
    ['a', 'b', 'c', 'd'].map((name) => gate.apply(`groups: [{ name: ${name} }]`)),
  );
  assert.deepEqual(results.map(({ commit }) => commit).toSorted(), [1, 2, 3, 4]);
  const { groups } = await readInventory(gate.db);
  assert.deepEqual(
    groups.map(({ name }) => name),
    ['a', 'b', 'c', 'd'],
  );
});

test('an exported inventory applied again changes nothing', async (t) => {
  const gate = await testGate(t);
  await gate.apply(sampleInventory(gate.key));
  const names = ['true', 'Null', 'no', '1e3', '0x1f', '~', '-', 'naïve-#1', '{a}', '.inf'];
  const odd = { groups: names.map((name) => ({ name })), users: [{ name: 'ünal', groups: names }] };
  await gate.apply(JSON.stringify(odd));
  const before = await readInventory(gate.db);
  const text = exportInventory(before);
  assert.equal(exportInventory(await readInventory(gate.db)), text);
  assert.deepEqual(await gate.apply(text), { commit: null }, text);
  assert.deepEqual(await gate.apply(text, { prune: true }), { commit: null });
  for (const secret of ['$argon2id$', 'v1.', 's3cret']) assert.ok(!text.includes(secret));
  assert.match(text, /# password: left out/);
  assert.match(text, /# private_key: left out/);
});

test('destinations of forwards are kept, exported, changed and taken away', async (t) => {
  const gate = await testGate(t);
  await gate.apply(sampleInventory(gate.key));
  const [sample] = (await readInventory(gate.db)).rules;
  assert.ok(sample);
  assert.equal(sample.forwardTo, null);
  const { name, groups, targets, accounts } = sample;
  const rule = { name, groups, targets, accounts, channels: ['local-forward'] };
  const apply = async (forwardTo: unknown): Promise<readonly string[] | null | undefined> => {
    await gate.apply(JSON.stringify({ rules: [{ ...rule, forward_to: forwardTo }] }));
    return (await readInventory(gate.db)).rules[0]?.forwardTo;
  };
  const places = ['10.0.0.0/8:5432', '[::1]:*', 'unix:/run/x.sock'];
  assert.deepEqual(await apply(places), places);
  assert.deepEqual(await apply(undefined), places, 'left out: stays');
  const text = exportInventory(await readInventory(gate.db));
  assert.deepEqual(await gate.apply(text), { commit: null });
  assert.deepEqual(await apply([]), []);
  assert.equal(await apply(null), null);
  await assert.rejects(apply(['10.0.0.0/8']), { code: 'inventory-invalid', message: /HOST:PORT/ });
});
