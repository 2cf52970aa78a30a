/**
 * The evidence bundle has every file that crossed, under an id and not under a peer's name, equal to what the client and
 * the target have; its own instructions find one that is changed, missing or added.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { areTrailsGood, isFoundGood } from '../support/bundle.ts';
import { eventually } from '../support/eventually.ts';
import { sftp } from '../support/file-clients.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { startSite } from '../support/site.ts';
import { tempDir } from '../support/tempdir.ts';

interface Line {
  readonly name: string | null;
  readonly path: string;
  readonly direction: string;
  readonly sha256: string | null;
  readonly sha256_moved: string | null;
  readonly extents: readonly { offset: number; length: number }[];
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('a bundle has the files that crossed, and tells when they are not those', async (t) => {
  if (!hasOpenSsh()) return;
  const site = await startSite(t);
  const local = tempDir(t);
  const remote = `/tmp/sp-bundle-${randomBytes(6).toString('hex')}`;
  const whole = randomBytes(700_001);
  const odd = join(local, 'a\nb \u001b[31m');
  writeFileSync(odd, whole);
  writeFileSync(join(local, 'empty'), '');
  writeFileSync(join(local, 'begin'), whole.subarray(0, 300_000));
  const { code, stderr } = await sftp(site.to, [
    `mkdir ${remote}`,
    `put ${local}/a* ${remote}/one`,
    `put ${local}/empty ${remote}/empty`,
    `put ${local}/begin ${remote}/part`,
    `reput ${local}/a* ${remote}/part`,
    `get ${remote}/part ${local}/back`,
    `rm ${remote}/*`,
    `rmdir ${remote}`,
  ]);
  assert.equal(code, 0, stderr.toString());
  await eventually('the end of the connection', async () => {
    const [first] = await site.gate.connections();
    return first?.['status'] === 'DISCONNECTED';
  });
  await site.gate.stop();
  const bundle = join(tempDir(t), 'evidence');
  assert.match(await site.gate.text(['export', 'newest', bundle]), /, 5 transferred; 3 complete$/m);

  const text = readFileSync(join(bundle, 'files.jsonl'), 'utf8');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const told = lines.map(({ path, direction }) => `${direction} ${path.replace(remote, '')}`);
  assert.deepEqual(told, [
    'upload /one',
    'upload /empty',
    'upload /part',
    'upload /part',
    'download /part',
  ]);
  const contents = [
    whole,
    Buffer.alloc(0),
    whole.subarray(0, 300_000),
    whole.subarray(300_000),
    whole,
  ];
  for (const [i, { name, sha256, sha256_moved }] of lines.entries()) {
    const content = contents[i] ?? Buffer.alloc(0);
    assert.ok(name && readFileSync(join(bundle, name)).equals(content), told[i]);
    assert.equal(sha256 ?? sha256_moved, hashOf(content));
  }
  assert.ok(lines[3]?.sha256_moved);
  assert.equal(await isFoundGood(bundle), true);

  const first = join(bundle, lines[0]?.name ?? '');
  writeFileSync(first, whole.subarray(1));
  assert.equal(await areTrailsGood(bundle), false, 'a changed file is not seen');
  renameSync(first, join(bundle, 'away'));
  assert.equal(await areTrailsGood(bundle), false, 'a missing file is not seen');
  writeFileSync(first, whole);
  assert.equal(await areTrailsGood(bundle), true);
  writeFileSync(join(bundle, 'files', 'planted'), 'planted');
  assert.equal(await areTrailsGood(bundle), false, 'a planted file is not seen');
  rmSync(join(bundle, 'files', 'planted'));
  assert.equal(await areTrailsGood(bundle), true);
  assert.equal(readdirSync(join(bundle, 'files')).length, 5);
});
