/** A commit ends the connections that it takes the ground from, and no other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groundLost } from '../../src/access/commit-effects.ts';
import type { Standing } from '../../src/access/commit-effects.ts';
import { DEFAULT_SETTINGS } from '../../src/store/rows.ts';
import type { Inventory } from '../../src/store/rows.ts';
import { inventory, rule, target, user } from './inventory-fixture.ts';

const NOW = 1_000;
const grants = { groups: ['ops'], targets: ['db1'], accounts: ['root'] };
const BEFORE = inventory({
  users: [user('alice'), user('bob')],
  targets: [target('db1', ['root', 'app']), target('db2', ['root'])],
  rules: [rule('all', grants)],
});
const of = (name: string): Standing => ({
  id: `c-${name}`,
  userId: `id-${name}`,
  user: name,
  target: 'db1',
  account: 'root',
  ground: { targetId: 'id-db1', accountId: 'id-root', ruleIds: ['id-all'] },
});
const LIVE = [of('alice'), of('bob')];

const reasons = (after: Partial<Inventory>, before = BEFORE, live = LIVE): string[] =>
  groundLost(before, { ...before, ...after }, live, NOW).map(
    ({ id, reason }) => `${id}: ${reason}`,
  );

test('a user who is disabled, removed or whose time is over loses his connections; others keep theirs', () => {
  const bob = user('bob');
  assert.deepEqual(reasons({ users: [user('alice', { disabled: true }), bob] }), [
    'c-alice: user "alice" was disabled',
  ]);
  assert.deepEqual(reasons({ users: [bob] }), ['c-alice: user "alice" was removed']);
  assert.deepEqual(reasons({ users: [user('alice', { expires: NOW }), bob] }), [
    'c-alice: user "alice" has expired',
  ]);
  assert.deepEqual(reasons({ users: [user('alice', { expires: NOW + 1 }), bob] }), []);
  // A new user of the same name is somebody else.
  const other = { ...user('alice'), id: 'id-other' };
  assert.deepEqual(reasons({ users: [other, bob] }), ['c-alice: user "alice" was removed']);
});

test('without its target, its account or its rule a connection ends', () => {
  assert.match(
    reasons({ targets: [target('db2', ['root'])] }).join(),
    /alice: target "db1" was removed,/,
  );
  const noRoot = { targets: [target('db1', ['app'])] };
  assert.match(reasons(noRoot).join(), /account "root" of target "db1" was removed/);
  const without: readonly Partial<Inventory>[] = [
    { rules: [] },
    { rules: [rule('all', { ...grants, groups: ['dev'] })] },
    { rules: [rule('all', { ...grants, targets: ['db2'] })] },
    { rules: [rule('all', { ...grants, accounts: ['app'] })] },
    { groups: BEFORE.groups.filter(({ name }) => name !== 'ops') },
    // One that came later let nobody in.
    { rules: [rule('later', grants)] },
  ];
  for (const change of without) {
    assert.deepEqual(reasons(change), [
      'c-alice: no rule that let "alice" in does so any longer',
      'c-bob: no rule that let "bob" in does so any longer',
    ]);
  }
  const left = { users: [user('alice', { groups: [] }), user('bob')] };
  assert.match(reasons(left).join(), /^c-alice: no rule[^,]*$/);
});

test('another of its rules holds a connection, and new names take nothing away', () => {
  const two = { ...BEFORE, rules: [rule('all', grants), rule('more', grants)] };
  const both = { ...of('alice') };
  const ground = { targetId: 'id-db1', accountId: 'id-root', ruleIds: ['id-all', 'id-more'] };
  const live = [{ ...both, ground }];
  assert.deepEqual(reasons({ rules: [rule('more', grants)] }, two, live), []);
  const renamed: Partial<Inventory> = {
    users: [
      { ...user('alice', { groups: ['crew'] }), name: 'alicia' },
      user('bob', { groups: ['crew'] }),
    ],
    groups: [{ id: 'id-ops', uuid: 'uuid-ops', name: 'crew' }],
    targets: BEFORE.targets.map((one) => (one.name === 'db1' ? { ...one, name: 'main' } : one)),
    rules: [{ ...rule('all', { ...grants, groups: ['crew'], targets: ['main'] }), name: 'every' }],
  };
  assert.deepEqual(reasons(renamed), []);
});

test('who has chosen no target stands on his user alone', () => {
  const live = [{ ...of('alice'), ground: undefined }];
  assert.deepEqual(reasons({ rules: [], targets: [] }, BEFORE, live), []);
  const off = { users: [user('alice', { disabled: true })] };
  assert.deepEqual(reasons(off, BEFORE, live), ['c-alice: user "alice" was disabled']);
});

test('the setting leaves connections alone, and what was missing before is not taken by a commit', () => {
  const settings = { ...DEFAULT_SETTINGS, endSessionsOnChange: false };
  const off = { users: [user('alice', { disabled: true }), user('bob')] };
  assert.deepEqual(reasons({ ...off, settings }), []);
  assert.deepEqual(reasons({ rules: [] }, { ...BEFORE, ...off }), [
    'c-bob: no rule that let "bob" in does so any longer',
  ]);
});
