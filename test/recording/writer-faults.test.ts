/**
 * R13: short writes, errors and silence at the volume. `written` never runs ahead of the kernel, nothing is appended
 * behind a torn block, and there is never a trail that verifies as whole but lacks data.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AppError } from '../../src/base/errors.ts';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { BlockDecoder } from '../../src/recording/block-decoder.ts';
import { diskFs } from '../../src/recording/trail-fs.ts';
import type { TrailFs } from '../../src/recording/trail-fs.ts';
import { verifyTrail } from '../../src/recording/verify-trail.ts';
import { WriteGate } from '../../src/recording/write-gate.ts';
import type { ContainerWriter } from '../../src/recording/writer.ts';
import { mustCall } from '../support/must-call.ts';
import { rounds, seeded } from '../support/scale.ts';
import { tempDir } from '../support/tempdir.ts';
import { faultyFs, keys, writerAt } from './sample.ts';

function fault(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

function put(writer: ContainerWriter, text: string): number {
  return writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, Buffer.from(text));
}

/** How many records are whole in the file right now, read with calls of our own. */
function recordsIn(path: string): number {
  const fd = openSync(path, 'r');
  const bytes = Buffer.alloc(1 << 20);
  const length = readSync(fd, bytes, 0, bytes.length, 0);
  closeSync(fd);
  const decoder = new BlockDecoder();
  decoder.push(bytes.subarray(0, length));
  let count = 0;
  for (let block = decoder.next(); block; block = decoder.next()) count += block.head.count;
  return count;
}

test('short writes are completed at their own place, whatever their lengths', async (t) => {
  const random = seeded(t.name);
  for (let round = 0; round < rounds(1_000); round++) {
    const path = join(tempDir(t), 'a.trail');
    const fs = faultyFs({
      write: (fd, bytes, offset, length, position, done) =>
        diskFs.write(fd, bytes, offset, random.int(1, length), position, done),
    });
    const writer = writerAt(path, {
      fs,
      onWritten: () => assert.ok(recordsIn(path) >= writer.written),
    });
    for (let i = 0; i < 20; i++) {
      const ordinal = put(writer, `line ${i}\n`);
      // Sometimes more is put while a write is under way, which must not count as written with it.
      if (random.int(0, 1)) await writer.whenWritten(ordinal);
      else await new Promise((resolve) => setImmediate(resolve));
    }
    await writer.close({ reason: 'done' });
    const report = await verifyTrail(path, keys);
    assert.equal(report.state, 'complete', report.reason);
    assert.equal(report.records, 22);
  }
});

test('interrupted calls are made again at once', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  let calls = 0;
  const fs = faultyFs({
    open: (name, flags, mode, done) =>
      calls++ === 0 ? done(fault('EINTR'), -1) : diskFs.open(name, flags, mode, done),
    write: (fd, bytes, offset, length, position, done) =>
      calls++ % 3 === 1
        ? setImmediate(done, fault(calls % 2 ? 'EINTR' : 'EAGAIN'), 0)
        : diskFs.write(fd, bytes, offset, length, position, done),
  });
  const writer = writerAt(path, { fs });
  for (let i = 0; i < 10; i++) await writer.whenWritten(put(writer, `line ${i}\n`));
  await writer.close({ reason: 'done' });
  assert.equal((await verifyTrail(path, keys)).state, 'complete');
});

test('an error at any write is told once, after a part of the block or none', async (t) => {
  for (const code of ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS']) {
    for (let n = 1; n <= rounds(50, 8); n++) {
      const path = join(tempDir(t), 'a.trail');
      let calls = 0;
      let written = 0;
      const fs = faultyFs({
        write: (fd, bytes, offset, length, position, done) => {
          if (++calls < n) {
            diskFs.write(fd, bytes, offset, length, position, done);
          } else if (calls === n) {
            // Half a block, then nothing goes any more.
            diskFs.write(fd, bytes, offset, length >> 1, position, () => done(fault(code), 0));
          } else {
            setImmediate(done, fault(code), 0);
          }
        },
      });
      const failed = Promise.withResolvers<AppError>();
      const told = mustCall(t, (error: AppError) => failed.resolve(error));
      const writer = writerAt(path, { fs, onError: told });
      for (let i = 0; i < n; i++) {
        const ordinal = put(writer, `line ${i}\n`);
        await Promise.race([writer.whenWritten(ordinal), failed.promise]);
        if (writer.written > ordinal) written = writer.written;
      }
      const error = await failed.promise;
      assert.equal(error.code, 'recording-failed');
      assert.match(error.message, new RegExp(code));
      put(writer, 'never recorded');
      assert.equal(writer.written, written);
      await assert.rejects(writer.close({ reason: 'failed' }), /cannot write the trail/);
      assert.ok(recordsIn(path) >= written);
      const report = await verifyTrail(path, keys);
      assert.ok(report.state === 'bad' || report.state === 'cut', report.state);
    }
  }
});

test('after space has come back the very same bytes go to their place', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  let full = false;
  const positions: number[] = [];
  const fs = faultyFs({
    write: (fd, bytes, offset, length, position, done) => {
      positions.push(position - offset);
      if (full) diskFs.write(fd, bytes, offset, 40, position, () => done(fault('ENOSPC'), 0));
      else diskFs.write(fd, bytes, offset, length, position, done);
    },
  });
  const failed = Promise.withResolvers<AppError>();
  const writer = writerAt(path, { fs, onError: mustCall(t, failed.resolve) });
  await writer.whenWritten(put(writer, 'one'));
  full = true;
  const two = put(writer, 'two');
  await failed.promise;
  put(writer, 'three');
  assert.equal(writer.written, two);
  full = false;
  writer.retry();
  await writer.whenWritten(two + 1);
  await writer.close({ reason: 'done' });
  assert.equal(positions[1], positions[2]);
  const report = await verifyTrail(path, keys);
  assert.equal(report.state, 'complete');
  assert.equal(report.stdout, 'onetwothree'.length);
});

test('close itself tries once more', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  let full = true;
  const fs = faultyFs({
    write: (fd, bytes, offset, length, position, done) =>
      full
        ? setImmediate(done, fault('ENOSPC'), 0)
        : diskFs.write(fd, bytes, offset, length, position, done),
  });
  const failed = Promise.withResolvers<AppError>();
  const writer = writerAt(path, { fs, onError: mustCall(t, failed.resolve) });
  put(writer, 'one');
  await failed.promise;
  full = false;
  await writer.close({ reason: 'done' });
  assert.equal((await verifyTrail(path, keys)).state, 'complete');
});

test('errors of open, sync and close are told, and leave no trail that looks whole', async (t) => {
  const faults: Record<string, Partial<TrailFs>> = {
    open: { open: (_path, _flags, _mode, done) => done(fault('EACCES'), -1) },
    fdatasync: { fdatasync: (_fd, done) => done(fault('EIO')) },
    close: { close: (fd, done) => diskFs.close(fd, () => done(fault('EIO'))) },
  };
  for (const [name, replaced] of Object.entries(faults)) {
    const path = join(tempDir(t), 'a.trail');
    const writer = writerAt(path, { fs: faultyFs(replaced), onError: () => undefined });
    put(writer, 'one');
    await assert.rejects(writer.close({ reason: 'done' }), /EACCES|EIO/, name);
  }
  const path = join(tempDir(t), 'b.trail');
  const failed = Promise.withResolvers<AppError>();
  const fs = faultyFs({ fdatasync: (_fd, done) => done(fault('EIO')) });
  const writer = writerAt(path, { fs, syncMs: 1, onError: mustCall(t, failed.resolve) });
  put(writer, 'one');
  assert.match((await failed.promise).message, /EIO/);
  // The kernel may have dropped pages: nobody may sign that all is there.
  writer.retry();
  put(writer, 'two');
  await assert.rejects(writer.close({ reason: 'done' }), /EIO/);
  assert.notEqual((await verifyTrail(path, keys)).state, 'complete');
});

test('an existing file and a symbolic link are not written to', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  const first = writerAt(path);
  await first.close({ reason: 'done' });
  const before = readFileSync(path);
  const { symlinkSync } = await import('node:fs');
  symlinkSync(join(dir, 'elsewhere'), join(dir, 'link.trail'));
  for (const name of ['a.trail', 'link.trail']) {
    const writer = writerAt(join(dir, name), { onError: () => undefined });
    await assert.rejects(writer.close({ reason: 'done' }), /EEXIST|ELOOP/);
  }
  assert.deepEqual(readFileSync(path), before);
  assert.throws(() => readFileSync(join(dir, 'elsewhere')));
});

test('a write that does not return is told after the deadline, and counts when it does', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  let now = 0;
  let release: (() => void) | undefined;
  const gate = new WriteGate(8, { nowMs: () => now, deadlineMs: 30_000 });
  const fs = faultyFs({
    write: (fd, bytes, offset, length, position, done) => {
      release = () => diskFs.write(fd, bytes, offset, length, position, done);
      hung.resolve(undefined);
    },
  });
  const hung = Promise.withResolvers<undefined>();
  const onError = mustCall(t, (error: AppError) => assert.match(error.message, /does not answer/));
  const writer = writerAt(path, { fs, gate, onError });
  const ordinal = put(writer, 'one');
  await hung.promise;
  now = 29_999;
  gate.sweep();
  now = 30_001;
  gate.sweep();
  gate.sweep();
  assert.equal(writer.written, 0);
  release?.();
  await writer.whenWritten(ordinal);
  assert.equal(writer.written, 2);
});

test('writers that wait behind a hung volume are told too', async (t) => {
  const dir = tempDir(t);
  let now = 0;
  const gate = new WriteGate(1, { nowMs: () => now, deadlineMs: 30_000 });
  const hung = Promise.withResolvers<() => void>();
  const fs = faultyFs({
    write: (fd, bytes, offset, length, position, done) =>
      hung.resolve(() => diskFs.write(fd, bytes, offset, length, position, done)),
  });
  const first = writerAt(join(dir, 'a.trail'), { fs, gate, onError: mustCall(t, () => undefined) });
  put(first, 'one');
  const release = await hung.promise;
  const second = writerAt(join(dir, 'b.trail'), { gate, onError: mustCall(t, () => undefined) });
  const ordinal = put(second, 'two');
  await new Promise((resolve) => setImmediate(resolve));
  now = 30_001;
  gate.sweep();
  release();
  await second.whenWritten(ordinal);
});

test('at most so many writes are in the pool at a time, in the order of asking', async (t) => {
  const dir = tempDir(t);
  const gate = new WriteGate(2);
  let running = 0;
  let most = 0;
  const fs = faultyFs({
    write: (fd, bytes, offset, length, position, done) => {
      most = Math.max(most, ++running);
      diskFs.write(fd, bytes, offset, length, position, (error, count) => {
        running--;
        done(error, count);
      });
    },
  });
  const writers = Array.from({ length: 20 }, (_, i) => writerAt(join(dir, `${i}`), { fs, gate }));
  await Promise.all(
    writers.map(async (writer) => {
      for (let i = 0; i < 10; i++) await writer.whenWritten(put(writer, 'x'));
      await writer.close({ reason: 'done' });
    }),
  );
  assert.equal(most, 2);
});

test('a held back file does not exist before it may, and a refusal is told', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  let go = (): void => assert.fail('openAfter was not called');
  const writer = writerAt(path, { openAfter: (start) => (go = start) });
  const ordinal = put(writer, 'one');
  await new Promise((resolve) => setImmediate(resolve));
  assert.throws(() => readFileSync(path), /ENOENT/);
  go();
  await writer.whenWritten(ordinal);
  await writer.close({ reason: 'done' });
  assert.equal((await verifyTrail(path, keys)).state, 'complete');
  const refused = writerAt(join(dir, 'b.trail'), {
    openAfter: () => undefined,
    onError: mustCall(t, (error) => assert.match(error.message, /no folder/)),
  });
  refused.refuse(new Error('no folder'));
});
