/** withDeadline never waits longer than it was told, and keeps no timer behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withDeadline } from '../../src/base/async.ts';

const late = (): Error => new Error('too late');
const never = new Promise<never>(() => undefined);

test('a promise that settles in time gives its value or its error', async () => {
  assert.equal(await withDeadline(Promise.resolve(7), 60_000, late), 7);
  await assert.rejects(withDeadline(Promise.reject(new Error('own')), 60_000, late), {
    message: 'own',
  });
});

test('a promise that does not settle is given up with the error that was asked for', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const waiting = withDeadline(never, 5000, late);
  t.mock.timers.tick(4999);
  let settled = false;
  waiting.catch(() => (settled = true));
  await Promise.resolve();
  assert.equal(settled, false);
  t.mock.timers.tick(1);
  await assert.rejects(waiting, { message: 'too late' });
});

test('no timer is left when the promise was in time', async () => {
  const timers = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  await withDeadline(Promise.resolve(), 60_000, late);
  assert.equal(timers(), before);
});
