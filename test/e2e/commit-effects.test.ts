/** A commit that takes the ground from a session that runs ends it, with the reason; unless a setting says otherwise. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { makeKey } from '../support/keys.ts';
import { startSite } from '../support/site.ts';
import { ssh, startSsh } from '../support/ssh-client.ts';

suite('commits and sessions', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('a disabled user is told why his session ends; everybody else works on', async (t) => {
    const other = await makeKey(t);
    const { gate, to, as, target } = await startSite(t, {
      inventory: (usual) => ({
        ...usual,
        users: [
          ...(usual.users ?? []),
          { name: 'bob', keys: [other.publicLine], groups: ['testers'] },
        ],
      }),
    });
    const session = startSsh(t, to, 'echo ready; cat');
    await session.line(/ready/);
    const bob = as(`bob@${target.user}@db1`, { key: other.path });
    const bystander = startSsh(t, bob, 'echo ready; cat');
    await bystander.line(/ready/);
    const applied = await gate.apply('users: [{ name: alice, disabled: true }]');
    assert.equal(applied.code, 0, applied.stderr.toString());
    const { code, stderr } = await session.exited;
    assert.equal(code, 255);
    const why = /session terminated by \S+: user "alice" was disabled \(commit 2\)/;
    assert.match(stderr.toString(), why);
    const row = await eventually('the ended row', async () => {
      const rows = await gate.connections();
      return rows.find(({ user, status }) => user === 'alice' && status === 'TERMINATED');
    });
    assert.match(String(row['reason']), why);
    bystander.stdin?.write('still here\n');
    await bystander.line(/still here/);
    // Without his rule he goes as well.
    const ended = await gate.apply(
      'rules: [{ name: all, groups: [], targets: [], accounts: [], channels: [] }]',
    );
    assert.equal(ended.code, 0, ended.stderr.toString());
    assert.match((await bystander.exited).stderr.toString(), /no rule that let "bob" in/);
  });

  test('switched off, sessions go on, and the next login is refused', async (t) => {
    const { gate, to } = await startSite(t);
    const off = await gate.apply('settings: { end_sessions_on_change: false }');
    assert.match(off.stdout.toString(), /~ setting settings: end_sessions_on_change true → false/);
    const session = startSsh(t, to, 'echo ready; cat');
    await session.line(/ready/);
    const applied = await gate.apply('users: [{ name: alice, expires: 2020-01-31 }]');
    assert.match(applied.stdout.toString(), /expires none → 2020-01-31T00:00:00.000000Z/);
    assert.equal((await ssh(to, 'true')).code, 255);
    session.stdin?.write('still here\n');
    await session.line(/still here/);
  });
});
