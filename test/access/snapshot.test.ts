/** A snapshot answers by name, never changes, and counts what dangles as absent. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { Snapshot, SnapshotHolder } from '../../src/access/snapshot.ts';
import { encodePublicKey } from '../../src/wire/publickey.ts';
import { inventory, rule, target, user } from './inventory-fixture.ts';

const names = (rows: readonly { name: string }[]) => rows.map((row) => row.name);

test('names that are there are found, others are not, whatever they are called', () => {
  const snapshot = new Snapshot(inventory({ users: [user('a')], targets: [target('t', ['x'])] }));
  assert.equal(snapshot.user('a')?.id, 'id-a');
  assert.equal(snapshot.target('t')?.id, 'id-t');
  for (const name of ['', 'A', 'constructor', '__proto__']) {
    assert.equal(snapshot.user(name), undefined);
    assert.equal(snapshot.target(name), undefined);
  }
  assert.equal(Snapshot.empty().user('a'), undefined);
});

test('rules of several groups come once each, by name; those of removed groups not at all', () => {
  const rules = [
    rule('c', { groups: ['ops', 'dev', 'ops'] }),
    rule('a', { groups: ['dev'] }),
    rule('b', { groups: ['removed'] }),
  ];
  const snapshot = new Snapshot(inventory({ rules }));
  assert.deepEqual(names(snapshot.rulesFor(['ops', 'dev'])), ['a', 'c']);
  assert.deepEqual(names(snapshot.rulesFor(['removed'])), []);
  assert.deepEqual(names(snapshot.rulesFor([])), []);
  const alice = user('alice', { groups: ['removed', 'ops', 'dev', 'ops'] });
  assert.deepEqual(snapshot.groupsOf(alice), ['dev', 'ops']);
});

test('keys are those that can be read', () => {
  const { publicKey } = generateKeyPairSync('ed25519');
  const blob = encodePublicKey(publicKey);
  const good = `ssh-ed25519 ${blob.toString('base64')} a comment`;
  const row = user('a', {
    keys: ['', 'ssh-dss AAAA', good, `ssh-rsa ${good.split(' ')[1] ?? ''}`],
  });
  const snapshot = new Snapshot(inventory({ users: [row] }));
  assert.deepEqual(
    snapshot.keysOf(row).map((key) => key.blob),
    [blob],
  );
  assert.equal(snapshot.keysOf(row), snapshot.keysOf(row), 'parsed once');
});

test('the holder gives the newest, and who has an older one keeps it', () => {
  const holder = new SnapshotHolder(new Snapshot(inventory({ commit: 1, users: [user('a')] })));
  const old = holder.current;
  holder.replace(new Snapshot(inventory({ commit: 2 })));
  assert.equal(holder.current.commit, 2);
  assert.equal(holder.current.user('a'), undefined);
  assert.equal(old.user('a')?.name, 'a');
});

test('a target is found by its name on its port or the usual one, or by its address and port', () => {
  const db1 = { ...target('db1', ['x']), address: '10.0.0.5', port: 2200 };
  const twin = { ...target('Twin', ['x']), address: '10.0.0.5', port: 2200 };
  const six = { ...target('six', ['x']), address: '2001:DB8:0:0::1' };
  const snapshot = new Snapshot(inventory({ targets: [six, twin, db1] }));
  const at = (host: string, port: number): string[] => names(snapshot.targetsAt(host, port));
  assert.deepEqual(at('db1', 22), ['db1']);
  assert.deepEqual(at('DB1', 2200), ['db1']);
  assert.deepEqual(at('twin', 22), ['Twin']);
  assert.deepEqual(at('10.0.0.5', 2200), ['Twin', 'db1']);
  assert.deepEqual(at('2001:db8::1', 22), ['six']);
  const nowhere: [string, number][] = [
    ['db1', 23],
    ['10.0.0.5', 22],
    ['::ffff:10.0.0.5', 2200],
    ['010.0.0.5', 2200],
    ['167772165', 2200],
    ['db1.', 22],
    ['db1 22', 2200],
    ['', 22],
    ['fe80::1%lo', 22],
    ['constructor', 22],
  ];
  for (const [host, port] of nowhere) assert.deepEqual(at(host, port), [], `${host} ${port}`);
});
