/**
 * Real sessions through a real gate, told by the commands: `connections`, `trail show`, `trail export`, `trail verify`,
 * `terminate`, while the gate runs and after it.
 */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import { shortId } from '../../src/base/ids.ts';
import { inventoryOf, SALLYPORT, startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { startOpenSsh } from '../support/openssh.ts';
import { run } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { ssh, sshInPty, startSsh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { sallyport, succeed } from './sallyport.ts';

const scope = new ManualScope();
let gate: Gate;
let to: Endpoint;

before(async () => {
  const target = await startOpenSsh(scope);
  const key = await makeKey(scope);
  const inventory = inventoryOf({ name: 'alice', key }, [{ name: 'db1', target }]);
  gate = await startGate(scope, { inventory });
  to = gate.endpoint(`alice@${target.user}@db1`, { key: key.path });
});
after(() => scope.end());

type Step = (t: TestContext) => Promise<void>;
const steps: (readonly [string, Step])[] = [];

/** One step of the story below: they build on each other, so they keep their order. */
function step(name: string, run: Step): void {
  steps.push([name, run]);
}

type Row = Record<string, unknown> & { readonly channels: readonly Record<string, unknown>[] };

async function newest(): Promise<Row> {
  const [row] = await gate.connections();
  assert.ok(row);
  return row as Row;
}

/** The newest connection once its end is in its row. */
async function ended(): Promise<Row> {
  for (let tries = 0; tries < 100; tries++) {
    const row = await newest();
    if (row['status'] !== 'CONNECTED') return row;
  }
  return assert.fail('the connection does not end');
}

/** What the ids of two connections have in common at their beginning, at least eight characters. */
async function beginningOfTwo(): Promise<string> {
  for (let tries = 0; tries < 10; tries++) {
    await ssh(to, 'true');
    const [a = '', b = ''] = (await gate.connections()).map((row) => String(row['id']));
    let length = 0;
    while (length < a.length && a[length] === b[length]) length++;
    if (length >= 8) return a.slice(0, length).replace(/-$/, '');
  }
  return assert.fail('no two connections within a minute');
}

const cli = (...args: readonly string[]) => {
  const words = args[0] === 'trail' ? 2 : 1;
  return [...args.slice(0, words), '--dir', gate.dir, ...args.slice(words)];
};

step('an exec is listed, shown and exported with its exact bytes', async () => {
  const command = "printf 'out\\033[31m\\377'; printf err >&2; cat; exit 3";
  const { code } = await ssh(to, command, { input: 'typed\n' });
  assert.equal(code, 3);
  const row = await ended();
  const id = String(row['id']);
  assert.equal(row['user'], 'alice');
  assert.equal(row['target'], 'db1');
  assert.equal(row['status'], 'DISCONNECTED');
  assert.equal(row.channels.length, 1);
  assert.equal(row.channels[0]?.['id'], 0);
  assert.equal(row.channels[0]['kind'], 'exec');
  assert.equal(row.channels[0]['result'], 'exit 3');

  const shown = await succeed(cli('trail', 'show', id));
  for (const text of [
    /user +alice, as alice@/,
    /target +\S+@db1 /,
    /rule +all/,
    /recording +complete/,
  ]) {
    assert.match(shown, text);
  }
  assert.match(shown, /^0 +exec +6 +15 +3 +complete +exit 3 +printf/m);
  const channel = await succeed(cli('trail', 'show', id, '0'));
  // How much of it comes in one piece is the target's timing.
  const told = [...channel.matchAll(/stdout {2}(.*)/g)].map(([, text]) => text).join('');
  assert.equal(told, 'out\\x1b[31m\\xfftyped');
  assert.match(channel, /stderr {2}err/);
  assert.match(channel, /target: exit 3/);
  assert.ok(!`${shown}${channel}`.includes('\x1b'), 'an escape sequence reaches the terminal');

  const raw = async (format: string): Promise<Buffer> => {
    const result = await run([SALLYPORT, ...cli('trail', 'export', id, '0', '--format', format)]);
    assert.equal(result.code, 0, result.stderr.toString());
    return result.stdout;
  };
  assert.deepEqual(await raw('raw-stdin'), Buffer.from('typed\n'));
  assert.deepEqual(await raw('raw-stdout'), Buffer.from('out\x1b[31m\xfftyped\n', 'latin1'));
  assert.deepEqual(await raw('raw-stderr'), Buffer.from('err'));
  const lines = (await raw('jsonl')).toString().trim().split('\n');
  const exec = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const request = exec.find(({ type }) => type === 'forward-request');
  assert.equal((request?.['fields'] as { type: string }).type, 'exec');
  assert.equal(
    await succeed(cli('trail', 'verify', id)).then((text) => /^good:/m.test(text)),
    true,
  );
});

step('a command that moves files is named, with its direction and paths', async () => {
  await ssh(to, "git-upload-pack '/no/where at \\all'");
  const row = await ended();
  const tool = {
    name: 'git-upload-pack',
    direction: 'download',
    paths: ['/no/where at \\\\all'],
    expands: false,
  };
  assert.deepEqual(row.channels[0]?.['tool'], tool);
  const shown = await succeed(cli('trail', 'show', String(row['id'])));
  assert.match(shown, /command git-upload-pack .* \(git-upload-pack download: \/no\/where at /);
  const jsonl = await succeed(cli('trail', 'export', String(row['id']), '0', '--format', 'jsonl'));
  assert.ok(jsonl.includes(`"tool":${JSON.stringify(tool)}`));
  await ssh(to, 'true');
  assert.equal((await ended()).channels[0]?.['tool'], null);
});

step('a shell reads as what was typed and shown, with its resizes', async () => {
  await sshInPty(to, undefined, {
    steps: [
      { expect: '$' },
      { send: 'echo ab""cd\r' },
      { expect: 'abcd' },
      { resize: [40, 120] },
      { send: 'exit\r' },
    ],
  });
  const id = String((await ended())['id']);
  const channel = await succeed(cli('trail', 'show', id, '0'));
  assert.match(channel, /user: terminal \S+, 80x24/);
  assert.match(channel, /stdin {3}echo ab""cd\n/);
  assert.match(channel, /stdout {2}abcd\n/);
  assert.match(channel, /user: terminal is now 120x40/);
  const cast = await succeed(cli('trail', 'export', id, '0', '--format', 'cast'));
  assert.match(cast, /^\{"version":2,"width":80,"height":24/);
  assert.match(cast, /"r","120x40"/);
});

step('a connection is named by id, by short id and by its beginning', async () => {
  const id = String((await newest())['id']);
  const whole = await succeed(cli('trail', 'show', id));
  for (const name of [shortId(id), id.toUpperCase(), id.slice(0, 30), id.replaceAll('-', '')]) {
    assert.equal(await succeed(cli('trail', 'show', name)), whole, name);
  }
  // Connections of one moment begin alike.
  const alike = await beginningOfTwo();
  const { code, err } = await sallyport(cli('trail', 'show', alike));
  assert.equal(code, 1);
  assert.match(err, /is the beginning of .*: say more of it/);
  for (const name of ['ffffffff', id.slice(0, 7), '../../etc', 'x'.repeat(22)]) {
    assert.equal((await sallyport(cli('trail', 'show', name))).code, 1, name);
  }
  const missing = await sallyport(cli('trail', 'show', id, '7'));
  assert.match(missing.err, /has no channel "7"; it has 0/);
});

step('terminate ends a session, says why, and settles when that is recorded', async (t) => {
  const session = startSsh(t, to, 'echo up; exec sleep 600', { stdin: 'ignore' });
  await session.line(/^up$/);
  const live = await newest();
  const id = String(live['id']);
  assert.equal(live['status'], 'CONNECTED');
  assert.match(await succeed(cli('trail', 'show', id)), /ended +not yet\nrecording +open/);
  const open = await sallyport(cli('trail', 'verify', id));
  assert.equal(open.code, 1);
  assert.match(open.out, /^open +connection/m);
  assert.match(open.err, /2 open/);
  assert.match(await succeed(cli('trail', 'verify', '--allow-open', id)), /^good: 2 open/m);

  await succeed(cli('terminate', id, '--reason', 'lunch is over'));
  const row = await newest();
  assert.equal(row['status'], 'TERMINATED');
  assert.match(String(row['reason']), /lunch is over/);
  assert.notEqual((await session.exited).code, 0);
  assert.match(await succeed(cli('trail', 'verify', id)), /^good: 2 complete/m);
  const again = await sallyport(cli('terminate', id));
  assert.equal(again.code, 1);
  assert.match(again.err, /has ended already/);
});

step('a reader that stops early ends a command quietly', async () => {
  await ssh(to, 'yes | head -c 3000000');
  const id = String((await ended())['id']);
  const words = cli('trail', 'export', id, '0', '--format', 'raw-stdout');
  const shell = '"$@" 2>&1 >/dev/stdout | head -c 10';
  const { stdout, stderr, code } = await run(['/bin/sh', '-c', shell, 'sh', SALLYPORT, ...words]);
  assert.equal(stdout.toString(), 'y\ny\ny\ny\ny\n');
  assert.equal(stderr.toString(), '');
  assert.equal(code, 0);
});

step('a second gate on the folder is refused, and the first goes on', async () => {
  const { code, err } = await sallyport(['serve', '--dir', gate.dir]);
  assert.equal(code, 1);
  assert.match(err, /is in use by a running gate \(pid \d+\): stop it first/);
  assert.equal((await ssh(to, 'true')).code, 0);
});

step('after the gate has stopped everything can still be told, and nothing runs', async () => {
  const rows = await succeed(cli('connections', '--json'));
  const stopped = await gate.stop();
  assert.equal(stopped?.code, 0, gate.log());
  assert.deepEqual(readdirSync(join(gate.dir, 'run')), []);
  assert.equal(await succeed(cli('connections', '--json')), rows);
  assert.match(await succeed(cli('connections')), /^ID +STARTED +USER +FROM +TO +STATUS/);
  assert.match(await succeed(cli('trail', 'verify')), /^good: \d+ complete\n$/m);
  const { code, err } = await sallyport(cli('terminate', String((await newest())['id'])));
  assert.equal(code, 1);
  assert.match(err, /no gate runs in/);
});

step('trails alone are enough: no database, no configuration, public keys', async () => {
  const id = String((await newest())['id']);
  rmSync(join(gate.dir, 'data'), { recursive: true });
  rmSync(join(gate.dir, 'sallyport.yaml'));
  rmSync(join(gate.dir, 'keys/signing.key'));
  assert.match(await succeed(cli('trail', 'show', id)), /user +alice/);
  assert.match(await succeed(cli('trail', 'verify')), /^good:/m);
  const day = readdirSync(join(gate.dir, 'recordings')).find((name) => name !== 'ledgers') ?? '';
  const folder = join(gate.dir, 'recordings', day, id);
  const files = readdirSync(folder).map((name) => join(folder, name));
  const key = join(gate.dir, 'keys/signing.pub');
  await succeed(['trail', 'verify', '--key', key, ...files]);
  appendFileSync(files[0] ?? '', 'x');
  const { code, out, err } = await sallyport(['trail', 'verify', '--key', key, ...files]);
  assert.equal(code, 1);
  assert.match(out, /^bad /m);
  assert.match(err, /not every trail is complete: 1 bad/);
});

test('sessions, as the commands tell them', async (t) => {
  for (const [name, play] of steps) await t.test(name, play);
});
