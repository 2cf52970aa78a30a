/**
 * Record before deliver, in memory: a message leaves for its leg when its own container has it and all messages before
 * it have left, in whatever order the containers' writes return.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LegQueue } from '../../src/recording/recorder.ts';
import type { ContainerWriter } from '../../src/recording/writer.ts';

/** A container whose kernel is the test. */
class FakeWriter {
  written = 0;
  put = 0;
}

function asWriter(fake: FakeWriter): ContainerWriter {
  return fake as unknown as ContainerWriter;
}

test('nothing leaves before it is written, and nothing overtakes', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), container: fc.nat({ max: 2 }) }),
    fc.record({ kind: fc.constant('write' as const), container: fc.nat({ max: 2 }) }),
    fc.record({ kind: fc.constant('own' as const) }),
    fc.record({ kind: fc.constant('close' as const) }),
    fc.record({ kind: fc.constant('open' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const writers = [new FakeWriter(), new FakeWriter(), new FakeWriter()];
      const queue = new LegQueue<{ id: number; writer: FakeWriter | undefined; ordinal: number }>();
      const leg = { writable: true };
      const out: number[] = [];
      queue.attach({
        get writable() {
          return leg.writable;
        },
        deliver: ({ id, writer, ordinal }) => {
          assert.ok(leg.writable, 'delivered to a leg that takes nothing');
          if (writer) assert.ok(ordinal < writer.written, 'delivered before it was written');
          out.push(id);
        },
      });
      queue.release();
      let id = 0;
      for (const each of steps) {
        if (each.kind === 'put') {
          const writer = writers[each.container];
          if (!writer) continue;
          const ordinal = writer.put++;
          queue.push(asWriter(writer), ordinal, { id: id++, writer, ordinal }, 10);
        } else if (each.kind === 'write') {
          const writer = writers[each.container];
          if (!writer) continue;
          writer.written = writer.put;
          queue.drain();
        } else if (each.kind === 'own') {
          queue.push(undefined, 0, { id: id++, writer: undefined, ordinal: 0 }, 10);
        } else {
          leg.writable = each.kind === 'open';
          queue.drain();
        }
        assert.deepEqual(out, [...out.keys()], 'a message was overtaken');
      }
      leg.writable = true;
      for (const writer of writers) writer.written = writer.put;
      queue.drain();
      assert.equal(out.length, id);
      assert.equal(queue.bytes, 0);
      assert.equal(queue.length, 0);
    }),
  );
});

test('a queue that was not released or has been discarded delivers nothing', () => {
  const queue = new LegQueue<string>();
  const out: string[] = [];
  queue.attach({ writable: true, deliver: (message) => out.push(message) });
  queue.push(undefined, 0, 'early', 5);
  assert.deepEqual(out, []);
  queue.release();
  assert.deepEqual(out, ['early']);
  queue.discard();
  queue.push(undefined, 0, 'late', 4);
  assert.deepEqual(out, ['early']);
});

test('thousands of messages behind one slow write leave in order once it returns', () => {
  const writer = new FakeWriter();
  const queue = new LegQueue<number>();
  const out: number[] = [];
  queue.attach({ writable: true, deliver: (message) => out.push(message) });
  queue.release();
  for (let i = 0; i < 5000; i++) queue.push(asWriter(writer), writer.put++, i, 1);
  for (const written of [1, 1500, 1500, 4999, 5000]) {
    writer.written = written;
    queue.drain();
    assert.equal(out.length, written);
  }
  assert.deepEqual(out, [...out.keys()]);
});
