/** Live connections can be listed and ended, and the end is acknowledged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveConnections } from '../../src/access/live.ts';
import type { LiveConnection, LiveController, Termination } from '../../src/access/live.ts';

function controller(id: string, terminate: LiveController['terminate']): LiveController {
  const about: LiveConnection = {
    id,
    userId: 'id-alice',
    user: 'alice',
    target: 'db1',
    account: 'root',
    rules: [],
    ground: undefined,
    sourceAddress: '127.0.0.1',
    startedAt: 1,
    channels: 2,
  };
  return { describe: () => about, terminate };
}

const ORDER: Termination = { reason: 'maintenance', by: 'admin' };

test('terminate reaches the controller with reason and author, and waits for its word', async () => {
  const live = new LiveConnections();
  const orders: Termination[] = [];
  const confirmed = Promise.withResolvers<undefined>();
  live.add(
    'a',
    controller('a', (order) => {
      orders.push(order);
      return confirmed.promise;
    }),
  );
  let done = false;
  const ended = live.terminate('a', ORDER).then(() => (done = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(done, false);
  confirmed.resolve(undefined);
  await ended;
  assert.deepEqual(orders, [ORDER]);
});

test('an unknown id and a controller that stays silent reject', async () => {
  const live = new LiveConnections(10);
  await assert.rejects(live.terminate('nope', ORDER), { code: 'not-found' });
  live.add(
    'a',
    controller('a', () => new Promise(() => undefined)),
  );
  await assert.rejects(live.terminate('a', ORDER), /did not confirm/);
});

test('the list is what is there; an id is there once', () => {
  const live = new LiveConnections();
  const ends = () => Promise.resolve();
  live.add('a', controller('a', ends));
  live.add('b', controller('b', ends));
  assert.throws(() => live.add('a', controller('a', ends)), { code: 'internal' });
  live.remove('a');
  live.remove('a');
  assert.deepEqual([live.has('a'), live.size], [false, 1]);
  assert.deepEqual(
    live.list().map((one) => one.id),
    ['b'],
  );
});

test('all are ended, whatever one of them does', async () => {
  const live = new LiveConnections();
  const ended: string[] = [];
  for (const id of ['a', 'b', 'c']) {
    live.add(
      id,
      controller(id, () => {
        ended.push(id);
        return id === 'b' ? Promise.reject(new Error('b fails')) : Promise.resolve();
      }),
    );
  }
  await live.terminateAll(ORDER);
  assert.deepEqual(ended, ['a', 'b', 'c']);
});
