/** Who may reach what; absence refuses, and the refusal tells an outsider nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Identity } from '../../src/access/authn.ts';
import { allowsChannel, decide, reachable } from '../../src/access/policy.ts';
import type { Wish } from '../../src/access/policy.ts';
import { Snapshot } from '../../src/access/snapshot.ts';
import type { Inventory } from '../../src/store/rows.ts';
import { inventory, rule, target, user } from './inventory-fixture.ts';

const BASE: Partial<Inventory> = {
  users: [
    user('alice'),
    user('bob', { groups: ['dev'] }),
    user('nogroup', { groups: [] }),
    user('ghost', { groups: ['removed'] }),
    user('off', { disabled: true }),
  ],
  targets: [target('db1', ['root', 'app']), target('web', ['www'])],
  rules: [
    rule('z-files', { groups: ['ops'], targets: ['db1'], accounts: ['root'], channels: ['sftp'] }),
    rule('a-shell', { groups: ['ops'], targets: ['db1'], accounts: ['root'], channels: ['shell'] }),
    rule('app', {
      groups: ['dev'],
      targets: ['db1'],
      accounts: ['root', 'app'],
      channels: ['exec'],
    }),
    rule('dangling', { groups: ['removed'], targets: ['db1'], accounts: ['root'] }),
    rule('empty', { groups: ['ops'], targets: ['web'], accounts: ['nobody'], channels: ['shell'] }),
  ],
};

const identity = (name: string): Identity => ({
  userId: `id-${name}`,
  userName: name,
  groups: ['ops', 'dev'],
  commit: 1,
  method: 'publickey',
  keyFingerprint: '',
});

const ask = (name: string, wish: Wish, change: Partial<Inventory> = {}) =>
  decide(new Snapshot(inventory({ ...BASE, ...change })), identity(name), wish, 0);

const detail = (...args: Parameters<typeof ask>): string => {
  const decision = ask(...args);
  return decision.kind === 'refused' ? decision.detail : 'ALLOWED';
};

test('an allowed destination has its rows, its rules and the union of their kinds', () => {
  const decision = ask('alice', { target: 'db1', account: 'root' });
  assert.equal(decision.kind, 'allowed');
  const { destination } = decision;
  assert.equal(destination.target.id, 'id-db1');
  assert.equal(destination.account.id, 'id-root');
  assert.deepEqual(destination.rules, ['a-shell', 'z-files']);
  assert.deepEqual([...destination.channels].sort(), ['sftp', 'shell']);
  assert.ok(Object.isFrozen(destination));
});

test('without an account the only one that the rules name is meant', () => {
  const decision = ask('alice', { target: 'db1' });
  assert.equal(decision.kind === 'allowed' && decision.destination.account.name, 'root');
});

test('who names no target is neither let through nor refused, unless nobody knows him any more', () => {
  assert.equal(ask('alice', {}).kind, 'unnamed');
  assert.equal(ask('off', {}).kind, 'refused');
  assert.equal(ask('nobody', {}).kind, 'refused');
});

test('what one may reach is what he would be let through to, and nothing else', () => {
  const snapshot = new Snapshot(inventory(BASE));
  const of = (name: string): string[] =>
    reachable(snapshot, identity(name), 0).map(({ account, target: to, channels }) => {
      const kinds = [...channels].sort().join();
      return `${account.name}@${to.name} ${kinds}`;
    });
  assert.deepEqual(of('alice'), ['root@db1 sftp,shell']);
  assert.deepEqual(of('bob'), ['app@db1 exec', 'root@db1 exec']);
  for (const name of ['nogroup', 'ghost', 'off', 'nobody']) assert.deepEqual(of(name), []);
  for (const name of ['alice', 'bob', 'nogroup', 'ghost', 'off']) {
    for (const row of BASE.targets ?? []) {
      for (const { name: account } of row.accounts) {
        const listed = of(name).some((text) => text.startsWith(`${account}@${row.name} `));
        const decision = ask(name, { target: row.name, account });
        assert.equal(decision.kind === 'allowed', listed, `${name} at ${account}@${row.name}`);
      }
    }
  }
});

test('the detail says what was wrong', () => {
  assert.equal(detail('alice', { target: 'nope' }), 'unknown target "nope"');
  const unknown = detail('alice', { target: 'db1', account: 'x' });
  assert.equal(unknown, 'unknown account "x" on target "db1"');
  const other = detail('alice', { target: 'db1', account: 'app' });
  assert.equal(other, 'no rule for groups ops on account "app@db1"');
  assert.equal(detail('bob', { target: 'web' }), 'no rule for groups dev on target "web"');
  const several = detail('bob', { target: 'db1' });
  assert.equal(several, 'several accounts on target "db1" (root, app), name one');
  const none = detail('alice', { target: 'web' });
  assert.equal(none, 'no rule for groups ops names an account of target "web"');
});

test('everything absent refuses', () => {
  const wish = { target: 'db1', account: 'root' };
  const nobody = decide(new Snapshot(inventory(BASE)), undefined, wish, 0);
  assert.equal(nobody.kind, 'refused');
  assert.equal(decide(Snapshot.empty(), identity('alice'), wish, 0).kind, 'refused');
  assert.match(detail('nogroup', wish), /a user without groups/);
  assert.match(detail('ghost', wish), /a user without groups/);
  assert.match(detail('off', wish), /removed or disabled/);
  assert.match(detail('alice', wish, { rules: [] }), /no rule/);
  assert.match(detail('alice', wish, { groups: [] }), /without groups/);
  assert.match(detail('alice', wish, { targets: [] }), /unknown target/);
  assert.match(detail('alice', wish, { targets: [target('db1', [])] }), /unknown account/);
});

test('the current configuration counts, not the one of the login', () => {
  const wish = { target: 'db1', account: 'root' };
  assert.match(detail('alice', wish, { users: [] }), /removed or disabled/);
  const moved = [user('alice', { groups: [] })];
  assert.match(detail('alice', wish, { users: moved }), /without groups/);
  const again = [user('alice', { id: 'another-alice' })];
  assert.match(detail('alice', wish, { users: again }), /removed or disabled/);
});

test('the user reads the same line whatever was wrong', () => {
  const wish = { target: 'db1', account: 'root' };
  const wrong = [
    { targets: [] },
    { rules: [] },
    { targets: [target('db1', ['x'])] },
    { users: [] },
  ];
  const texts = new Set(
    wrong.map((change) => {
      const decision = ask('alice', wish, change);
      return decision.kind === 'refused' ? decision.text : 'ALLOWED';
    }),
  );
  assert.deepEqual(
    [...texts],
    ['no access to "root@db1": not known here, or no rule allows it; ask your administrator'],
  );
});

test('texts are one harmless line whatever the names hold', () => {
  const decision = ask('alice', { target: 'x\n\x1b[2J', account: 'y\u202e' });
  assert.ok(decision.kind === 'refused');
  assert.doesNotMatch(decision.text + decision.detail, /[\p{Cc}\u202e]/u);
});

test('a kind of channel passes only where a rule names it', () => {
  const decision = ask('alice', { target: 'db1', account: 'root' });
  assert.ok(decision.kind === 'allowed');
  assert.ok(allowsChannel(decision.destination, 'shell'));
  assert.ok(!allowsChannel(decision.destination, 'exec'));
  assert.ok(!allowsChannel(decision.destination, 'subsystem:netconf'));
  assert.ok(!allowsChannel(decision.destination, undefined));
  assert.ok(!allowsChannel(undefined, 'shell'));
});
