/**
 * P2, P3, R01: after a crash every whole block is kept, the torn tail is cut and told, and a second recovery, or one
 * after a crash in the middle of the first, comes to the same end.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, readFile, truncate, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import { readBlockHead } from '../../src/recording/container.ts';
import { recoverContainer } from '../../src/recording/recover-container.ts';
import type { RecoveredContainer } from '../../src/recording/recover-container.ts';
import type { RecoveredConnection } from '../../src/recording/recovery.ts';
import { recover } from '../../src/recording/recovery.ts';
import type { Ledger } from '../../src/recording/ledger.ts';
import { Storage } from '../../src/recording/storage.ts';
import { recoveredDetail, verifyTrail } from '../../src/recording/verify-trail.ts';
import { WriteGate } from '../../src/recording/write-gate.ts';
import { rounds, seeded } from '../support/scale.ts';
import { tempDir } from '../support/tempdir.ts';
import { endConnection, startConnection, startInstance, verdicts, wallUs } from './instance.ts';
import { headsOf, key, keys, sampleTrail } from './sample.ts';
import { diskFs } from '../../src/recording/trail-fs.ts';
import { TrailFile } from '../../src/recording/reader.ts';

const gate = new WriteGate();

function recoverFile(path: string): Promise<RecoveredContainer> {
  const instance = newUuid(Date.now());
  return recoverContainer({
    path,
    keys,
    key,
    instance,
    wallUs,
    gate,
    reason: 'crashed',
    expect: () => true,
  });
}

test('a file cut at every length is recovered with all whole blocks kept', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  await sampleTrail(join(dir, 'whole.trail'), { open: true, rounds: 2 });
  const bytes = await readFile(join(dir, 'whole.trail'));
  const whole = await TrailFile.open(join(dir, 'whole.trail'));
  const heads = await headsOf(whole);
  await whole.close();
  for (let length = 0; length <= bytes.length; length++) {
    await writeFile(path, bytes.subarray(0, length));
    const kept = heads.filter((head) => head.position + head.length <= length);
    const { outcome, digest } = await recoverFile(path);
    if (kept.length === 0) {
      assert.equal(outcome, 'absent', `cut at ${length}`);
      assert.ok(!existsSync(path));
      continue;
    }
    assert.equal(outcome, 'recovered', `cut at ${length}`);
    const report = await verifyTrail(path, keys);
    assert.equal(report.state, 'recovered', report.reason);
    assert.equal(report.digest, digest);
    const records = kept.reduce((sum, head) => sum + head.count, 0);
    assert.equal(report.records, records + 1);
    const detail = recoveredDetail.parse(report.lastCheckpoint?.checkpoint.detail);
    const keptBytes = kept.reduce((sum, head) => sum + head.length, 0);
    assert.equal(detail.tailBytes, length - keptBytes);
    const tail = createHash('sha256').update(bytes.subarray(keptBytes, length)).digest('hex');
    assert.equal(detail.tailSha256, tail);
    assert.equal(detail.recordsAfter, report.recordsAfterLastLive);
    const after = await readFile(path);
    assert.ok(after.subarray(0, keptBytes).equals(bytes.subarray(0, keptBytes)));
  }
});

test('recovery of what is recovered or complete changes nothing', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  await sampleTrail(path);
  const complete = await readFile(path);
  assert.equal((await recoverFile(path)).outcome, 'complete');
  assert.deepEqual(await readFile(path), complete);
  await truncate(path, complete.length - 1);
  const first = await recoverFile(path);
  const recovered = await readFile(path);
  const second = await recoverFile(path);
  assert.equal(second.outcome, 'recovered');
  assert.equal(second.digest, first.digest);
  assert.deepEqual(await readFile(path), recovered);
});

test('a crash anywhere in recovery leaves what a second one brings to the end', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  await sampleTrail(join(dir, 'open.trail'), { open: true });
  const open = await readFile(join(dir, 'open.trail'));
  // The final block is live; a tail longer than what recovery appends makes the worst order visible.
  const torn = Buffer.concat([open, open.subarray(0, 40), Buffer.alloc(3_000, 7)]);
  await writeFile(path, torn);
  await recoverFile(path);
  const recovered = await readFile(path);
  for (let written = 0; written <= recovered.length - open.length; written++) {
    // Recovery writes over the tail first and cuts what is longer afterwards.
    const middle = Buffer.from(torn);
    recovered.copy(middle, open.length, open.length, open.length + written);
    await writeFile(path, middle);
    assert.equal((await recoverFile(path)).outcome, 'recovered', `after ${written} bytes`);
    assert.equal((await verifyTrail(path, keys)).state, 'recovered', `after ${written} bytes`);
  }
});

test('damage before something signed is not cut away', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  await sampleTrail(path, { open: true });
  const bytes = await readFile(path);
  const second = readBlockHead(bytes).length;
  const at = second + readBlockHead(bytes.subarray(second)).length - 1;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
  assert.equal((await recoverFile(path)).outcome, 'damaged');
  assert.deepEqual(await readFile(path), bytes);
  assert.equal((await verifyTrail(path, keys)).state, 'bad');
});

test('zeros that a power loss leaves behind unsynced data are cut', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  await sampleTrail(path, { open: true });
  const bytes = await readFile(path);
  await writeFile(path, Buffer.concat([bytes, Buffer.alloc(5_000)]));
  assert.equal((await recoverFile(path)).outcome, 'recovered');
  assert.equal((await verifyTrail(path, keys)).state, 'recovered');
});

test('a file that is not the one that belongs there is not signed', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  await sampleTrail(path, { open: true });
  const before = await readFile(path);
  const recovered = await recoverContainer({
    path,
    keys,
    key,
    instance: newUuid(Date.now()),
    wallUs,
    gate,
    reason: 'crashed',
    expect: () => true,
    headerDigest: '0'.repeat(64),
  });
  assert.equal(recovered.outcome, 'damaged');
  assert.deepEqual(await readFile(path), before);
});

/** A folder as a crash leaves it: one connection ended, one with two channels open, one that never came to be. */
async function crashed(
  t: TestContext,
): Promise<{ storage: Storage; dead: string; open: string; absent: string }> {
  const storage = new Storage(join(tempDir(t), 'recordings'));
  const ledger = await startInstance(storage);
  await endConnection(ledger, await startConnection(storage, ledger, 1));
  const open = await startConnection(storage, ledger, 2);
  const absent = newUuid(Date.now());
  ledger.connectionStarted(absent, Buffer.alloc(32, 1));
  await ledger.flushed();
  return { storage, dead: ledger.instance, open: open.id, absent };
}

async function recoverAll(
  storage: Storage,
  ledger: Ledger,
  dead: readonly string[],
): Promise<RecoveredConnection[]> {
  const rows: RecoveredConnection[] = [];
  await recover({
    storage,
    keys,
    key,
    ledger,
    wallUs,
    isGone: (instance) => dead.includes(instance),
    onConnection: (row) => void rows.push(row),
  });
  return rows;
}

test('all that a dead instance left open is ended, and its rows are told', async (t) => {
  const { storage, dead, open, absent } = await crashed(t);
  assert.ok((await verdicts(storage, [])).some((report) => report.state === 'bad'));
  const ledger = await startInstance(storage);
  const rows = await recoverAll(storage, ledger, [dead]);
  assert.deepEqual(rows.map((row) => row.connection).sort(), [open, absent].sort());
  const row = rows.find(({ connection }) => connection === open);
  assert.equal(row?.outcome, 'recovered');
  assert.deepEqual(
    row.channels.map(({ channel, stdout, outcome }) => ({ channel, stdout, outcome })),
    [0, 1].map((channel) => ({ channel, stdout: 12, outcome: 'recovered' })),
  );
  assert.equal(rows.find(({ connection }) => connection === absent)?.outcome, 'absent');
  await ledger.close('stopped');
  const reports = await verdicts(storage, []);
  const wrong = reports.filter(({ state }) => state !== 'complete' && state !== 'recovered');
  assert.deepEqual(
    wrong.map(({ path, reason }) => `${path}: ${reason}`),
    [],
  );
  // Nothing is left to do for the next one.
  const next = await startInstance(storage);
  assert.deepEqual(await recoverAll(storage, next, [dead, ledger.instance]), []);
  await next.close('stopped');
});

test('an instance that may live is not touched', async (t) => {
  const { storage, dead } = await crashed(t);
  const ledger = await startInstance(storage);
  assert.deepEqual(await recoverAll(storage, ledger, []), []);
  await ledger.close('stopped');
  const states = (await verdicts(storage, [dead])).map(({ state }) => state);
  assert.ok(states.includes('open'));
  assert.ok(!states.includes('bad') && !states.includes('cut'));
});

test('a recovery that dies at any row is finished by the next start', async (t) => {
  const { storage, dead } = await crashed(t);
  for (const dieAt of [0, 1]) {
    const copy = new Storage(`${storage.root}-${dieAt}`);
    t.after(() => undefined);
    await cp(storage.root, copy.root, { recursive: true });
    const first = await startInstance(copy);
    let row = 0;
    const dies = recover({
      storage: copy,
      keys,
      key,
      ledger: first,
      wallUs,
      isGone: (instance) => instance === dead,
      onConnection: () => {
        if (row++ === dieAt) throw new Error('killed');
      },
    });
    await assert.rejects(dies, /killed/);
    await first.flushed();
    const second = await startInstance(copy);
    const rows = await recoverAll(copy, second, [dead, first.instance]);
    assert.equal(rows.length, 2);
    await second.close('stopped');
    const reports = await verdicts(copy, []);
    const wrong = reports.filter(({ state }) => state !== 'complete' && state !== 'recovered');
    assert.deepEqual(
      wrong.map(({ path, reason }) => `${path}: ${reason}`),
      [],
    );
  }
});

test('an old ledger is not ended before the notes about it are in the kernel', async (t) => {
  const { storage, dead } = await crashed(t);
  const held: (() => void)[] = [];
  const waiting = Promise.withResolvers<undefined>();
  let hold = false;
  const ledger = await startInstance(storage, {
    ...diskFs,
    write: (fd, bytes, offset, length, position, done) => {
      const write = (): void => diskFs.write(fd, bytes, offset, length, position, done);
      if (hold) {
        held.push(write);
        waiting.resolve(undefined);
      } else {
        write();
      }
    },
  });
  await ledger.flushed();
  hold = true;
  const recovery = recoverAll(storage, ledger, [dead]);
  await waiting.promise;
  // All file work of the recovery that does not wait for the ledger is done after some turns of the loop.
  for (let i = 0; i < 200; i++) await readFile(storage.ledgerPath(dead));
  const before = await verifyTrail(storage.ledgerPath(dead), keys);
  assert.notEqual(before.state, 'recovered');
  hold = false;
  for (const write of held) write();
  await recovery;
  assert.equal((await verifyTrail(storage.ledgerPath(dead), keys)).state, 'recovered');
  await ledger.close('stopped');
});

test('a ledger is not ended while a connection has no end, so recovery finds it', async (t) => {
  const storage = new Storage(join(tempDir(t), 'recordings'));
  const ledger = await startInstance(storage);
  const live = await startConnection(storage, ledger, 1);
  ledger.connectionEnded(live.id, { digest: '', channels: [], reason: 'recording-failed' });
  assert.equal(await ledger.close('stopped'), undefined);
  const next = await startInstance(storage);
  const rows = await recoverAll(storage, next, [ledger.instance]);
  assert.deepEqual(
    rows.map(({ connection }) => connection),
    [live.id],
  );
  await next.close('stopped');
  assert.ok((await verdicts(storage, [])).every(({ state }) => state !== 'bad' && state !== 'cut'));
});

test('a torn ledger and torn trails at random lengths always come to an end', async (t) => {
  const random = seeded(t.name);
  const { storage, dead, open } = await crashed(t);
  for (let round = 0; round < rounds(200); round++) {
    const copy = new Storage(`${storage.root}-${round}`);
    await cp(storage.root, copy.root, { recursive: true });
    // A killed process takes back nothing that it wrote: the connection's own file keeps its header.
    const own = await readFile(copy.connectionPath(open));
    await truncate(copy.connectionPath(open), random.int(readBlockHead(own).length, own.length));
    for (const channel of [0, 1]) {
      const path = copy.channelPath(open, channel);
      await truncate(path, random.int(0, (await readFile(path)).length));
    }
    const ledgerPath = copy.ledgerPath(dead);
    const { length } = await readFile(ledgerPath);
    await truncate(ledgerPath, length - random.int(0, 20));
    const next = await startInstance(copy);
    await recoverAll(copy, next, [dead]);
    await next.close('stopped');
    const reports = await verdicts(copy, []);
    const wrong = reports.filter(
      ({ state }) => state === 'cut' || state === 'bad' || state === 'open',
    );
    assert.deepEqual(
      wrong.map(({ path, reason }) => `${path}: ${reason}`),
      [],
    );
  }
});
