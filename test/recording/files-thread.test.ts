/**
 * The thread that knows files is beside the relay and never in its way: what it tells is taken at the taker's pace, a
 * trail that cannot be read is told as unknown, and its end leaves nobody waiting.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import type { FileMoved } from '../../src/ops/facts.ts';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { FilesReader } from '../../src/recording/files-reader.ts';
import type { FilesOwner } from '../../src/recording/files-reader.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { eventually } from '../support/eventually.ts';
import { mustNotCall } from '../support/must-call.ts';
import { rounds } from '../support/scale.ts';
import { defer } from '../support/scope.ts';
import { packet } from '../support/sftp-packet.ts';
import { tempDir } from '../support/tempdir.ts';
import { writerAt } from './sample.ts';

const VERSION = (type: number): Buffer => new Writer().uint32(5).uint8(type).uint32(3).done();
const HANDLE = new Writer().string('h').done();
const OK = new Writer().uint32(0).string('').string('').done();

/** One small file: what the user sends and what the target answers. */
function smallFile(index: number): readonly [Buffer, Buffer] {
  const id = 3 * index;
  const open = packet(3, id, new Writer().string(`f${index}`).uint32(26).uint32(0).done());
  const at = Buffer.alloc(8);
  const data = new Writer().bytes(HANDLE).bytes(at).string('x').done();
  const up = Buffer.concat([packet(6, id + 1, data), packet(4, id + 2, HANDLE)]);
  const down = Buffer.concat([packet(101, id + 1, OK), packet(101, id + 2, OK)]);
  return [Buffer.concat([open, up]), Buffer.concat([packet(102, id, HANDLE), down])];
}

/** The trail of an SFTP channel with so many small files. */
async function trailOf(t: TestContext, files: number) {
  const path = join(tempDir(t), '0.trail');
  const writer = writerAt(path);
  const subsystem = new Writer().uint8(MSG.channelRequest).uint32(0).string('subsystem');
  const request = subsystem.boolean(true).string('sftp').done();
  writer.put(KINDS['forward-request'], DIRECTION.up, FATE.passed, 0, request);
  writer.put(KINDS.stdin, DIRECTION.up, FATE.passed, 0, VERSION(1));
  writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, VERSION(2));
  for (let i = 0; i < files; i++) {
    const [up, down] = smallFile(i);
    // The handle is known once the first answer has come.
    const open = 4 + up.readUInt32BE(0);
    const handle = 4 + down.readUInt32BE(0);
    writer.put(KINDS.stdin, DIRECTION.up, FATE.passed, 0, up.subarray(0, open));
    writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, down.subarray(0, handle));
    writer.put(KINDS.stdin, DIRECTION.up, FATE.passed, 0, up.subarray(open));
    const last = writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, down.subarray(handle));
    if (i % 1_000 === 999) await writer.whenWritten(last);
  }
  await writer.whenWritten(writer.records - 1);
  return { path, writer };
}

function readerOf(t: TestContext, hasRoom: () => boolean, onTrouble?: (text: string) => void) {
  const reader = new FilesReader({ hasRoom, onTrouble: onTrouble ?? mustNotCall('onTrouble') });
  defer(t, () => reader.close());
  return reader;
}

test('many small files are told once each, in order, and no faster than they are taken', async (t) => {
  const count = rounds(200_000, 5_000);
  const { path, writer } = await trailOf(t, count);
  const told: FileMoved[] = [];
  let hasRoom = false;
  let asked = 0;
  const reader = readerOf(t, () => {
    asked++;
    return hasRoom;
  });
  const owner: FilesOwner = {
    onFile: (_payloads, fact) => told.push(fact),
    onUnknown: mustNotCall('onUnknown'),
  };
  const connection = newUuid(Date.now());
  const written = (): number => writer.written;
  const key = reader.follow({ connection, channel: 0, path, written, owner });
  const ended = reader.end(key, writer.records);
  // Asked again and again whether there is room, it has not told more than the first batch.
  await eventually('five questions for room', () => asked >= 5);
  assert.ok(told.length <= 256, `${told.length} files at once`);
  hasRoom = true;
  await ended;
  assert.deepEqual(
    told.map(({ ordinal, path: name }) => [ordinal, name]),
    Array.from({ length: count }, (_, i) => [i, `f${i}`]),
  );
  assert.equal(new Set(told.map(({ file }) => file)).size, count);
  await writer.close({ reason: 'closed' });
});

test('a trail that cannot be read is told as unknown, and others go on', async (t) => {
  const { path, writer } = await trailOf(t, 3);
  const reader = readerOf(t, () => true);
  const unknown: string[] = [];
  const told: FileMoved[] = [];
  const owner: FilesOwner = {
    onFile: (_payloads, fact) => told.push(fact),
    onUnknown: (_payload, why) => unknown.push(why),
  };
  const connection = newUuid(Date.now());
  const missing = { connection, channel: 1, path: `${path}.missing`, written: () => 1, owner };
  await reader.end(reader.follow(missing), 1);
  assert.equal(unknown.length, 1);
  assert.match(unknown[0] ?? '', /ENOENT/);
  const written = (): number => writer.written;
  const key = reader.follow({ connection, channel: 0, path, written, owner });
  await reader.end(key, writer.records);
  assert.equal(told.length, 3);
  assert.equal(unknown.length, 1);
  await writer.close({ reason: 'closed' });
});

test('closing the reader lets go of who waits', async (t) => {
  const { path, writer } = await trailOf(t, 1);
  const reader = readerOf(t, () => true);
  const owner: FilesOwner = { onFile: () => undefined, onUnknown: () => undefined };
  const connection = newUuid(Date.now());
  // More records than there will ever be.
  const key = reader.follow({ connection, channel: 0, path, written: () => 1, owner });
  const ended = reader.end(key, writer.records + 1);
  await reader.close();
  await ended;
  await writer.close({ reason: 'closed' });
});
