/** Property tests of the codec: any split gives the same blocks, any garbage gives ProtocolError and nothing else. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/base/errors.ts';
import type { TrailRecord } from '../../src/recording/block-decoder.ts';
import { BlockDecoder, recordsOf } from '../../src/recording/block-decoder.ts';
import { BlockFollower } from '../../src/recording/block-follower.ts';
import {
  DIRECTION,
  FATE,
  KINDS,
  MAX_BLOCK,
  MAX_PAYLOAD,
  kindName,
} from '../../src/recording/container.ts';
import { decodeHeader } from '../../src/recording/header.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { verifyTrail } from '../../src/recording/verify-trail.ts';
import { rounds } from '../support/scale.ts';
import { tempDir } from '../support/tempdir.ts';
import { collect, headsOf, keys, sampleTrail, writerAt } from './sample.ts';

const RUNS = { numRuns: rounds(10_000) };

function decodeAll(bytes: Buffer, cuts: readonly number[]): TrailRecord[] {
  const decoder = new BlockDecoder();
  const records: TrailRecord[] = [];
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...at, bytes.length]) {
    decoder.push(bytes.subarray(from, to));
    from = to;
    for (let block = decoder.next(); block; block = decoder.next())
      records.push(...recordsOf(block));
    assert.ok(decoder.buffered <= MAX_BLOCK + bytes.length);
  }
  return records;
}

test('any split of a container gives the same records', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  await sampleTrail(path);
  const bytes = await readFile(path);
  const whole = decodeAll(bytes, []);
  assert.ok(whole.length > 12);
  assert.deepEqual(decodeAll(bytes, [...bytes.keys()]), whole);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      assert.deepEqual(decodeAll(bytes, cuts), whole);
    }),
    RUNS,
  );
});

test('garbage and damaged containers give ProtocolError and nothing else', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  await sampleTrail(path);
  const original = await readFile(path);
  const change = fc.record({
    at: fc.nat(original.length - 1),
    bytes: fc.uint8Array({ maxLength: 64 }),
  });
  const damaged = fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => {
    const bytes = Buffer.from(original);
    for (const { at, bytes: patch } of changes) bytes.set(patch.subarray(0, bytes.length - at), at);
    return bytes;
  });
  const magic = fc
    .uint8Array({ maxLength: 600 })
    .map((tail) => Buffer.concat([Buffer.from('SALB'), tail]));
  const garbage = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(damaged, magic, garbage), fc.array(fc.nat(4_096)), (bytes, cuts) => {
      const follower = new BlockFollower(keys);
      try {
        const decoder = new BlockDecoder();
        for (const part of [bytes.subarray(0, cuts[0] ?? 0), bytes.subarray(cuts[0] ?? 0)]) {
          decoder.push(part);
          for (let block = decoder.next(); block; block = decoder.next()) follower.accept(block);
        }
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
    RUNS,
  );
});

test('headers are refused unless every field fits', () => {
  const good = {
    format: 1,
    container: 'ledger',
    instance: '0190163d-8694-739b-aea5-966c26f8ad91',
    connection: '',
    channel: null,
    wallUs: 1,
    keyId: 'a'.repeat(64),
    connectionHeader: '',
    data: {},
  };
  const decode = (value: unknown): unknown => decodeHeader(Buffer.from(JSON.stringify(value)));
  assert.deepEqual(decode(good), good);
  const wrong = [
    { ...good, format: 2 },
    { ...good, container: 'channel' },
    { ...good, instance: '../x' },
    { ...good, channel: -1 },
    { ...good, extra: 1 },
    null,
    [],
  ];
  for (const value of wrong) assert.throws(() => decode(value), ProtocolError);
  assert.throws(() => decodeHeader(Buffer.from('{')), ProtocolError);
});

test('every kind of record is written and read back', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  const writer = writerAt(path);
  const kinds = Object.entries(KINDS).filter(
    ([name]) => name !== 'header' && name !== 'checkpoint',
  );
  const put = kinds.map(([name, kind], i) => {
    const direction = [DIRECTION.none, DIRECTION.up, DIRECTION.down][i % 3] ?? 0;
    const fate = [FATE.passed, FATE.withheld, FATE.made, FATE.held][i % 4] ?? 1;
    const payload = name === 'channel-digest' ? '{"channel":0,"digest":""}' : `payload of ${name}`;
    return { name, kind, direction, fate, code: i, payload };
  });
  for (const [i, record] of put.entries()) {
    const { kind, direction, fate, code, payload } = record;
    assert.equal(writer.put(kind, direction, fate, code, Buffer.from(payload)), i + 1);
  }
  await writer.close({ reason: 'done' });
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  const read = await collect(file.records());
  assert.equal(read.length, put.length + 2);
  for (const [i, record] of put.entries()) {
    const found = read[i + 1];
    assert.ok(found);
    assert.equal(kindName(found.kind), record.name);
    assert.equal(found.ordinal, i + 1);
    assert.equal(found.direction, record.direction);
    assert.equal(found.fate, record.fate);
    assert.equal(found.code, record.code);
    assert.equal(found.payload.toString(), record.payload);
    assert.equal(found.us, (i + 3) * 1_000);
  }
  assert.equal((await verifyTrail(path, keys)).state, 'complete');
});

test('payloads of every size come back, also over the limits of a block', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  const writer = writerAt(path);
  const sizes = [0, 1, 15, 16, 1_023, 1_024, 65_536, MAX_PAYLOAD - 1, MAX_PAYLOAD];
  const payloads = [...sizes, ...sizes].map((size, i) => Buffer.alloc(size, i + 1));
  for (const payload of payloads) writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, payload);
  for (let i = 0; i < 1_000; i++) {
    writer.put(KINDS.stdin, DIRECTION.up, FATE.passed, 0, Buffer.from([i & 0xff]));
  }
  assert.throws(
    () => writer.put(KINDS.stdout, 2, 1, 0, Buffer.alloc(MAX_PAYLOAD + 1)),
    /too large/,
  );
  await writer.close({ reason: 'done' });
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  const records = await collect(file.records());
  const outputs = records.filter((record) => record.kind === KINDS.stdout);
  assert.deepEqual(
    outputs.map((record) => record.payload),
    payloads,
  );
  const report = await verifyTrail(path, keys);
  assert.equal(report.state, 'complete');
  assert.equal(report.stdin, 1_000);
});

test('a time and an offset are found by heads alone, in an ended trail and in an open one', async (t) => {
  const dir = tempDir(t);
  for (const open of [false, true]) {
    const path = join(dir, `${String(open)}.trail`);
    await sampleTrail(path, { rounds: 20, open });
    const file = await TrailFile.open(path);
    t.after(() => file.close());
    const blocks = await headsOf(file);
    for (const head of blocks) {
      assert.equal(await file.locate({ us: head.firstUs }), head.position);
    }
    const last = blocks.at(-1);
    assert.ok(last);
    for (let offset = 0; offset <= last.stdout; offset++) {
      const want = blocks.findLast((head) => head.stdout <= offset);
      assert.equal(await file.locate({ stream: 'stdout', offset }), want?.position);
    }
    assert.equal(await file.locate({ us: -1 }), 0);
  }
});

test('a payload that looks like a block at its very place does not mislead the search', async (t) => {
  const dir = tempDir(t);
  const inner = join(dir, 'inner.trail');
  await sampleTrail(inner);
  const forged = await readFile(inner);
  const path = join(dir, 'a.trail');
  const writer = writerAt(path);
  for (let i = 0; i < 50; i++) writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, forged);
  await writer.close({ reason: 'done' });
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  const heads = await headsOf(file);
  for (const head of heads) assert.equal(await file.locate({ us: head.firstUs }), head.position);
  assert.equal((await verifyTrail(path, keys)).state, 'complete');
});
