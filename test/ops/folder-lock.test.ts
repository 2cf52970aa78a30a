/** The lock on a gate's folder: one holder at a time, whoever comes when, and none that outlives its process. */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectControl } from '../../src/ops/control-client.ts';
import { openControl } from '../../src/ops/control.ts';
import { start } from '../support/process.ts';
import type { Running } from '../support/process.ts';
import { rounds } from '../support/scale.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

const CONTENDER = join(import.meta.dirname, 'lock-contender.ts');
const CONTENDERS = 4;

async function contender(scope: Scope, dir: string): Promise<Running> {
  const running = start(scope, [process.execPath, CONTENDER, dir]);
  await running.line(/^ready$/);
  return running;
}

async function outcome(running: Running): Promise<string> {
  running.stdin?.write('go\n');
  return (await running.line(/^(won|[a-z]+-[a-z-]+|busy|internal)$/))[0];
}

test('of processes that start at once, on a left-over too, exactly one gets the folder', async (t) => {
  const dir = tempDir(t);
  // The first round finds nothing, each later one the socket of a process that was killed.
  for (let round = 0; round < rounds(60, 3); round++) {
    const all = await Promise.all(Array.from({ length: CONTENDERS }, () => contender(t, dir)));
    const outcomes = await Promise.all(all.map(outcome));
    const expected = ['won', ...Array.from({ length: CONTENDERS - 1 }, () => 'dir-in-use')];
    assert.deepEqual(outcomes.toSorted().reverse(), expected, `round ${round}`);
    for (const running of all) running.kill('SIGKILL');
    await Promise.all(all.map(({ exited }) => exited));
    assert.deepEqual(readdirSync(join(dir, 'run')), ['control.sock']);
  }
});

test('who comes second is told who has the folder, and the first goes on', async (t) => {
  const dir = tempDir(t);
  const control = await openControl(dir, {});
  defer(t, () => control.close());
  await assert.rejects(openControl(dir, {}), {
    code: 'dir-in-use',
    message: `${dir} is in use by a running gate (pid ${process.pid}): stop it first`,
  });
  const client = await connectControl(dir);
  assert.ok(client);
  client.close();
});

test('a folder that was given back is free at once', async (t) => {
  const dir = tempDir(t);
  for (let round = 0; round < 20; round++) {
    const control = await openControl(dir, {});
    await control.close();
    await control.close();
  }
  assert.deepEqual(readdirSync(join(dir, 'run')), []);
});

test('a command that holds the folder for a moment is waited for', async (t) => {
  const dir = tempDir(t);
  const command = await openControl(dir, {}, { role: 'command' });
  const gate = openControl(dir, {});
  await command.close();
  const control = await gate;
  await control.close();
});

test('a command that does not give it back is named', async (t) => {
  const dir = tempDir(t);
  const command = await openControl(dir, {}, { role: 'command' });
  defer(t, () => command.close());
  await assert.rejects(openControl(dir, {}, { waitMs: 0 }), {
    message: `${dir} is in use by another sallyport command (pid ${process.pid}): stop it first`,
  });
});

test('something else in the place of the socket is refused, not removed', async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, 'run'));
  writeFileSync(join(dir, 'run/control.sock'), 'mine');
  await assert.rejects(openControl(dir, {}), { code: 'dir-invalid' });
  assert.ok(lstatSync(join(dir, 'run/control.sock')).isFile());
  assert.deepEqual(readdirSync(join(dir, 'run')), ['control.sock']);
});
