/**
 * P4, D1, D2, R20: a whole folder of recordings is held against its ledgers, so that what is missing, renamed, moved,
 * exchanged or brought in is seen, and a folder left alone raises no alarm.
 */
import assert from 'node:assert/strict';
import {
  cp,
  mkdir,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import {
  PublicKeys,
  SigningKey,
  createSigningKey,
  loadPublicKeys,
  loadSigningKey,
  rotateSigningKey,
} from '../../src/recording/seal.ts';
import { Storage } from '../../src/recording/storage.ts';
import { verifyDirectory, verifyFiles } from '../../src/recording/verify.ts';
import { tempDir } from '../support/tempdir.ts';
import { endConnection, startConnection, startInstance, verdicts } from './instance.ts';
import { keys, sampleTrail } from './sample.ts';

interface Folder {
  readonly storage: Storage;
  readonly instances: readonly string[];
  readonly connections: readonly string[];
}

/** Two instances after each other, each with two connections of two channels, all ended. */
async function folder(t: TestContext): Promise<Folder> {
  const storage = new Storage(join(tempDir(t), 'recordings'));
  const instances: string[] = [];
  const connections: string[] = [];
  for (let i = 0; i < 2; i++) {
    const ledger = await startInstance(storage);
    instances.push(ledger.instance);
    for (let j = 0; j < 2; j++) {
      const live = await startConnection(storage, ledger, 2);
      connections.push(live.id);
      await endConnection(ledger, live);
    }
    ledger.auditHead(1, 'a'.repeat(64));
    await ledger.close('stopped');
  }
  return { storage, instances, connections };
}

test('a folder left alone raises no alarm', async (t) => {
  const { storage } = await folder(t);
  await writeFile(join(storage.root, 'README.md'), 'about');
  const reports = await verdicts(storage, []);
  assert.equal(reports.length, 2 + 4 + 8);
  assert.deepEqual(
    reports.filter(({ state }) => state !== 'complete').map(({ path, reason }) => [path, reason]),
    [],
  );
});

test('whatever is taken away, brought in, exchanged or renamed is seen', async (t) => {
  const whole = await folder(t);
  const [first = '', second = '', third = ''] = whole.connections;
  const [instance = ''] = whole.instances;
  const deeds: Record<string, (storage: Storage) => Promise<unknown>> = {
    'a connection folder removed': (s) => rm(s.connectionFolder(first), { recursive: true }),
    'a connection file removed': (s) => unlink(s.connectionPath(first)),
    'a channel removed': (s) => unlink(s.channelPath(first, 1)),
    'an older ledger removed': (s) => unlink(s.ledgerPath(instance)),
    'all of an older instance removed': async (s) => {
      await unlink(s.ledgerPath(instance));
      await rm(s.connectionFolder(first), { recursive: true });
      await rm(s.connectionFolder(second), { recursive: true });
    },
    'two channels exchanged': async (s) => {
      await rename(s.channelPath(first, 0), join(s.root, 'x'));
      await rename(s.channelPath(first, 1), s.channelPath(first, 0));
      await rename(join(s.root, 'x'), s.channelPath(first, 1));
    },
    'a channel of another connection': (s) => cp(s.channelPath(second, 0), s.channelPath(first, 0)),
    'a channel too many': (s) => cp(s.channelPath(first, 0), s.channelPath(first, 7)),
    'a connection of another instance': async (s) => {
      await rm(s.connectionFolder(first), { recursive: true });
      await cp(s.connectionFolder(third), s.connectionFolder(first), { recursive: true });
    },
    'a folder renamed': (s) => rename(s.connectionFolder(first), renamed(s, first)),
    'a folder copied': (s) => cp(s.connectionFolder(first), renamed(s, first), { recursive: true }),
    'a ledger in the place of another': (s) =>
      cp(s.ledgerPath(whole.instances[1] ?? ''), s.ledgerPath(instance)),
    'a connection in the place of its channel': (s) =>
      cp(s.connectionPath(first), s.channelPath(first, 0)),
    'a foreign file': (s) => writeFile(join(s.connectionFolder(first), 'note.txt'), 'x'),
    'a foreign folder': (s) => mkdir(join(s.root, 'old')),
    'another signed trail in its place': async (s) => {
      await unlink(s.connectionPath(first));
      await sampleTrail(s.connectionPath(first));
    },
    'the end cut off': async (s) => {
      const bytes = await readFile(s.connectionPath(first));
      await writeFile(s.connectionPath(first), bytes.subarray(0, bytes.length - 1));
    },
  };
  let n = 0;
  for (const [deed, act] of Object.entries(deeds)) {
    const copy = new Storage(`${whole.storage.root}-${n++}`);
    await cp(whole.storage.root, copy.root, { recursive: true });
    await act(copy);
    for (const live of [[], whole.instances]) {
      const summary = await verifyDirectory(copy, { keys, live: new Set(live) });
      assert.equal(summary.ok, false, deed);
    }
  }
});

/** The same day and another id, as a name that looks right. */
function renamed(storage: Storage, connection: string): string {
  return storage.connectionFolder(
    `${connection.slice(0, -1)}${connection.endsWith('0') ? '1' : '0'}`,
  );
}

test('one connection can be verified, with the ledgers', async (t) => {
  const { storage, connections } = await folder(t);
  const [first = '', second = ''] = connections;
  await unlink(storage.channelPath(second, 0));
  const options = { keys, live: new Set<string>() };
  const good = await verifyDirectory(storage, { ...options, connection: first });
  assert.deepEqual(good, {
    ok: true,
    counts: { complete: 5, recovered: 0, open: 0, cut: 0, bad: 0 },
  });
  const bad = await verifyDirectory(storage, { ...options, connection: second });
  assert.equal(bad.ok, false);
  const unknown = { ...options, connection: newUuid(Date.now()) };
  await assert.rejects(verifyDirectory(storage, unknown), /no connection/);
});

test('open is right only while its instance lives', async (t) => {
  const storage = new Storage(join(tempDir(t), 'recordings'));
  const ledger = await startInstance(storage);
  const live = await startConnection(storage, ledger, 1);
  const alive = await verifyDirectory(storage, { keys, live: new Set([ledger.instance]) });
  assert.deepEqual({ ok: alive.ok, open: alive.counts.open }, { ok: true, open: 3 });
  assert.equal((await verifyDirectory(storage, { keys, live: new Set() })).ok, false);
  await endConnection(ledger, live);
  await ledger.close('stopped');
  assert.equal((await verifyDirectory(storage, { keys, live: new Set() })).ok, true);
});

test('trails that are still open cannot be exchanged either', async (t) => {
  const storage = new Storage(join(tempDir(t), 'recordings'));
  const ledger = await startInstance(storage);
  const a = await startConnection(storage, ledger, 2);
  const b = await startConnection(storage, ledger, 2);
  const c = await startConnection(storage, ledger, 0);
  const deeds: [string, string][] = [
    [storage.channelPath(a.id, 0), storage.channelPath(a.id, 1)],
    [storage.channelPath(a.id, 0), storage.channelPath(b.id, 0)],
    [storage.connectionPath(a.id), storage.connectionPath(b.id)],
    [storage.connectionPath(a.id), storage.channelPath(a.id, 0)],
  ];
  const options = { keys, live: new Set([ledger.instance]) };
  for (const [one, other] of deeds) {
    await exchange(one, other);
    assert.equal((await verifyDirectory(storage, options)).ok, false, `${one} and ${other}`);
    await exchange(one, other);
    assert.equal((await verifyDirectory(storage, options)).ok, true);
  }
  // A trail of ours with the same ids and another header is not the one that the ledger knows.
  const header = { container: 'connection', instance: ledger.instance, connection: c.id } as const;
  const rest = { channel: null, connectionHeader: '', data: { forged: true } };
  await unlink(storage.connectionPath(c.id));
  await sampleTrail(storage.connectionPath(c.id), { open: true, header: { ...header, ...rest } });
  assert.equal((await verifyDirectory(storage, options)).ok, false);
});

async function exchange(one: string, other: string): Promise<void> {
  await rename(one, `${one}.x`);
  await rename(other, one);
  await rename(`${one}.x`, other);
}

test('files are verified without their folder, channels against their connection', async (t) => {
  const { storage, connections } = await folder(t);
  const [first = '', second = ''] = connections;
  const own = [
    storage.connectionPath(first),
    storage.channelPath(first, 0),
    storage.channelPath(first, 1),
  ];
  assert.equal((await verifyFiles(own, keys)).counts.complete, 3);
  const open = join(tempDir(t), 'open.trail');
  await sampleTrail(open, { open: true });
  assert.equal((await verifyFiles([open], keys)).counts.cut, 1);
  assert.equal((await verifyFiles([open], keys, { allowOpen: true })).counts.open, 1);
  const stranger = new PublicKeys([new SigningKey(SigningKey.generatePem()).publicPem()]);
  assert.equal((await verifyFiles(own, stranger)).counts.bad, 3);
  await assert.rejects(verifyFiles([join(storage.root, second)], keys), /cannot read/);
});

test('old trails verify after the key was rotated, with the retired public key alone', async (t) => {
  const dir = tempDir(t);
  const first = await createSigningKey(dir);
  await assert.rejects(createSigningKey(dir), /EEXIST/);
  await sampleTrail(join(dir, 'old.trail'), { key: first });
  const second = await rotateSigningKey(dir);
  assert.notDeepEqual(second.id, first.id);
  await sampleTrail(join(dir, 'new.trail'), { key: second });
  const paths = [join(dir, 'old.trail'), join(dir, 'new.trail')];
  assert.equal((await verifyFiles(paths, await loadPublicKeys(dir))).counts.complete, 2);
  const newOnly = new PublicKeys([second.publicPem()]);
  assert.deepEqual((await verifyFiles(paths, newOnly)).counts.bad, 1);
});

test('without a private key that is ours alone there is no signer', async (t) => {
  const dir = tempDir(t);
  await assert.rejects(loadSigningKey(dir), /cannot use the signing key/);
  await createSigningKey(dir);
  const path = join(dir, 'signing.key');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const { chmod } = await import('node:fs/promises');
  await chmod(path, 0o640);
  await assert.rejects(loadSigningKey(dir), /chmod 600/);
  await chmod(path, 0o600);
  await writeFile(path, 'no key');
  await assert.rejects(loadSigningKey(dir), /cannot use the signing key/);
  assert.deepEqual((await readdir(dir)).sort(), ['retired', 'signing.key', 'signing.pub']);
});
