/**
 * Whatever order a client writes and reads in, on however many handles: what a file's extents give back is what the
 * target's file has in those ranges when the handle is closed, nothing that crossed and still stands is missing, and
 * what is called whole is whole. The oracle is OpenSSH's sftp-server and its files.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import { ChannelFiles } from '../../src/recording/channel-files.ts';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { ContentReader } from '../../src/recording/file-content.ts';
import type { FileRecord } from '../../src/recording/file-record.ts';
import { FileRecordReader, encodeFileRecord } from '../../src/recording/file-record.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { Reader, Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { randomFrom, rounds, seeded } from '../support/scale.ts';
import type { Random } from '../support/scale.ts';
import type { Scope } from '../support/scope.ts';
import { SftpSession, uint64 } from '../support/sftp-session.ts';
import { tempDir } from '../support/tempdir.ts';
import { writerAt } from './sample.ts';

const FXP = { open: 3, close: 4, read: 5, write: 6, setstat: 9, fsetstat: 10, extended: 200 };
const STATUS = 101;
const HANDLE = 102;
const SPACE = 60_000;
const FOREIGN = -1;

interface Handle {
  readonly number: number;
  readonly handle: Buffer;
  readonly path: string;
  readonly flags: number;
  /** What the client got, byte by byte; undefined where nothing was read. */
  readonly got: (number | undefined)[];
  appended: Buffer[];
  /** Opened for appending to a file of unknown size. */
  readonly blind: boolean;
  wrote: boolean;
  read: boolean;
  /** No other handle of the file was open meanwhile. */
  alone: boolean;
}

interface Closed {
  readonly handle: Handle;
  readonly content: Buffer;
  /** Offsets whose byte this handle wrote last. */
  readonly own: readonly number[];
}

function set(owners: number[], at: number, owner: number): void {
  while (owners.length < at) owners.push(FOREIGN);
  owners[at] = owner;
}

/** The channel request that says what the channel is. */
const SUBSYSTEM = new Writer()
  .uint8(MSG.channelRequest)
  .uint32(0)
  .string('subsystem')
  .boolean(true)
  .string('sftp')
  .done();

class Schedule {
  readonly closed: Closed[] = [];
  readonly #random: Random;
  readonly #folder: string;
  readonly #session: SftpSession;
  readonly #handles: Handle[] = [];
  /** Who wrote each byte of a file last. */
  readonly #owners = new Map<string, number[]>();
  #outstanding: Promise<void>[] = [];
  #opened = 0;

  constructor(random: Random, folder: string, session: SftpSession) {
    this.#random = random;
    this.#folder = folder;
    this.#session = session;
  }

  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) await this.#step();
    while (this.#handles.length > 0) await this.#close(this.#handles[0]);
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const dice = random.int(0, 99);
    if (this.#handles.length === 0 || (dice < 8 && this.#handles.length < 4)) {
      await this.#open();
      return;
    }
    const handle = this.#handles[random.int(0, this.#handles.length - 1)];
    if (!handle) return;
    if (dice < 60) this.#write(handle);
    else if (dice < 80) await this.#read(handle);
    else if (dice < 86) await this.#resize(handle);
    else if (dice < 89) await this.#copy(handle);
    else if (dice < 95) await this.#quiet();
    else await this.#close(handle);
  }

  async #quiet(): Promise<void> {
    await Promise.all(this.#outstanding);
    this.#outstanding = [];
  }

  async #open(): Promise<void> {
    await this.#quiet();
    const path = this.#random.pick(['a', 'b\n\xff', 'c'] as const);
    const flags =
      this.#random.pick([1, 2, 3, 2, 2] as const) |
      (this.#random.int(0, 4) === 0 ? 4 : 0) |
      8 |
      (this.#random.int(0, 1) === 0 ? 16 : 0);
    const body = new Writer().string(Buffer.from(path, 'latin1')).uint32(flags).uint32(0);
    const { type, body: answer } = await this.#session.request(FXP.open, body.done());
    if (type !== HANDLE) return;
    const number = this.#opened++;
    const handle = Buffer.from(new Reader(answer).string());
    const truncates = (flags & 16) !== 0 && (flags & 2) !== 0;
    // OpenSSH truncates whatever the handle may do; a handle that may not write cannot.
    if ((flags & 16) !== 0) this.#owners.set(path, []);
    const blind = (flags & 4) !== 0 && !truncates;
    const got: (number | undefined)[] = [];
    const known = { number, handle, path, flags, got, blind };
    const others = this.#handles.filter((one) => one.path === path);
    for (const one of others) one.alone = false;
    const alone = others.length === 0;
    this.#handles.push({ ...known, appended: [], wrote: false, read: false, alone });
  }

  #write(handle: Handle): void {
    const { path, flags } = handle;
    const length = this.#random.int(1, this.#random.pick([10, 3_000, 40_000] as const));
    const offset = this.#random.int(0, SPACE);
    const bytes = this.#random.bytes(length);
    const body = new Writer().string(handle.handle).bytes(uint64(offset)).string(bytes).done();
    // The server takes requests one by one, so the owner is known when it is asked.
    this.#outstanding.push(
      this.#session.request(FXP.write, body).then(({ body: answer }) => {
        if (new Reader(answer).uint32() !== 0) return;
        handle.wrote = true;
        const owners = this.#ownersOf(path);
        const at = flags & 4 ? owners.length : offset;
        if (flags & 4) handle.appended.push(bytes);
        for (let i = 0; i < length; i++) set(owners, at + i, handle.number);
      }),
    );
  }

  async #read(handle: Handle): Promise<void> {
    await this.#quiet();
    const offset = this.#random.int(0, SPACE);
    const wanted = this.#random.int(1, 50_000);
    const body = new Writer().string(handle.handle).bytes(uint64(offset)).uint32(wanted).done();
    const { type, body: answer } = await this.#session.request(FXP.read, body);
    if (type === STATUS) return;
    const bytes = new Reader(answer).string();
    handle.read = true;
    for (const [i, byte] of bytes.entries()) handle.got[offset + i] = byte;
  }

  async #resize(handle: Handle): Promise<void> {
    await this.#quiet();
    const size = this.#random.int(0, SPACE);
    const byPath = this.#random.int(0, 1) === 0;
    const name = byPath ? Buffer.from(handle.path, 'latin1') : handle.handle;
    const body = new Writer().string(name).uint32(1).bytes(uint64(size)).done();
    const { body: answer } = await this.#session.request(byPath ? FXP.setstat : FXP.fsetstat, body);
    if (new Reader(answer).uint32() !== 0) return;
    const owners = this.#ownersOf(handle.path);
    while (owners.length < size) owners.push(FOREIGN);
    owners.length = size;
  }

  async #copy(to: Handle): Promise<void> {
    await this.#quiet();
    const from = this.#handles.find((one) => (one.flags & 1) !== 0 && one.path !== to.path);
    // To a handle that may not write the server says OK and copies nothing.
    if (!from || (to.flags & 6) !== 2) return;
    const offset = this.#random.int(0, SPACE);
    // Where the source ends too early the server copies some, says failure, and nobody knows how much.
    const length = Math.min(this.#random.int(1, 20_000), this.#content(from.path).length);
    if (length === 0) return;
    const body = new Writer()
      .string('copy-data')
      .string(from.handle)
      .bytes(uint64(0))
      .bytes(uint64(length))
      .string(to.handle)
      .bytes(uint64(offset))
      .done();
    const { body: answer } = await this.#session.request(FXP.extended, body);
    if (new Reader(answer).uint32() !== 0) return;
    const owners = this.#ownersOf(to.path);
    for (let i = 0; i < length; i++) set(owners, offset + i, FOREIGN);
  }

  #ownersOf(path: string): number[] {
    const known = this.#owners.get(path);
    if (known) return known;
    const made: number[] = [];
    this.#owners.set(path, made);
    return made;
  }

  #content(path: string): Buffer {
    const folder = Buffer.from(`${this.#folder}/`);
    return readFileSync(Buffer.concat([folder, Buffer.from(path, 'latin1')]));
  }

  async #close(handle: Handle | undefined): Promise<void> {
    if (!handle) return;
    await this.#quiet();
    this.#handles.splice(this.#handles.indexOf(handle), 1);
    await this.#session.request(FXP.close, new Writer().string(handle.handle).done());
    const owners = this.#ownersOf(handle.path);
    const own = [...owners.keys()].filter((at) => owners[at] === handle.number);
    this.closed.push({ handle, content: this.#content(handle.path), own });
  }
}

/** Runs a schedule, records what crossed, and reads the files back from the recording. */
async function check(scope: Scope, seed: number): Promise<number> {
  const random = randomFrom(seed);
  // How the server cuts its answers is not ours to repeat, so the schedule has numbers of its own.
  const splits = randomFrom(seed + 1);
  const folder = tempDir(scope);
  const target = join(folder, 'target');
  mkdirSync(target);
  const path = join(folder, '0.trail');
  const connection = newUuid(Date.now());
  const writer = writerAt(path);
  writer.put(KINDS['forward-request'], DIRECTION.up, FATE.passed, 0, SUBSYSTEM);
  const session = new SftpSession(scope, target, (stream, bytes) => {
    const direction = stream === 'stdin' ? DIRECTION.up : DIRECTION.down;
    for (let at = 0; at < bytes.length;) {
      const length = splits.pick([1, 13, 500, 5_000, 32_768, 32_768] as const);
      const piece = Buffer.from(bytes.subarray(at, at + length));
      writer.put(KINDS[stream], direction, FATE.passed, 0, piece);
      at += length;
    }
  });
  await session.start();
  const schedule = new Schedule(random, target, session);
  await schedule.run(random.int(5, 120));
  await session.end();
  await writer.close({ reason: 'closed' });

  /** What each close told, in the order of the closes. */
  const told = new Map<number, FileRecord[]>();
  const trail = await TrailFile.open(path);
  const content = new ContentReader(path);
  try {
    const files = new ChannelFiles(connection, 0, {
      onFile: (record, hashed) => {
        const whole = hashed ? record : { ...record, sha256: hashOf(read(content, record)) };
        const one = encodedAndBack(whole);
        told.set(one.closedUs, [...(told.get(one.closedUs) ?? []), one]);
      },
      onOperation: ({ detail }, us) => {
        if (detail === 'no data moved') told.set(us, []);
      },
      onUndecoded: ({ undecoded }) => assert.fail(undecoded),
    });
    for await (const record of trail.records()) files.take(record);
    files.end();
    const all = [...told.values()];
    assert.equal(all.length, schedule.closed.length);
    for (const [i, one] of schedule.closed.entries()) compare(one, all[i] ?? [], content);
    return all.flat().length;
  } finally {
    content.close();
    await trail.close();
  }
}

function encodedAndBack(record: FileRecord): FileRecord {
  const reader = new FileRecordReader();
  for (const payload of encodeFileRecord(record)) {
    const whole = reader.push(payload);
    if (whole && 'file' in whole) return whole;
  }
  return assert.fail('a record does not come back from its payloads');
}

function read(content: ContentReader, { direction, extents }: FileRecord): Buffer {
  const stream = direction === 'upload' ? 'stdin' : 'stdout';
  const copies: Buffer[] = [];
  for (const bytes of content.chunks(stream, extents)) copies.push(Buffer.from(bytes));
  return Buffer.concat(copies);
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function compare(
  { handle, content: target, own }: Closed,
  told: FileRecord[],
  content: ContentReader,
): void {
  const name = JSON.stringify(handle.path);
  const uploads = told.filter(({ direction }) => direction === 'upload');
  const downloads = told.filter(({ direction }) => direction === 'download');
  assert.ok(uploads.length <= 1 && downloads.length <= 1);
  for (const record of told) {
    assert.equal(record.path.toString('latin1'), handle.path);
    if (record.sha256 !== null) assert.equal(record.sha256, hashOf(read(content, record)), name);
    else assert.ok(record.dropped > 0, `${name} has no hash`);
  }
  const [upload] = uploads;
  if (upload) compareUpload(handle, upload, read(content, upload), target, own);
  else assert.ok(!handle.wrote, `nothing was told of an upload to ${name}`);
  const [download] = downloads;
  if (download) {
    const places = placesOf(download);
    const got = [...handle.got.keys()].filter((at) => handle.got[at] !== undefined);
    same(places, got, `what was read of ${name}`);
    const bytes = Buffer.from(places.map((at) => handle.got[at] ?? 0));
    assert.ok(read(content, download).equals(bytes), `content that was read of ${name}`);
  } else {
    assert.ok(!handle.read, `nothing was told of a download of ${name}`);
  }
}

function compareUpload(
  { path, blind, wrote, appended, flags, alone }: Handle,
  record: FileRecord,
  bytes: Buffer,
  target: Buffer,
  own: readonly number[],
): void {
  const name = JSON.stringify(path);
  if (record.appended) {
    assert.ok(blind && !record.whole);
    assert.ok(bytes.equals(Buffer.concat(appended)), `what was appended to ${name}`);
    return;
  }
  const places = placesOf(record);
  if (record.dropped === 0) same(places, own, `extents of ${name}`);
  assert.ok(bytes.equals(Buffer.from(places.map((at) => target[at] ?? 0))), `content of ${name}`);
  if (record.whole) {
    assert.ok(bytes.equals(target), `${name} is called whole`);
  } else if (alone && wrote && (flags & 16) !== 0) {
    assert.notEqual(own.length, target.length, `${name} is whole and not called so`);
  }
}

/** `deepEqual` of long lists takes minutes. */
function same(actual: readonly number[], expected: readonly number[], what: string): void {
  assert.equal(actual.length, expected.length, what);
  const at = actual.findIndex((value, i) => value !== expected[i]);
  assert.equal(at, -1, `${what} differ at ${at}`);
}

/** Every offset of the file that its extents hold. */
function placesOf({ extents }: FileRecord): number[] {
  const places: number[] = [];
  for (const { offset, length, count } of extents) {
    for (let i = 0; i < length * count; i++) places.push(offset + i);
  }
  return places;
}

test('files read back from a trail are the files of the target, whatever the schedule', async (t) => {
  const random = seeded('odd writers');
  let files = 0;
  for (let round = 0; round < rounds(1_000, 40); round++) {
    const seed = random.int(0, 2 ** 31);
    await t.test(`schedule ${seed}`, async (inner) => {
      files += await check(inner, seed);
    });
  }
  assert.ok(files > 0, 'no schedule moved a file');
});
