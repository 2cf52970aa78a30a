/**
 * What a target and a rule allow, seen from outside: a host key learned once and held to ever after, channels that the
 * rule names and no others, and sources that fail too often.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { suite, test } from 'node:test';
import { fingerprint, parseAuthorizedKey } from '../../src/wire/publickey.ts';
import { eventually } from '../support/eventually.ts';
import { startGate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { mustNotCall } from '../support/must-call.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { withSettings } from '../support/settings.ts';
import { startSite } from '../support/site.ts';
import { ssh } from '../support/ssh-client.ts';
import { eventsOf } from '../support/trail-files.ts';

suite('policy', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('accept-new pins at first use; a changed key is refused and both are named', async (t) => {
    const target = await startOpenSsh(t);
    const key = await makeKey(t);
    const gate = await startGate(t, {
      inventory: {
        groups: [{ name: 'all' }],
        users: [{ name: 'alice', keys: [key.publicLine], groups: ['all'] }],
        targets: [
          {
            name: 'new',
            address: target.host,
            port: target.port,
            host_key_policy: 'accept-new',
            accounts: [{ name: target.user, private_key: target.privateKeyText }],
          },
        ],
        rules: [
          {
            name: 'r',
            groups: ['all'],
            targets: ['new'],
            accounts: [target.user],
            channels: ['exec'],
          },
        ],
      },
    });
    const to = gate.endpoint('alice@new', { key: key.path });
    assert.equal((await ssh(to, 'echo first')).stdout.toString(), 'first\n');
    const lines = target.hostKeyLines;
    const pinned = await eventually('the pinned key', async () => {
      const text = await gate.text(['export-inventory']);
      return lines.find((line) => text.includes(line));
    });
    const [learned] = await gate.connections();
    const events = eventsOf(
      await gate.text([
        'trail',
        'export',
        String(learned?.['id']),
        'connection',
        '--format',
        'jsonl',
      ]),
    );
    assert.ok(
      events.some(({ data }) => Buffer.from(data, 'base64').includes(pinned)),
      'the trail does not say which key was learned',
    );
    assert.equal((await ssh(to, 'echo again')).stdout.toString(), 'again\n');
    assert.equal((await gate.cli(['audit', 'verify'])).code, 0);

    await target.stop();
    const other = await startOpenSsh(t, { port: target.port });
    const { stderr, code } = await ssh(to, 'echo never');
    assert.equal(code, 255);
    const type = pinned.split(' ')[0] ?? '';
    const shown = other.hostKeyLines.find((line) => line.startsWith(type)) ?? '';
    const print = (line: string): string => fingerprint(parseAuthorizedKey(line).blob);
    const text = stderr.toString();
    assert.match(text, /the host key of new \(127\.0\.0\.1:\d+\) has changed/);
    assert.ok(text.includes(`expected ${print(pinned)}`), text);
    assert.ok(text.includes(`got ${print(shown)}`), text);
    const row = await eventually('its row', async () => {
      const [newest] = await gate.connections();
      return newest?.['status'] === 'DISCONNECTED' ? newest : undefined;
    });
    assert.match(String(row['reason']), /has changed: expected SHA256:/);
  });

  test('a rule lets its channels through and refuses the rest in order, each recorded', async (t) => {
    const { gate, to } = await startSite(t, { channels: ['exec'] });
    assert.equal((await ssh(to, 'echo yes')).stdout.toString(), 'yes\n');
    const shell = await ssh(to);
    assert.notEqual(shell.code, 0);
    const sftp = await ssh(to, 'sftp', { flags: ['-s'] });
    assert.notEqual(sftp.code, 0);
    assert.equal(sftp.stdout.length, 0);
    const scp = await ssh(to, 'scp -t /tmp');
    assert.notEqual(scp.code, 0);
    const refused = (await gate.connections()).slice(0, 3);
    for (const [at, type] of ['exec', 'subsystem', 'shell'].entries()) {
      const id = String(refused[at]?.['id']);
      const events = eventsOf(await gate.text(['trail', 'export', id, '0', '--format', 'jsonl']));
      const request = events.find(({ fields }) => fields?.['type'] === type);
      assert.equal(request?.fate, 'withheld', type);
      assert.ok(!events.some((one) => one.type === 'stdout'), type);
    }
  });

  test('an account without a rule of its own, and a target that is not there', async (t) => {
    const site = await startSite(t);
    const { gate, target, to } = site;
    await target.stop();
    const away = await ssh(to, 'true');
    assert.equal(away.code, 255);
    assert.match(away.stderr.toString(), /db1 \(127\.0\.0\.1:\d+\) cannot be reached/);
    assert.doesNotMatch(away.stderr.toString(), /\n.*\n/, 'more than one line');
    const [row] = await gate.connections();
    assert.match(String(row?.['reason']), /cannot be reached/);
  });

  test('with exempt: [] a source that keeps failing is refused, and is told nothing', async (t) => {
    const site = await startSite(t, {
      configure: withSettings({ penalties: { exempt: [], authfail_s: 10, min_s: 15 } }),
    });
    const { gate, as, target, to } = site;
    assert.equal((await ssh(to, 'echo before')).stdout.toString(), 'before\n');
    const stranger = await makeKey(t);
    for (let i = 0; i < 2; i++) {
      const { stderr } = await ssh(as(`alice@${target.user}@db1`, { key: stranger.path }), 'true');
      assert.match(stderr.toString(), /Permission denied/);
    }
    const refused = await ssh(to, 'echo after');
    assert.equal(refused.code, 255);
    assert.equal(refused.stdout.length, 0);
    assert.match(refused.stderr.toString(), /(closed|reset) by/i);
    const socket = connect({ host: '127.0.0.1', port: gate.sshPort });
    socket.on('data', mustNotCall('a word to a refused source'));
    await once(socket, 'close');
    await eventually('the line in the log', () => gate.log().includes('"event":"penalty"'));
  });

  test('keys that a client has beside the right one cost nothing; without the right one, once', async (t) => {
    const site = await startSite(t, {
      configure: withSettings({ penalties: { exempt: [], authfail_s: 100, min_s: 150 } }),
    });
    const { key, to } = site;
    const strangers = [await makeKey(t), await makeKey(t), await makeKey(t)];
    const others = strangers.flatMap(({ path }) => ['-i', path]);
    // Tried in this order.
    const without = { ...to, key: strangers[0]?.path ?? '' };
    for (let i = 0; i < 3; i++) {
      const { stdout, stderr } = await ssh(without, 'echo in', {
        flags: [...others, '-i', key.path],
      });
      assert.equal(stdout.toString(), 'in\n', stderr.toString());
    }
    assert.match((await ssh(without, 'true', { flags: others })).stderr.toString(), /Permission/);
    assert.equal((await ssh(to, 'echo in')).stdout.toString(), 'in\n', 'one failed login');
    assert.match((await ssh(without, 'true')).stderr.toString(), /Permission denied/);
    assert.equal((await ssh(to, 'echo in')).stdout.length, 0, 'two failed logins');
  });
});
