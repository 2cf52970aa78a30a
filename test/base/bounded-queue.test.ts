/** A BoundedQueue runs so many at a time, keeps so many waiting, in order, and refuses the rest at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BoundedQueue, Mutex } from '../../src/base/async.ts';

/** Tasks that end when told to. */
function gates(count: number): PromiseWithResolvers<undefined>[] {
  return Array.from({ length: count }, () => Promise.withResolvers<undefined>());
}

test('no more than its width run at once, the next starts when one ends, in order', async () => {
  const queue = new BoundedQueue('tasks', 2, 10);
  const ends = gates(5);
  const started: number[] = [];
  const runs = ends.map(({ promise }, index) =>
    queue.run(() => {
      started.push(index);
      return promise.then(() => index);
    }),
  );
  assert.deepEqual(started, [0, 1]);
  assert.equal(queue.waiting, 3);
  ends[1]?.resolve(undefined);
  await runs[1];
  assert.deepEqual(started, [0, 1, 2]);
  for (const end of ends) end.resolve(undefined);
  assert.deepEqual(await Promise.all(runs), [0, 1, 2, 3, 4]);
  assert.deepEqual(started, [0, 1, 2, 3, 4]);
  assert.equal(queue.waiting, 0);
});

test('one more than its depth is refused at once with "busy" and its task never runs', async () => {
  const queue = new BoundedQueue('logins', 1, 1);
  const [first, second] = gates(2);
  const running = queue.run(() => first?.promise ?? Promise.reject(new Error('no gate')));
  const waiting = queue.run(() => second?.promise ?? Promise.reject(new Error('no gate')));
  await assert.rejects(
    queue.run(() => Promise.reject(new Error('this task must not run'))),
    { code: 'busy', message: /too many logins/ },
  );
  first?.resolve(undefined);
  second?.resolve(undefined);
  await Promise.all([running, waiting]);
});

test('a task that fails gives its place back', async () => {
  const queue = new BoundedQueue('tasks', 1, 5);
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      queue.run(() => Promise.reject(new Error('no'))),
      { message: 'no' },
    );
  }
  await assert.rejects(
    queue.run(() => {
      throw new Error('at once');
    }),
    { message: 'at once' },
  );
  assert.equal(await queue.run(() => Promise.resolve('yes')), 'yes');
});

test('nobody steps in between when a place is handed over', async () => {
  const queue = new BoundedQueue('tasks', 1, 5);
  let inside = 0;
  let most = 0;
  const task = async (): Promise<void> => {
    most = Math.max(most, ++inside);
    await Promise.resolve();
    inside--;
  };
  const first = queue.run(task);
  const second = queue.run(task);
  // A newcomer that asks in the very turn in which the first one ends.
  const late = first.then(() => queue.run(task));
  await Promise.all([first, second, late]);
  assert.equal(most, 1);
});

test('a Mutex lets one in at a time, in the order of asking, however many wait', async () => {
  const mutex = new Mutex('writers');
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 500 }, (_, index) =>
      mutex.run(async () => {
        await Promise.resolve();
        order.push(index);
      }),
    ),
  );
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
  assert.equal(order.length, 500);
});
