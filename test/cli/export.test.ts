/**
 * An evidence bundle stands by itself: carried elsewhere, its own instructions verify it with Python and openssl alone,
 * and a byte that is changed, a trail that is missing or a stranger's is found.
 */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { areTrailsGood, isFoundGood } from '../support/bundle.ts';
import { eventually } from '../support/eventually.ts';
import { inventoryOf, startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { ssh, sshInPty } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';

interface Place {
  readonly gate: Gate;
  readonly to: Endpoint;
}

async function place(t: TestContext): Promise<Place> {
  const target = await startOpenSsh(t);
  const key = await makeKey(t);
  const inventory = inventoryOf({ name: 'alice', key }, [{ name: 'db1', target }]);
  const gate = await startGate(t, { inventory });
  return { gate, to: gate.endpoint(`alice@${target.user}@db1`, { key: key.path }) };
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();
}

test(
  'a bundle is verified elsewhere by its own instructions',
  { skip: !hasOpenSsh() },
  async (t) => {
    const { gate, to } = await place(t);
    await sshInPty(to, undefined, {
      steps: [{ expect: '$' }, { send: 'echo ab""cd\r' }, { expect: 'abcd' }, { send: 'exit\r' }],
    });
    const other = join(tempDir(t), 'other');
    await gate.text(['export', 'newest', other]);
    await ssh(to, 'echo out; echo err >&2');
    const made = join(tempDir(t), 'made/here');
    const row = await eventually('the end of the connection', async () => {
      const [newest] = await gate.connections();
      return newest?.['status'] === 'DISCONNECTED' ? newest : undefined;
    });
    // Its ledger is signed within a second.
    await eventually('the signature of the ledger', async () => {
      const early = join(tempDir(t), 'early');
      await gate.cli(['export', String(row['id']), early]);
      return areTrailsGood(early);
    });
    await gate.stop();
    const said = await gate.text(['export', String(row['id']), made]);
    assert.match(said, /README\.txt/);
    const bundle = join(tempDir(t), 'elsewhere');
    cpSync(made, bundle, { recursive: true });
    // Nothing of the gate is left to lean on.
    rmSync(gate.dir, { recursive: true });

    const names = filesOf(bundle).map((name) => name.replace(/[0-9a-f-]{36,64}/, 'ID'));
    assert.deepEqual(names, [
      'README.txt',
      'SHA256SUMS',
      'bundle-check.py',
      'cast/0.cast',
      'files.jsonl',
      'jsonl/0.jsonl',
      'jsonl/connection.jsonl',
      'keys/ID.pub',
      'ledgers/ID.trail',
      'text/0.txt',
      'trail-reader.py',
      'trails/0.trail',
      'trails/connection.trail',
    ]);
    const text = readFileSync(join(bundle, 'text/0.txt'), 'utf8');
    assert.deepEqual(text.trim().split('\n').sort(), ['out', 'stderr: err']);
    assert.match(readFileSync(join(other, 'text/0.txt'), 'utf8'), /^abcd$/m);
    assert.equal(await isFoundGood(bundle), true);
    for (const name of filesOf(bundle)) assert.equal(statSync(join(bundle, name)).mode & 0o077, 0);

    for (const name of filesOf(bundle)) {
      if (name === 'README.txt' || name === 'SHA256SUMS' || name.endsWith('.py')) continue;
      if (statSync(join(bundle, name)).size === 0) continue;
      const path = join(bundle, name);
      const bytes = readFileSync(path);
      const flipped = Buffer.from(bytes);
      const at = Math.floor(bytes.length / 2);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      writeFileSync(path, flipped);
      assert.equal(await isFoundGood(bundle), false, `a flipped byte of ${name} is not seen`);
      if (name.startsWith('trails/')) assert.equal(await areTrailsGood(bundle), false, name);
      writeFileSync(path, bytes);
    }
    const trail = join(bundle, 'trails/0.trail');
    renameSync(trail, join(bundle, 'kept'));
    assert.equal(await areTrailsGood(bundle), false, 'a missing channel is not seen');
    copyFileSync(join(other, 'trails/0.trail'), trail);
    assert.equal(await areTrailsGood(bundle), false, 'the channel of another is not seen');
    renameSync(join(bundle, 'kept'), trail);
    assert.equal(await areTrailsGood(bundle), true);
    const [ledger = ''] = readdirSync(join(bundle, 'ledgers'));
    const [otherLedger = ''] = readdirSync(join(other, 'ledgers'));
    assert.equal(ledger, otherLedger);
    // Copied before this connection began: it does not know it.
    copyFileSync(join(other, 'ledgers', ledger), join(bundle, 'ledgers', ledger));
    assert.equal(await areTrailsGood(bundle), false, 'a ledger that knows nothing is not seen');
  },
);

test('what is in the way is refused, and what is damaged is exported and said', async (t) => {
  if (!hasOpenSsh()) return;
  const { gate, to } = await place(t);
  await ssh(to, 'echo hello');
  const [row] = await gate.connections();
  const id = String(row?.['id']);
  await gate.stop();
  const folder = tempDir(t);
  const full = join(folder, 'full');
  mkdirSync(full);
  writeFileSync(join(full, 'mine'), 'mine');
  const link = join(folder, 'link');
  symlinkSync(folder, link);
  for (const path of [full, link, join(full, 'mine')]) {
    const { code, stderr } = await gate.cli(['export', id, path]);
    assert.equal(code, 1, path);
    assert.match(stderr.toString(), /^sallyport: cannot export to [^\n]+\n$/);
  }
  assert.deepEqual(readdirSync(full), ['mine']);

  const empty = join(folder, 'empty');
  mkdirSync(empty);
  assert.match(await gate.text(['export', id, empty]), /3 complete/);
  assert.equal(await isFoundGood(empty), true);

  const day = readdirSync(join(gate.dir, 'recordings')).find((name) => name.startsWith('2')) ?? '';
  const trail = join(gate.dir, 'recordings', day, id, '0.trail');
  const bytes = readFileSync(trail);
  bytes[bytes.length - 300] = (bytes[bytes.length - 300] ?? 0) ^ 1;
  writeFileSync(trail, bytes);
  const damaged = join(folder, 'damaged');
  const { code, stderr } = await gate.cli(['export', id, damaged]);
  assert.equal(code, 1);
  assert.match(stderr.toString(), /^sallyport: exported as it is.*trails\/0\.trail is bad\n$/);
  assert.match(readFileSync(join(damaged, 'README.txt'), 'utf8'), /trails\/0\.trail {2}bad/);
  assert.deepEqual(readFileSync(join(damaged, 'trails/0.trail')), bytes);
  assert.equal(await areTrailsGood(damaged), false);
  rmSync(trail);
  const missing = join(folder, 'missing');
  const told = await gate.cli(['export', id, missing]);
  assert.equal(told.code, 1, 'a missing channel is exported as if nothing were missing');
  assert.match(told.stderr.toString(), /trails\/0\.trail is bad/);
  assert.equal(await areTrailsGood(missing), false);
});

test('trails that were exchanged or cut back are told, though each is signed', async (t) => {
  if (!hasOpenSsh()) return;
  const { gate, to } = await place(t);
  const folder = tempDir(t);
  await ssh(to, 'echo one');
  await ssh(to, 'echo another');
  await gate.stop();
  const [second = '', first = ''] = (await gate.connections()).map(({ id }) => String(id));
  const recordings = join(gate.dir, 'recordings');
  const day = readdirSync(recordings).find((name) => name.startsWith('2')) ?? '';
  const trailOf = (id: string): string => join(recordings, day, id, '0.trail');
  const own = readFileSync(trailOf(first));

  writeFileSync(trailOf(first), readFileSync(trailOf(second)));
  const exchanged = join(folder, 'exchanged');
  const told = await gate.cli(['export', first, exchanged]);
  assert.equal(told.code, 1);
  assert.match(told.stderr.toString(), /trails\/0\.trail is bad/);
  assert.equal(await areTrailsGood(exchanged), false);
  writeFileSync(trailOf(first), own);

  // Its last block, the signed end, is gone.
  const connectionTrail = join(recordings, day, first, 'connection.trail');
  const whole = readFileSync(connectionTrail);
  const end = whole.lastIndexOf(whole.subarray(0, 4));
  await gate.serve();
  writeFileSync(connectionTrail, whole.subarray(0, end));
  const cut = join(folder, 'cut');
  const cutBack = await gate.cli(['export', first, cut]);
  assert.equal(cutBack.code, 1);
  assert.match(cutBack.stderr.toString(), /trails\/connection\.trail is (bad|cut)/);
  assert.equal(await areTrailsGood(cut), false);
  writeFileSync(connectionTrail, whole);

  rmSync(trailOf(first));
  symlinkSync(trailOf(second), trailOf(first));
  const linked = join(folder, 'linked');
  const byLink = await gate.cli(['export', first, linked]);
  assert.equal(byLink.code, 1);
  assert.match(byLink.stderr.toString(), /trails\/0\.trail is bad/);
  assert.equal(await areTrailsGood(linked), false);
  const verified = await gate.cli(['trail', 'verify']);
  assert.equal(verified.code, 1);
  assert.match(verified.stdout.toString(), /^bad .*0\.trail .*is a link/m);
});
