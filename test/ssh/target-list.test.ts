/** The list as text: pages that fit, lines that mean one thing, and names that cannot act on a terminal or a shell. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Destination } from '../../src/access/policy.ts';
import { TargetList, commandsFor } from '../../src/ssh/target-list.ts';
import { account, target } from '../access/inventory-fixture.ts';

function to(accountName: string, targetName: string): Destination {
  const row = target(targetName, [accountName]);
  return {
    target: row,
    account: row.accounts[0] ?? account(accountName),
    rules: ['r'],
    ruleIds: ['id-r'],
    channels: new Set(['shell']),
    grants: [],
  };
}

const screen = { rows: 24, columns: 80 };
const three = [to('root', 'db1'), to('app', 'db1'), to('root', 'db12')];

function chosen(list: TargetList, line: string): string | undefined {
  const choice = list.choose(line, screen);
  if (choice.kind === 'show') return undefined;
  return `${choice.destination.account.name}@${choice.destination.target.name}`;
}

function shown(list: TargetList, line: string): string {
  const choice = list.choose(line, screen);
  return choice.kind === 'show' ? choice.text : 'CHOSEN';
}

test('a number, a whole name and the one part that fits choose', () => {
  const list = new TargetList(three);
  assert.equal(chosen(list, '2'), 'app@db1');
  assert.equal(chosen(list, ' ROOT@DB1 '), 'root@db1');
  assert.equal(chosen(list, 'app'), 'app@db1');
  assert.equal(chosen(list, 'db12'), 'root@db12');
  assert.equal(chosen(list, 'db'), undefined);
  assert.equal(chosen(list, '0'), undefined);
  assert.equal(chosen(list, '4'), undefined);
  assert.equal(chosen(list, '-1'), undefined);
  assert.equal(chosen(list, ''), undefined);
});

test('a part that several have shows those, by the numbers that they keep', () => {
  const list = new TargetList(three);
  const text = shown(list, 'root');
  assert.match(text, /^ +1 +root@db1 /m);
  assert.match(text, /^ +3 +root@db12 /m);
  assert.doesNotMatch(text, /app@db1/);
  const nothing = shown(list, '\u001b]0;x\u0007');
  assert.ok(!nothing.includes('\u001b'));
  assert.ok(nothing.includes('app@db1'), 'all are shown again');
});

test('no page is longer or wider than the terminal, whatever it says of itself', () => {
  const many = Array.from({ length: 300 }, (_, i) => to('root', `host-${i}-${'x'.repeat(50)}`));
  for (const size of [
    screen,
    { rows: 0, columns: 0 },
    { rows: 2 ** 32 - 1, columns: 2 ** 32 - 1 },
  ]) {
    const list = new TargetList(many);
    const seen = new Set<string>();
    for (let pages = 0; seen.size < many.length; pages++) {
      assert.ok(pages < 300, 'some are never shown');
      const lines = list.page(size).split('\r\n').slice(0, -1);
      assert.ok(lines.length <= Math.max(5, size.rows - 3));
      assert.ok(lines.every((line) => line.length < Math.max(20, size.columns)));
      for (const line of lines) seen.add(line);
    }
    assert.match(list.page(size), /^ +1 /, 'after the last page comes the first');
  }
});

test('the commands are what a shell takes', () => {
  const gate = { host: '10.0.0.1', port: 2222 };
  const text = commandsFor('alice', gate, [to('root', 'db1'), to("o'brien;reboot", 'db$(x)')]);
  assert.equal(
    text,
    "  ssh -p 2222 alice@root@db1@10.0.0.1\n  ssh -p 2222 'alice@o'\\''brien;reboot@db$(x)@10.0.0.1'\n",
  );
  assert.equal(
    commandsFor('alice', { host: 'gate', port: 22 }, [to('root', 'db1')]),
    '  ssh alice@root@db1@gate\n',
  );
});
