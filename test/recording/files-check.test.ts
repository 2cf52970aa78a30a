/**
 * Proof 8 of issue B: a record or a row of a file that is not what its content says is found, even where the record is
 * signed; and a file takes of the trail what it moved, however far its bytes lie apart.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import { ChannelFiles } from '../../src/recording/channel-files.ts';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { fileFact } from '../../src/recording/file-fact.ts';
import type { FileRecord } from '../../src/recording/file-record.ts';
import { encodeFileRecord } from '../../src/recording/file-record.ts';
import type { FileClaim } from '../../src/recording/files-check.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { verifyChannel } from '../../src/recording/verify-channel.ts';
import type { TrailReport } from '../../src/recording/verify-trail.ts';
import { Reader, Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { SftpSession, uint64 } from '../support/sftp-session.ts';
import { tempDir } from '../support/tempdir.ts';
import { keys, writerAt } from './sample.ts';

const CHANNEL = 3;
const TIB = 2 ** 40;

interface Recorded {
  readonly path: string;
  readonly connection: string;
  readonly writer: ReturnType<typeof writerAt>;
  readonly record: FileRecord;
}

/**
 * The trail of an upload with a gap of 1 TiB, not ended yet, and the record of its file. `open`: the client goes away and
 * leaves the file open.
 */
async function sparseUpload(t: TestContext, open = false): Promise<Recorded> {
  const folder = tempDir(t);
  const target = join(folder, 'target');
  mkdirSync(target);
  const path = join(folder, '3.trail');
  const writer = writerAt(path);
  const subsystem = new Writer().uint8(MSG.channelRequest).uint32(0).string('subsystem');
  const request = subsystem.boolean(true).string('sftp').done();
  writer.put(KINDS['forward-request'], DIRECTION.up, FATE.passed, 0, request);
  const session = new SftpSession(t, target, (stream, bytes) => {
    const direction = stream === 'stdin' ? DIRECTION.up : DIRECTION.down;
    writer.put(KINDS[stream], direction, FATE.passed, 0, Buffer.from(bytes));
  });
  await session.start();
  const opened = await session.request(3, new Writer().string('a').uint32(26).uint32(0).done());
  const handle = new Reader(opened.body).string();
  for (const offset of [0, TIB]) {
    const data = new Writer()
      .string(handle)
      .bytes(uint64(offset))
      .string(randomBytes(5_000))
      .done();
    const { body } = await session.request(6, data);
    assert.equal(new Reader(body).uint32(), 0, 'the target takes no sparse file');
  }
  if (!open) await session.request(4, new Writer().string(handle).done());
  await session.end();
  await writer.whenWritten(writer.records - 1);

  const connection = newUuid(Date.now());
  const found: FileRecord[] = [];
  const files = new ChannelFiles(connection, CHANNEL, {
    onFile: (record, hashed) => {
      assert.ok(hashed);
      found.push(record);
    },
    onUndecoded: ({ undecoded }) => assert.fail(undecoded),
  });
  const trail = await TrailFile.open(path);
  try {
    for await (const record of trail.records()) files.take(record);
    files.end();
  } finally {
    await trail.close();
  }
  const [record, ...others] = found;
  assert.ok(record && others.length === 0);
  return { path, connection, writer, record };
}

/** Ends the trail with a record of the file, and verifies it with a row. */
async function verdict(
  { path, connection, writer }: Recorded,
  said: FileRecord,
  row: FileRecord,
  change: Partial<FileClaim> = {},
): Promise<TrailReport> {
  for (const payload of encodeFileRecord(said)) {
    writer.put(KINDS.file, DIRECTION.none, FATE.made, 0, payload);
  }
  await writer.close({ reason: 'closed' });
  const { file, ...rest } = fileFact(row, CHANNEL, 0);
  const claim = { ...rest, id: file, ...change };
  return verifyChannel(path, keys, {}, { id: connection, channel: CHANNEL }, [claim]);
}

test('a file of 1 TiB with 10,000 bytes in it is two extents', async (t) => {
  const { record, writer } = await sparseUpload(t);
  assert.equal(record.size, TIB + 5_000);
  assert.equal(record.moved, 10_000);
  assert.equal(record.whole, false);
  assert.equal(record.extents.length, 2);
  await writer.close({ reason: 'closed' });
});

test('a true record and a true row verify', async (t) => {
  const recorded = await sparseUpload(t);
  const { state, reason } = await verdict(recorded, recorded.record, recorded.record);
  assert.equal(state, 'complete', reason);
});

test('a file that was open when the channel ended verifies, and only with a true record and row', async (t) => {
  const changes: readonly [Partial<FileRecord>, Partial<FileClaim>, RegExp][] = [
    [{}, {}, /^$/],
    [{ sha256: OTHER }, {}, /^the record of file/],
    [{ status: 'ok', error: '' }, {}, /^the record of file/],
    [{}, { sha256: OTHER }, /^the row of file/],
  ];
  for (const [said, claimed, expected] of changes) {
    const recorded = await sparseUpload(t, true);
    const { record } = recorded;
    assert.equal(record.status, 'interrupted');
    const { state, reason } = await verdict(recorded, { ...record, ...said }, record, claimed);
    assert.match(state === 'complete' ? '' : reason, expected);
  }
});

const OTHER = 'ab'.repeat(32);

test('a signed record with another hash, size, path or place is bad', async (t) => {
  const changes: Partial<FileRecord>[] = [
    { sha256: OTHER },
    { size: 1 },
    { path: Buffer.from('b') },
    { extents: [{ offset: 0, length: 5_000, count: 1, at: 1, stride: 0 }] },
  ];
  for (const change of changes) {
    const recorded = await sparseUpload(t);
    const { record } = recorded;
    const { state, reason } = await verdict(recorded, { ...record, ...change }, record);
    assert.equal(state, 'bad');
    assert.match(reason, /^the record of file [0-9a-f-]{36} is not what its content says$/);
  }
});

test('a record of another decoder is held against its own bytes, and its row against it', async (t) => {
  const older = { decoder: 0, status: 'failed' as const, error: 'as it was called then' };
  const changes: readonly [Partial<FileRecord>, Partial<FileClaim>, RegExp][] = [
    [{}, {}, /^$/],
    [{ sha256: OTHER }, { sha256: OTHER }, /^the record of file/],
    [{}, { sha256: OTHER }, /^the row of file/],
    [{}, { status: 'ok' }, /^the row of file/],
  ];
  for (const [more, claimed, expected] of changes) {
    const recorded = await sparseUpload(t);
    const said = { ...recorded.record, ...older, ...more };
    const { state, reason } = await verdict(recorded, said, said, claimed);
    assert.match(state === 'complete' ? '' : reason, expected);
  }
});

test('a row with another hash, size or path, or of a file that never crossed, is bad', async (t) => {
  const changes: Partial<FileClaim>[] = [
    { sha256: OTHER },
    { size: 1 },
    { path: 'b' },
    { whole: true },
    { id: newUuid(0) },
  ];
  for (const change of changes) {
    const recorded = await sparseUpload(t);
    const { record } = recorded;
    const { state, reason } = await verdict(recorded, record, record, change);
    assert.equal(state, 'bad', JSON.stringify(change));
    assert.match(reason, /^the row of file [0-9a-f-]{36} is not what its content says$/);
  }
});
