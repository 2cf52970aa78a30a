/** C2, C3: paths come from ids alone, stay below the root, and no symbolic link is followed. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { Storage } from '../../src/recording/storage.ts';
import { tempDir } from '../support/tempdir.ts';
import { collect } from './sample.ts';

test('a connection lies under the day of its id, private to its owner', async (t) => {
  const storage = new Storage(join(tempDir(t), 'recordings'));
  const id = newUuid(Date.UTC(2026, 1, 28, 23, 59));
  await storage.prepareConnection(id);
  await storage.prepareConnection(id);
  assert.equal(relative(storage.root, storage.connectionFolder(id)), `2026-02-28/${id}`);
  assert.equal(statSync(storage.connectionFolder(id)).mode & 0o777, 0o700);
  writeFileSync(storage.connectionPath(id), '');
  for (const channel of [10, 2, 0]) writeFileSync(storage.channelPath(id, channel), '');
  writeFileSync(join(storage.connectionFolder(id), '01.trail'), '');
  assert.deepEqual(await storage.channels(id), [0, 2, 10]);
  assert.deepEqual(await storage.strangersOf(id), ['01.trail']);
  assert.deepEqual(await collect(storage.connections()), [id]);
});

test('what is no id is no path', () => {
  const storage = new Storage('/nowhere');
  const id = newUuid(0);
  const wrong = ['', '..', '../x', `${id}/..`, id.toUpperCase(), `${id}\0`, `${id}\n`, id.slice(1)];
  for (const text of wrong) {
    assert.throws(() => storage.connectionPath(text), /not the id/);
    assert.throws(() => storage.ledgerPath(text), /not the id/);
  }
  // A UUID of another version has no time, and one beyond the year 9999 no day.
  assert.throws(() => storage.connectionPath(id.slice(0, 14) + '4' + id.slice(15)), /not the id/);
  assert.throws(() => storage.connectionPath('ffffffff-ffff-7fff-8fff-ffffffffffff'), /not the id/);
  for (const channel of [-1, 0.5, Number.NaN, 1e9, Number.POSITIVE_INFINITY]) {
    assert.throws(() => storage.channelPath(id, channel), /no channel/);
  }
});

test('a link in the place of any folder or file is refused', async (t) => {
  const dir = tempDir(t);
  const id = newUuid(Date.now());
  const real = new Storage(join(dir, 'real'));
  await real.prepareConnection(id);
  writeFileSync(real.connectionPath(id), '');
  const day = relative(real.root, join(real.connectionFolder(id), '..'));
  const storage = new Storage(join(dir, 'recordings'));
  const links: [string, string][] = [
    [storage.root, real.root],
    [join(storage.root, day), join(real.root, day)],
    [storage.connectionFolder(id), real.connectionFolder(id)],
  ];
  for (const [from, to] of links) {
    mkdirSync(join(from, '..'), { recursive: true });
    symlinkSync(to, from);
    await assert.rejects(storage.prepareConnection(id), /not a folder/);
    rmSync(from);
  }
  await storage.prepareConnection(id);
  symlinkSync(real.connectionPath(id), storage.connectionPath(id));
  await assert.rejects(TrailFile.open(storage.connectionPath(id)), /cannot read the trail/);
  await assert.rejects(TrailFile.open(storage.connectionFolder(id)), /not a regular file/);
});
