/**
 * How sessions end that nobody at either side has ended: by an administrator, by the end of the gate, and what the
 * commands say about sessions that are not there. The user is always told why, and the trail always has an end.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { SALLYPORT } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { run, start } from '../support/process.ts';
import type { Running } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { startRawTarget } from '../support/raw-target.ts';
import { startSite } from '../support/site.ts';
import { ssh, startSsh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { eventsOf, recordsIn, storageOf, verdictsOn } from '../support/trail-files.ts';

type Row = Record<string, unknown>;

async function rowOf(gate: Gate, id: string): Promise<Row> {
  const row = (await gate.connections()).find((one) => one['id'] === id);
  assert.ok(row, `no row of ${id}`);
  return row;
}

/** The only connection that is open. */
async function openId(gate: Gate): Promise<string> {
  return eventually('an open connection', async () => {
    const open = (await gate.connections()).filter(({ status }) => status === 'CONNECTED');
    return open.length === 1 ? String(open[0]?.['id']) : undefined;
  });
}

async function assertSealed(gate: Gate, id: string, reason: RegExp): Promise<void> {
  const [own, ...channels] = await verdictsOn(gate.dir, id);
  for (const { path, state } of [own, ...channels].filter((one) => one !== undefined)) {
    assert.equal(state, 'complete', path);
  }
  assert.match(own?.reason ?? '', reason);
}

/** One line on standard error, and nothing else. */
function assertOneLine(outcome: { stderr: Buffer; stdout: Buffer }, pattern: RegExp): void {
  assert.match(outcome.stderr.toString(), pattern);
  assert.equal(outcome.stderr.toString().trim().split('\n').length, 1, outcome.stderr.toString());
  assert.equal(outcome.stdout.toString(), '');
}

/** Another process holds the write lock of the database, as one whose disk is full or hangs would. */
async function lockDatabase(scope: Scope, gate: Gate): Promise<void> {
  const script = `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(process.argv[1]);
    db.exec('PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE');
    console.log('locked');
    process.stdin.resume();`;
  const path = join(gate.dir, 'data/sallyport.db');
  const other = start(scope, [process.execPath, '-e', script, path]);
  await other.line(/^locked$/);
}

suite('terminate', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('an administrator ends a session; the user, the row and the trail say why', async (t) => {
    const { gate, to } = await startSite(t);
    const session: Running = startSsh(t, to, 'echo ready; cat');
    await session.line(/ready/);
    const bystander: Running = startSsh(t, to, 'echo ready; cat');
    await bystander.line(/ready/);
    const rows = await gate.connections();
    const id = String(rows[1]?.['id']);
    const said = await gate.text(['terminate', id, '--reason', 'on leave since noon']);
    assert.match(said, new RegExp(id));
    const { stderr, code } = await session.exited;
    assert.equal(code, 255);
    assert.match(stderr.toString(), /session terminated by [^:]+: on leave since noon/);
    const row = await rowOf(gate, id);
    assert.equal(row['status'], 'TERMINATED');
    assert.match(String(row['reason']), /^session terminated by .+: on leave since noon$/);
    assert.match(String((row['channels'] as Row[])[0]?.['result']), /\S/);
    await assertSealed(gate, id, /on leave since noon/);
    assert.match(await gate.text(['trail', 'show', id]), /on leave since noon/);

    // By its short form, too; and nobody else was touched.
    bystander.stdin?.write('still here\n');
    await bystander.line(/still here/);
    await gate.text(['terminate', String(rows[0]?.['short_id'])]);
    assert.equal((await bystander.exited).code, 255);

    const again = await gate.cli(['terminate', id]);
    assert.equal(again.code, 1);
    assertOneLine(again, /has ended already/);
    const unknown = await gate.cli(['terminate', '01a20654-2d33-7117-a2b0-00f82082cc7b']);
    assert.equal(unknown.code, 1);
    assertOneLine(unknown, /no recording of a connection/);
    const nonsense = await gate.cli(['terminate', 'nonsense']);
    assert.equal(nonsense.code, 1);
    assertOneLine(nonsense, /nonsense/);
    await gate.stop();
    const idle = await gate.cli(['terminate', id]);
    assert.equal(idle.code, 1);
    assertOneLine(idle, /no gate runs/);
  });

  test('a session whose target is still being reached can be ended', async (t) => {
    const silent = await startRawTarget(t);
    silent.behaviour = { onSocket: () => undefined };
    const { gate, as, target } = await startSite(t, {
      inventory: (usual, { user }) => ({
        ...usual,
        targets: [
          {
            name: 'db1',
            address: '127.0.0.1',
            port: silent.port,
            host_keys: [silent.hostKey.line],
            accounts: [{ name: user, password: 'x' }],
          },
        ],
      }),
    });
    const session = startSsh(t, as(`alice@${target.user}@db1`), 'true');
    const id = await openId(gate);
    await gate.text(['terminate', id, '--reason', 'enough']);
    const { code, stderr } = await session.exited;
    assert.equal(code, 255);
    assert.match(stderr.toString(), /session terminated by .*: enough/);
    assert.equal((await rowOf(gate, id))['status'], 'TERMINATED');
    await assertSealed(gate, id, /enough/);
  });

  test('SIGTERM ends sessions with a message and leaves complete trails', async (t) => {
    const { gate, to } = await startSite(t);
    const session = startSsh(t, to, 'echo ready; cat');
    await session.line(/ready/);
    const id = await openId(gate);
    const outcome = await gate.stop();
    assert.equal(outcome?.code, 0, outcome?.stderr.toString());
    const { stderr, code } = await session.exited;
    assert.equal(code, 255);
    assert.match(stderr.toString(), /the gate is shutting down/);
    await assertSealed(gate, id, /shutting down/);
    const row = await rowOf(gate, id);
    assert.equal(row['status'], 'DISCONNECTED');
    assert.match(String(row['reason']), /shutting down/);
    const verdict = await gate.cli(['trail', 'verify']);
    assert.equal(verdict.code, 0, verdict.stdout.toString());
  });

  test('of two gates on one folder one says why it cannot run, and the other runs on', async (t) => {
    const { gate, to } = await startSite(t);
    const loser = await run([SALLYPORT, 'serve', '--dir', gate.dir]);
    assert.equal(loser.code, 1);
    assertOneLine(loser, new RegExp(`${gate.dir}.*|.*in use.*|.*runs.*`));
    assert.match(loser.stderr.toString(), /already|in use|runs|another/i);
    assert.equal((await ssh(to, 'echo unharmed')).stdout.toString(), 'unharmed\n');
  });

  test('ten channels of one connection have ten trails', async (t) => {
    const { gate, to } = await startSite(t);
    const control = join(tempDir(t), 'c');
    const settings = [`ControlPath=${control}`, 'ControlPersist=no'];
    const master = startSsh(t, to, 'echo master; cat', {
      settings: [...settings, 'ControlMaster=yes'],
    });
    await master.line(/master/);
    const shared = { settings: [...settings, 'ControlMaster=no'] };
    const others = await Promise.all(
      Array.from({ length: 9 }, (_, at) => ssh(to, `echo channel ${at}; exit ${at}`, shared)),
    );
    for (const [at, { stdout, code }] of others.entries()) {
      assert.equal(stdout.toString(), `channel ${at}\n`);
      assert.equal(code, at);
    }
    master.stdin?.end();
    await master.exited;
    const row = await eventually('the ended row', async () => {
      const rows = await gate.connections();
      assert.equal(rows.length, 1, 'more than one connection');
      return rows[0]?.['status'] === 'CONNECTED' ? undefined : rows[0];
    });
    const id = String(row['id']);
    const channels = row['channels'] as Row[];
    assert.equal(channels.length, 10);
    const storage = storageOf(gate.dir);
    assert.equal((await storage.channels(id)).length, 10);
    await assertSealed(gate, id, /./);
    // Each has its own command and nothing of the others.
    for (const channel of channels.slice(1)) {
      const ordinal = Number(channel['id']);
      const events = eventsOf(
        await gate.text(['trail', 'export', id, String(ordinal), '--format', 'jsonl']),
      );
      const number = /channel (\d)/.exec(String(channel['command']))?.[1];
      const output = events.filter(({ type }) => type === 'stdout').map(({ data }) => data);
      assert.equal(Buffer.from(output.join(''), 'base64').toString(), `channel ${number ?? ''}\n`);
      const records = await recordsIn(storage.channelPath(id, ordinal));
      assert.ok(records.length > 3);
    }
  });

  test('a database that takes nothing: a session can be ended, and so can the gate', async (t) => {
    const { gate, to } = await startSite(t);
    await lockDatabase(t, gate);
    const session: Running = startSsh(t, to, 'echo ready; cat');
    await session.line(/ready/);
    const other: Running = startSsh(t, to, 'echo ready; cat');
    await other.line(/ready/);
    assert.deepEqual(await gate.connections(), [], 'no row can be there');
    await gate.text(['terminate', 'newest', '--reason', 'out of hours']);
    assert.match((await other.exited).stderr.toString(), /out of hours/);
    process.kill(gate.pid, 'SIGTERM');
    assert.match((await session.exited).stderr.toString(), /the gate is shutting down/);
    assert.equal((await gate.exited).code, 0);
  });
});
