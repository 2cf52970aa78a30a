/**
 * The control socket: requests and answers over a real one, and that no client, however it behaves, gets in the way of
 * the others.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { AppError } from '../../src/base/errors.ts';
import { connectControl } from '../../src/ops/control-client.ts';
import { MAX_LINE } from '../../src/ops/control-lines.ts';
import { openControl } from '../../src/ops/control.ts';
import type { ControlHandlers } from '../../src/ops/control.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

async function serve(scope: Scope, handlers: ControlHandlers, dir = tempDir(scope)) {
  const control = await openControl(dir, handlers);
  defer(scope, () => control.close());
  return { dir, control };
}

async function client(scope: Scope, dir: string) {
  const found = await connectControl(dir);
  assert.ok(found, 'nobody answers');
  defer(scope, () => found.close());
  return found;
}

async function rawClient(scope: Scope, dir: string): Promise<Socket> {
  const socket = connect(join(dir, 'run/control.sock'));
  socket.on('error', () => undefined);
  defer(scope, () => {
    socket.destroy();
  });
  await once(socket, 'connect');
  return socket;
}

const echo: ControlHandlers = { echo: (params) => Promise.resolve({ params }) };

test('a request is answered with its result, an error with its code and message', async (t) => {
  const { dir } = await serve(t, {
    ...echo,
    fail: () => Promise.reject(new AppError('not-found', 'no connection "x"')),
    crash: () => Promise.reject(new TypeError('a bug\nin two lines')),
  });
  const asking = await client(t, dir);
  assert.deepEqual(await asking.call('echo', { a: [1, 'ü'] }), { params: { a: [1, 'ü'] } });
  await assert.rejects(asking.call('fail', {}), {
    code: 'not-found',
    message: 'no connection "x"',
  });
  await assert.rejects(asking.call('crash', {}), {
    code: 'internal',
    message: 'a bug in two lines',
  });
  await assert.rejects(asking.call('frob', {}), { code: 'usage' });
  assert.deepEqual(await asking.who(), { pid: process.pid, role: 'gate' });
});

test('a list comes as items, more of them than fit into one line', async (t) => {
  const text = 'x'.repeat(1000);
  const rows = Array.from({ length: 10_000 }, (_, n) => ({ n, text }));
  assert.ok(JSON.stringify(rows).length > MAX_LINE);
  const { dir } = await serve(t, { rows: () => Promise.resolve(rows) });
  const got: unknown[] = [];
  for await (const row of (await client(t, dir)).items('rows', {})) got.push(row);
  assert.deepEqual(got, rows);
});

test('only the owner gets at the socket', async (t) => {
  const { dir } = await serve(t, echo);
  assert.equal(statSync(join(dir, 'run')).mode & 0o777, 0o700);
  assert.equal(statSync(join(dir, 'run/control.sock')).mode & 0o777, 0o600);
});

test('a folder whose name is too long for a socket works all the same', async (t) => {
  const dir = join(tempDir(t), 'd'.repeat(120));
  mkdirSync(dir);
  const { control } = await serve(t, echo, dir);
  assert.deepEqual(await (await client(t, dir)).call('echo', {}), { params: {} });
  await assert.rejects(openControl(dir, echo), { code: 'dir-in-use' });
  await control.close();
  assert.equal(await connectControl(dir), undefined);
});

test('where nobody holds the folder there is nobody to ask', async (t) => {
  const dir = tempDir(t);
  assert.equal(await connectControl(dir), undefined);
  assert.equal(await connectControl(join(dir, 'x'.repeat(120))).catch(codeOf), 'gate-unreachable');
});

function codeOf(error: unknown): unknown {
  return error instanceof AppError ? error.code : error;
}

for (const [name, bytes] of [
  ['is not JSON', Buffer.from('hello\n')],
  ['has another form', Buffer.from('{"method":1}\n')],
  ['is longer than the limit', Buffer.alloc(MAX_LINE + 1, 'a')],
] as const) {
  test(`a line that ${name} ends its connection, and nobody else notices`, async (t) => {
    const { dir } = await serve(t, echo);
    const other = await client(t, dir);
    const socket = await rawClient(t, dir);
    const parts: Buffer[] = [];
    socket.on('data', (part: Buffer) => parts.push(part));
    const closed = once(socket, 'close');
    socket.write(bytes);
    await closed;
    const said = Buffer.concat(parts).toString();
    if (said !== '') assert.match(said, /^\{"id":null,"error":\{"code":"protocol"/);
    assert.deepEqual(await other.call('echo', {}), { params: {} });
  });
}

test('clients that hang in the middle of a line or never read hold nobody up', async (t) => {
  const { dir } = await serve(t, { ...echo, big: () => Promise.resolve('x'.repeat(3_000_000)) });
  const half = await rawClient(t, dir);
  half.write('{"id": 1, "met');
  const deaf = await rawClient(t, dir);
  deaf.pause();
  deaf.write('{"id": 1, "method": "big"}\n'.repeat(10));
  const asking = await client(t, dir);
  assert.deepEqual(await asking.call('echo', {}), { params: {} });
});

test('an answer that is on its way when the socket closes still arrives', async (t) => {
  const started = Promise.withResolvers<undefined>();
  const finish = Promise.withResolvers<string>();
  const { dir, control } = await serve(t, {
    slow: () => {
      started.resolve(undefined);
      return finish.promise;
    },
  });
  const answer = (await client(t, dir)).call('slow', {});
  await started.promise;
  const closed = control.close();
  finish.resolve('done');
  assert.equal(await answer, 'done');
  await closed;
});

test('a gate that goes away in the middle is an error, not a wait', async (t) => {
  const started = Promise.withResolvers<undefined>();
  const never = () => {
    started.resolve(undefined);
    return new Promise(() => undefined);
  };
  const { dir, control } = await serve(t, { never });
  const call = (await client(t, dir)).call('never', {});
  const answer = assert.rejects(call, { code: 'gate-unreachable' });
  await started.promise;
  await control.close();
  await answer;
});

test('a gate that does not answer is given up at the deadline', async (t) => {
  const { dir } = await serve(t, { never: () => new Promise(() => undefined) });
  const asking = await client(t, dir);
  await assert.rejects(asking.call('never', {}, { deadlineMs: 20 }), { code: 'gate-unreachable' });
});
