/**
 * The format document is true: `etc/trail-reader.py`, written from it alone, reads what we write, record for record,
 * and comes to our verdict on good and on damaged files.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import { FATE, KINDS, fateName, kindName } from '../../src/recording/container.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { recoverContainer } from '../../src/recording/recover-container.ts';
import { verifyTrail } from '../../src/recording/verify-trail.ts';
import { WriteGate } from '../../src/recording/write-gate.ts';
import { rounds, seeded } from '../support/scale.ts';
import { tempDir } from '../support/tempdir.ts';
import { collect, key, keys, sampleTrail, writerAt } from './sample.ts';

const READER = join(import.meta.dirname, '../../etc/trail-reader.py');

function python(args: readonly string[]): Promise<{ code: number; lines: string[] }> {
  return new Promise((resolve, reject) => {
    execFile('python3', [READER, ...args], { maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      if (stderr !== '') reject(new Error(stderr));
      else resolve({ code: error ? 1 : 0, lines: stdout.trimEnd().split('\n') });
    });
  });
}

async function ours(path: string): Promise<string[]> {
  const file = await TrailFile.open(path);
  try {
    return (await collect(file.records())).map((record) =>
      [
        record.ordinal,
        record.us,
        kindName(record.kind),
        ['-', 'u', 'd'][record.direction],
        fateName(record.fate),
        record.code,
        record.payload.toString('hex') || '-',
      ].join(' '),
    );
  } finally {
    await file.close();
  }
}

test('every record is read alike, and the verdict and digest are the same', async (t) => {
  const dir = tempDir(t);
  const pub = join(dir, 'signing.pub');
  await writeFile(pub, key.publicPem());
  const path = join(dir, 'kinds.trail');
  const writer = writerAt(path);
  for (const kind of Object.values(KINDS)) {
    if (kind <= KINDS.checkpoint) continue;
    writer.put(kind, kind % 3, [1, 2, 3, 4][kind % 4] ?? FATE.made, kind, Buffer.alloc(kind, kind));
  }
  for (let i = 0; i < 600; i++) writer.put(KINDS.stdout, 2, 1, 0, Buffer.alloc(i * 37, i));
  await writer.close({ reason: 'exit 0' });
  await sampleTrail(join(dir, 'rounds.trail'));
  await sampleTrail(join(dir, 'crashed.trail'), { open: true });
  const instance = newUuid(Date.now());
  const gate = new WriteGate();
  const wallUs = (): number => Date.now() * 1_000;
  const common = { keys, key, instance, gate, wallUs, reason: 'crashed', expect: () => true };
  await recoverContainer({ ...common, path: join(dir, 'crashed.trail') });
  for (const name of ['kinds', 'rounds', 'crashed']) {
    const file = join(dir, `${name}.trail`);
    const { code, lines } = await python(['--key', pub, file]);
    const report = await verifyTrail(file, keys);
    assert.equal(
      lines.pop(),
      `${file}: ${report.state}, ${report.records} records, digest ${report.digest}`,
    );
    assert.deepEqual(lines, await ours(file));
    assert.equal(code, 0);
    assert.equal((await python(['--quiet', file])).code, 1, 'without a key nothing is good');
  }
});

test('damaged, cut and foreign files get the same verdict', async (t) => {
  const random = seeded(t.name);
  const dir = tempDir(t);
  const pub = join(dir, 'signing.pub');
  await writeFile(pub, key.publicPem());
  await sampleTrail(join(dir, 'whole.trail'));
  const whole = await readFile(join(dir, 'whole.trail'));
  const files: string[] = [];
  for (let i = 0; i < rounds(2_000); i++) {
    const path = join(dir, `${i}.trail`);
    const bytes = Buffer.from(whole);
    const at = random.int(0, bytes.length - 1);
    bytes[at] = (bytes[at] ?? 0) ^ random.int(1, 255);
    await writeFile(path, i % 2 ? bytes : whole.subarray(0, at));
    files.push(path);
  }
  const { code, lines } = await python(['--quiet', '--key', pub, ...files]);
  assert.equal(code, 1);
  for (const [i, path] of files.entries()) {
    const { state } = await verifyTrail(path, keys);
    const line = lines[i]?.slice(path.length + 2) ?? '';
    assert.ok(line.startsWith(state), `${state} against ${line}`);
  }
});

test('the independent reader stays short enough to be read', async () => {
  assert.ok((await readFile(READER, 'utf8')).split('\n').length <= 150);
});
