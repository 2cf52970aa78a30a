/** The books of a channel: credit, skew, and whose a reply is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/base/errors.ts';
import type { ContainerWriter } from '../../src/recording/writer.ts';
import { Channel, ChannelTable, DOWN, ReplyQueue, UP } from '../../src/ssh/mux.ts';

const REPLY = Buffer.from([99]);

const NO_WRITER = {} as unknown as ContainerWriter;

function channel(): Channel {
  return new Channel(0, 0, DOWN, 'session', NO_WRITER, 10);
}

test('a peer may send what its window allows and a tenth more, then it is refused', () => {
  const it = channel();
  it.grant(DOWN, 1000);
  it.spend(DOWN, 1000);
  it.spend(DOWN, 100);
  assert.throws(() => it.spend(DOWN, 1), ProtocolError);
});

test('a window never grows beyond 2^32-1', () => {
  const it = channel();
  it.grant(UP, 0xffffffff);
  assert.throws(() => it.grant(UP, 1), ProtocolError);
  it.spend(UP, 5);
  it.grant(UP, 5);
});

test('adjusts are lowered by what the gate injected and raised by what it swallowed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -100_000, max: 100_000 }),
      fc.array(fc.nat({ max: 50_000 }), { minLength: 1, maxLength: 20 }),
      (skew, adjusts) => {
        const it = channel();
        it.skew[DOWN] = skew;
        let passed = 0;
        for (const amount of adjusts) passed += it.passedAdjust(DOWN, amount);
        const granted = adjusts.reduce((sum, amount) => sum + amount, 0);
        assert.equal(passed, granted - skew + it.skew[DOWN]);
        // Once enough was granted all is made up for.
        if (granted >= Math.max(0, skew)) assert.equal(it.skew[DOWN], 0);
        // What is left to make up for keeps its sign, and never grows.
        assert.ok(Math.abs(it.skew[DOWN]) <= Math.abs(skew) && it.skew[DOWN] * skew >= 0);
      },
    ),
  );
});

test('replies go to whom they belong, and answers of ours take their place among them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('relayed', 'own', 'answer'), { maxLength: 30 }),
      (requests) => {
        const queue = new ReplyQueue(100);
        const given: string[] = [];
        const expected: string[] = [];
        for (const [i, kind] of requests.entries()) {
          if (kind === 'relayed') queue.relayed();
          else if (kind === 'own') queue.own();
          else queue.answered(() => given.push(`answer ${i}`));
          if (kind !== 'own') expected.push(`${kind} ${i}`);
        }
        const asked = requests.flatMap((kind, i) => (kind === 'answer' ? [] : [{ kind, i }]));
        for (const { kind, i } of asked) {
          assert.equal(queue.next(REPLY), kind);
          if (kind === 'relayed') given.push(`relayed ${i}`);
          queue.release();
        }
        assert.deepEqual(given, expected);
        assert.equal(queue.length, 0);
        assert.equal(queue.next(REPLY), undefined);
      },
    ),
  );
});

test('too many unanswered requests are refused', () => {
  const queue = new ReplyQueue(3);
  queue.relayed();
  queue.relayed();
  queue.answered(() => undefined);
  assert.throws(() => queue.relayed(), ProtocolError);
});

test('numbers are given again, ordinals never, and the limits hold by kind', () => {
  const ended: Channel[] = [];
  const limits = { sessions_per_connection: 2, forwards: 1, channels: 3, requests: 10 };
  const table = new ChannelTable(limits, (channel) => ended.push(channel));
  const make = () => NO_WRITER;
  const first = table.add(DOWN, 'session', make);
  const second = table.add(DOWN, 'session', make);
  assert.ok(table.isFull('session'));
  assert.ok(!table.isFull('direct-tcpip'));
  table.add(DOWN, 'direct-tcpip', make);
  assert.ok(table.isFull('direct-tcpip'));
  table.end(first);
  table.end(first);
  assert.deepEqual(ended, [first]);
  const again = table.add(DOWN, 'session', make);
  assert.equal(again.number, first.number);
  assert.equal(again.ordinal, 3);
  assert.equal(table.get(second.number), second);
  assert.equal(table.get(0xffffffff), undefined);
});
