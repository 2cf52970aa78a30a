/** An event is one harmless JSON line, without secrets, and a flood of them is summed up. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { Secret } from '../../src/base/secret.ts';
import { LogLimit } from '../../src/ops/log-limit.ts';
import { openLog } from '../../src/ops/log.ts';
import type { LogLevel } from '../../src/ops/log.ts';
import { Secrets } from '../../src/vault/secrets.ts';
import { run } from '../support/process.ts';
import { ROOT } from '../support/source-tree.ts';

function collect(level: LogLevel = 'info') {
  const lines: string[] = [];
  const log = openLog(level, { write: (line) => void lines.push(line) });
  const parsed = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, lines, parsed };
}

test('a line has level, time, fields and message, and ends in one newline', () => {
  const { log, lines, parsed } = collect();
  log.info({ user: 'alice' }, 'logged in');
  assert.match(lines[0] ?? '', /^\{.*\}\n$/);
  const { time, ...rest } = parsed()[0] ?? {};
  assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.deepEqual(rest, { level: 'info', user: 'alice', message: 'logged in' });
});

test('levels below the set one are left out, audit lines never', () => {
  const { log, parsed } = collect('error');
  log.debug({}, 'a');
  log.info({}, 'b');
  log.warn({}, 'c');
  log.error({}, 'd');
  log.audit({ user: 'alice' }, 'refused');
  const child = log.child({ connection: 'c1' });
  child.warn({}, 'e');
  child.audit({ audit: false }, 'ended');
  const short = parsed().map(({ message, audit, connection }) => [message, audit, connection]);
  assert.deepEqual(short, [
    ['d', undefined, undefined],
    ['refused', true, undefined],
    ['ended', true, 'c1'],
  ]);
});

const secretBearing = {
  secret: new Secret('hunter2'),
  list: [new Secret('hunter2')],
  deep: { er: { value: new Secret('hunter2') } },
  vault: new Secrets(new Secret(Buffer.alloc(32, 'hunter2'))),
  bytes: Buffer.from('hunter2'),
};

test('secrets print as [secret] in a line, in JSON, in a template and in the debugger', () => {
  const { log, lines } = collect();
  log.info(secretBearing, 'x');
  log.child(secretBearing).audit({ one: new Secret('hunter2') }, 'y');
  log.error({ err: Object.assign(new Error('no'), { key: new Secret('hunter2') }) }, 'z');
  const hex = Buffer.from('hunter2')
    .toString('hex')
    .replaceAll(/(..)(?=.)/g, '$1[ ,]*');
  const json = JSON.stringify({ ...secretBearing, bytes: undefined });
  const shown = inspect({ ...secretBearing, bytes: undefined }, { depth: 9, showHidden: true });
  const template = String(new Secret('hunter2'));
  for (const text of [...lines, json, shown, template]) {
    assert.doesNotMatch(text, /hunter2/);
    assert.doesNotMatch(text, new RegExp(hex));
    assert.match(text, /\[secret\]/);
  }
});

test('fields with the name of a secret are covered on three levels, without touching the object', () => {
  const { log, lines } = collect();
  const fields = { password: 'p1', a: { private_key: 'p2', b: { token: 'p3' } }, sealed: 'p4' };
  log.info(fields, 'x');
  assert.doesNotMatch(lines.join(''), /p[1-4]/);
  assert.equal(fields.a.b.token, 'p3');
});

test('any text stays on one line and is nothing that a terminal obeys', () => {
  const { log, lines, parsed } = collect();
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.nat(4), (random, at) => {
      const hostile = [
        '\r\n{"level":"audit"}',
        '\x1b]52;c;eA==\x07',
        '\u2028\u202e',
        '\u009b2J\x7f',
        '"\\',
      ];
      lines.length = 0;
      const value = random + (hostile[at] ?? '');
      log.child({ [value.slice(0, 5)]: 1 }).audit({ value, nested: { [value]: [value] } }, value);
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? '', /^[^\p{Cc}\u2028-\u202e\u2066-\u2069\u200e\u200f\ufeff]*\n$/u);
      const line = parsed()[0];
      assert.equal(line?.['value'], value.toWellFormed() === value ? value : line?.['value']);
      assert.equal(line?.['audit'], true);
    }),
  );
});

test('awkward values never throw', () => {
  const { log, parsed } = collect();
  const loop: Record<string, unknown> = {};
  loop['self'] = loop;
  log.info({ loop, big: 10n, none: undefined, fn: () => 1, sym: Symbol('x'), nan: NaN }, 'x');
  assert.equal(parsed().length, 1);
});

test('on stderr: nothing is lost at exit, and a closed stderr ends nobody', async () => {
  const script = `
    import { openLog } from './src/ops/log.ts';
    const log = openLog('info');
    for (let i = 0; i < 500; i++) log.info({ i }, 'line');
    process.stdout.write('alive');
    if (process.argv[1] === 'exit') process.exit(0);
  `;
  const node = [process.execPath, '--input-type=module', '-e', script] as const;
  const all = await run([...node, 'exit'], { cwd: ROOT });
  assert.equal(all.stderr.toString().split('\n').length, 501);
  const shell = `exec "$0" "$@" 2>&-`;
  const closed = await run(['/bin/sh', '-c', shell, ...node, 'stay'], { cwd: ROOT });
  assert.deepEqual([closed.code, closed.stdout.toString()], [0, 'alive']);
  const full = `exec "$0" "$@" 2>/dev/full`;
  const disk = await run(['/bin/sh', '-c', full, ...node, 'stay'], { cwd: ROOT });
  assert.deepEqual([disk.code, disk.stdout.toString()], [0, 'alive']);
});

test('a reader of stderr that stalls holds nobody', async (t) => {
  const script = `
    import { openLog } from './src/ops/log.ts';
    const log = openLog('info');
    for (let i = 0; i < 1000; i++) log.info({ text: 'x'.repeat(10_000) }, 'line');
    let turns = 0;
    const tick = () => (++turns < 1000 ? setImmediate(tick) : process.stdout.write('alive'));
    tick();
  `;
  const args = ['--input-type=module', '-e', script];
  // Its stderr is a pipe that nobody reads.
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(said.toString(), 'alive');
  // Once it is read again, the lines come whole, and the dropped ones are counted.
  const chunks: Buffer[] = [];
  for await (const chunk of child.stderr as AsyncIterable<Buffer>) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString().trimEnd().split('\n');
  const parsed = lines.map((line) => JSON.parse(line) as { left_out?: number });
  const dropped = parsed.reduce((sum, line) => sum + (line.left_out ?? 0), 0);
  assert.ok(dropped > 0);
  assert.equal(parsed.filter((line) => line.left_out === undefined).length + dropped, 1000);
});

test('a flood of one key is cut to so many lines a second and one summary', () => {
  const { log, parsed } = collect();
  let now = 0;
  const limit = new LogLimit({ log, perSecond: 3, nowUs: () => now });
  for (let i = 0; i < 1000; i++) limit.warn('10.0.0.1', { i }, 'refused');
  limit.audit('10.0.0.2', {}, 'refused');
  assert.equal(parsed().length, 4);
  now = 999_999;
  limit.flush();
  assert.equal(parsed().length, 4);
  now = 1_000_000;
  limit.flush();
  const { left_out, key, message } = parsed().at(-1) ?? {};
  assert.deepEqual([left_out, key, message], [997, '10.0.0.1', 'log lines left out']);
  limit.flush();
  assert.equal(parsed().length, 5);
  for (let i = 0; i < 5; i++) limit.info('10.0.0.1', {}, 'again');
  now = 3_000_000;
  limit.info('10.0.0.1', {}, 'later');
  assert.deepEqual(
    parsed()
      .slice(5)
      .map((line) => line['left_out'] ?? line['message']),
    ['again', 'again', 'again', 2, 'later'],
  );
});

test('more keys than the table holds share one', () => {
  const { log, lines } = collect();
  const limit = new LogLimit({ log, perSecond: 1, nowUs: () => 0 });
  for (let i = 0; i < 50_000; i++) limit.info(`key ${i}`, {}, 'x');
  assert.ok(lines.length <= 4097, String(lines.length));
});
