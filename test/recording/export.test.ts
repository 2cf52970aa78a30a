/** Exports give back what was recorded: exact bytes, every event, resizes and exit among them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { exportCast } from '../../src/recording/export-cast.ts';
import { EXPORT_FORMATS, exportTrail } from '../../src/recording/export.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { tempDir } from '../support/tempdir.ts';
import { collect, writerAt } from './sample.ts';

const { up, down } = DIRECTION;
const { passed, withheld } = FATE;

function request(type: string, fill: (writer: Writer) => Writer = (writer) => writer): Buffer {
  return fill(new Writer().uint8(98).uint32(0).string(type).boolean(false)).done();
}

function size(writer: Writer, columns: number, rows: number): Writer {
  return writer.uint32(columns).uint32(rows).uint32(0).uint32(0);
}

/** A shell of a few events; `é` and an emoji are split between records. */
async function shell(t: TestContext): Promise<TrailFile> {
  const path = join(tempDir(t), '0.trail');
  const writer = writerAt(path);
  const emoji = Buffer.from('🛡');
  const pty = request('pty-req', (w) => size(w.string('xterm-256color'), 120, 40).string(''));
  writer.put(KINDS['forward-request'], up, passed, 0, pty);
  writer.put(
    KINDS['forward-request'],
    up,
    passed,
    0,
    request('exec', (w) => w.string('caf\xe9 \x1b[m')),
  );
  writer.put(KINDS['reverse-reply'], down, passed, 0, Buffer.from([99, 0, 0, 0, 0]));
  writer.put(KINDS.stdin, up, passed, 0, Buffer.from('ls\r'));
  writer.put(KINDS.stdout, down, passed, 0, Buffer.concat([Buffer.from('a\xc3', 'latin1')]));
  writer.put(KINDS.stderr, down, passed, 0, emoji.subarray(0, 2));
  writer.put(KINDS.stdout, down, passed, 0, Buffer.from([0xa9, 0x0a, 0xff]));
  writer.put(KINDS.stdout, down, withheld, 1, Buffer.from('never shown'));
  writer.put(KINDS.stderr, down, passed, 0, emoji.subarray(2));
  writer.put(
    KINDS['forward-request'],
    up,
    passed,
    0,
    request('window-change', (w) => size(w, 100, 30)),
  );
  writer.put(
    KINDS['reverse-request'],
    down,
    passed,
    0,
    request('exit-status', (w) => w.uint32(3)),
  );
  writer.put(KINDS.eof, down, passed, 0, Buffer.from([96, 0, 0, 0, 0]));
  writer.put(KINDS['forward-request'], up, passed, 0, Buffer.from([98, 0, 0]));
  writer.put(KINDS.note, 0, FATE.made, 0, Buffer.from('{"text":"hello"}'));
  await writer.close({ reason: 'exit 3' });
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  return file;
}

async function exported(file: TrailFile, format: string): Promise<Buffer> {
  return Buffer.concat(await collect(exportTrail(file, format)));
}

async function jsonLines(output: AsyncIterable<Buffer>): Promise<unknown[]> {
  const text = Buffer.concat(await collect(output)).toString();
  return text
    .trimEnd()
    .split('\n')
    .map((json) => JSON.parse(json) as unknown);
}

test('raw gives the exact bytes of each stream, without what was withheld', async (t) => {
  const file = await shell(t);
  assert.equal((await exported(file, 'raw-stdin')).toString(), 'ls\r');
  const stdout = Buffer.concat([Buffer.from('aé\n'), Buffer.from([0xff])]);
  assert.deepEqual(await exported(file, 'raw-stdout'), stdout);
  assert.deepEqual(await exported(file, 'raw-stderr'), Buffer.from('🛡'));
});

test('jsonl has one object per record, with time, fate, bytes and fields', async (t) => {
  const file = await shell(t);
  const lines = (await jsonLines(exportTrail(file, 'jsonl'))) as Record<string, unknown>[];
  const records = await collect(file.records());
  assert.equal(lines.length, records.length);
  for (const [i, line] of lines.entries()) {
    assert.equal(line['ordinal'], i);
    assert.match(String(line['ts']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.deepEqual(Buffer.from(String(line['data']), 'base64'), records[i]?.payload);
  }
  assert.equal(lines[0]?.['type'], 'header');
  assert.deepEqual(lines[1]?.['fields'], {
    type: 'pty-req',
    wantReply: false,
    term: 'xterm-256color',
    columns: 120,
    rows: 40,
    width: 0,
    height: 0,
    modes: '',
  });
  const command = { type: 'exec', wantReply: false, command: 'café \\x1b[m' };
  assert.deepEqual(lines[2]?.['fields'], command);
  assert.deepEqual(lines[3]?.['fields'], { success: true });
  assert.deepEqual(
    { type: lines[8]?.['type'], fate: lines[8]?.['fate'], code: lines[8]?.['code'] },
    { type: 'stdout', fate: 'withheld', code: 1 },
  );
  assert.deepEqual(lines[10]?.['fields'], {
    type: 'window-change',
    wantReply: false,
    columns: 100,
    rows: 30,
    width: 0,
    height: 0,
  });
  assert.deepEqual(lines[11]?.['fields'], { type: 'exit-status', wantReply: false, status: 3 });
  assert.ok('undecoded' in (lines[13]?.['fields'] as object));
  assert.deepEqual(lines[14]?.['fields'], { text: 'hello' });
  assert.deepEqual(lines[15]?.['fields'], { checkpoint: 'final', reason: 'exit 3' });
});

test('hex is printable, and its offsets count through a stream', async (t) => {
  const text = (await exported(await shell(t), 'hex')).toString('latin1');
  assert.match(text, /^[\x20-\x7e\n]*$/);
  assert.match(text, /#4 .* -> stdin passed, 3 bytes\n00000000 {2}6c 73 0d {2,}\|ls\.\|\n/);
  assert.match(text, /#7 .* <- stdout passed, 3 bytes\n00000002 {2}a9 0a ff {2,}\|\.\.\.\|\n/);
  assert.match(text, /#8 .* withheld code 1, 11 bytes/);
  assert.match(text, /"status":3/);
});

test('cast is asciicast v2 with size, resizes, whole characters and the exit', async (t) => {
  const [header, ...events] = await jsonLines(exportTrail(await shell(t), 'cast'));
  assert.deepEqual(header, {
    version: 2,
    width: 120,
    height: 40,
    timestamp: 1_700_000_000,
    env: { TERM: 'xterm-256color' },
  });
  const timeless = events.map((event) => (event as unknown[]).slice(1));
  assert.deepEqual(timeless, [
    ['o', 'a'],
    ['o', 'é\n\ufffd'],
    ['o', '🛡'],
    ['r', '100x30'],
    ['m', 'exit 3'],
  ]);
  const times = events.map((event) => Number((event as unknown[])[0]));
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  assert.equal(times[0], 0.005);
});

test('cast shows what was typed only when asked', async (t) => {
  const events = await jsonLines(exportCast(await shell(t), { input: true }));
  assert.ok(events.some((event) => JSON.stringify(event) === '[0.004,"i","ls\\r"]'));
});

test('a trail without a terminal is a cast too, and hostile sizes are bounded', async (t) => {
  const path = join(tempDir(t), '0.trail');
  const writer = writerAt(path);
  const joke = request('window-change', (w) => size(w, 0xffffffff, 0));
  writer.put(KINDS.stdout, down, passed, 0, Buffer.from('hi'));
  writer.put(KINDS['forward-request'], up, passed, 0, joke);
  writer.put(
    KINDS['reverse-request'],
    down,
    passed,
    0,
    request('exit-signal', (w) => w.string('TERM').boolean(false).string('').string('')),
  );
  await writer.close({ reason: 'signal TERM' });
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  const lines = await jsonLines(exportTrail(file, 'cast'));
  assert.deepEqual((lines[0] as Record<string, unknown>)['width'], 80);
  assert.deepEqual((lines[2] as unknown[]).slice(1), ['r', '10000x24']);
  assert.deepEqual((lines[3] as unknown[]).slice(1), ['m', 'signal TERM']);
});

test('every format exports an open trail as far as it is there; an unknown one is refused', async (t) => {
  const path = join(tempDir(t), '0.trail');
  const writer = writerAt(path);
  await writer.whenWritten(writer.put(KINDS.stdout, down, passed, 0, Buffer.from('so far')));
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  for (const format of EXPORT_FORMATS) await exported(file, format);
  assert.equal((await exported(file, 'raw-stdout')).toString(), 'so far');
  assert.throws(() => exportTrail(file, 'exe'), /unknown format/);
  await writer.close({ reason: 'done' });
});
