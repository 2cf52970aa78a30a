/**
 * P4, proof 4: recordings that a real gate made are changed in every way that a file or a folder can be, and the
 * verifier tells each time, by name; untouched ones never raise an alarm. The loops run the verifier in this process,
 * and the command itself is asked in a few cases of each kind.
 */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import { PublicKeys, SigningKey } from '../../src/recording/seal.ts';
import { Storage } from '../../src/recording/storage.ts';
import { verifyDirectory } from '../../src/recording/verify.ts';
import { figure } from '../support/figure.ts';
import { SALLYPORT } from '../support/gate.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { run } from '../support/process.ts';
import { rounds, scale, seeded } from '../support/scale.ts';
import { ManualScope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh, startSsh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { keysOf, storageOf, trailFiles } from '../support/trail-files.ts';

const SCENARIO = 'tamper';

suite('tamper', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let site: Site;
  let keys: PublicKeys;
  /** The recordings as the gate left them, and a copy to change. */
  let original: string;
  let copy: string;
  /** Of the first instance, with two channels; and of the second instance. */
  let first: string;
  let last: string;

  before(async () => {
    site = await startSite(scope);
    const { gate, to } = site;
    const control = join(tempDir(scope), 'c');
    const settings = [`ControlPath=${control}`];
    const master = startSsh(scope, to, 'echo master; cat', {
      settings: [...settings, 'ControlMaster=yes'],
    });
    await master.line(/master/);
    const shared = { settings: [...settings, 'ControlMaster=no'] };
    assert.equal((await ssh(to, 'echo shared >&2', shared)).code, 0);
    master.stdin?.end('typed\n');
    await master.exited;
    assert.equal((await ssh(to, 'echo a; exit 3')).code, 3);
    await gate.stop();
    await gate.serve();
    assert.equal((await ssh(to, 'echo b')).code, 0);
    await gate.stop();
    const rows = await gate.connections();
    const double = rows.find((row) => (row['channels'] as unknown[]).length === 2);
    first = String(double?.['id']);
    last = String(rows[0]?.['id']);
    original = storageOf(gate.dir).root;
    keys = await keysOf(gate.dir);
    copy = join(tempDir(scope), 'recordings');
  });

  /** The recordings as they were, in the copy. */
  const restore = (): Storage => {
    rmSync(copy, { recursive: true, force: true });
    cpSync(original, copy, { recursive: true });
    return new Storage(copy);
  };

  /** What the verifier says of the copy: the trails that are not good. */
  const alarms = async (by = keys): Promise<{ good: boolean; named: string[] }> => {
    const named: string[] = [];
    const summary = await verifyDirectory(new Storage(copy), {
      keys: by,
      live: new Set(),
      onReport: ({ state, path }) => {
        if (state !== 'complete' && state !== 'recovered') named.push(path);
      },
    });
    return { good: summary.ok && summary.counts.open === 0, named };
  };

  const isNamed = ({ good, named }: { good: boolean; named: string[] }, path: string): boolean =>
    !good && named.some((one) => one === path || one.startsWith(`${path}/`));

  test('every single-byte change is told, and where', { timeout: 3_600_000 }, async () => {
    const random = seeded('tamper');
    restore();
    const missed: string[] = [];
    let tried = 0;
    for (const path of trailFiles(copy)) {
      const bytes = readFileSync(path);
      const step = scale() === 1 ? 1 : Math.ceil(bytes.length / 60);
      for (let at = random.int(0, step - 1); at < bytes.length; at += step) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ (1 << random.int(0, 7));
        writeFileSync(path, changed);
        tried++;
        if (!isNamed(await alarms(), path)) missed.push(`${path} byte ${at}`);
      }
      writeFileSync(path, bytes);
    }
    const measured = `${tried - missed.length} of ${tried}`;
    figure({
      scenario: SCENARIO,
      what: 'single-byte changes detected',
      pass: '100 %',
      measured,
      ok: missed.length === 0,
    });
    assert.deepEqual(missed, []);
    assert.deepEqual(await alarms(), { good: true, named: [] });
  });

  test('every truncation and every extension is told', { timeout: 3_600_000 }, async () => {
    const random = seeded('truncation');
    restore();
    const missed: string[] = [];
    let tried = 0;
    for (const path of trailFiles(copy)) {
      const bytes = readFileSync(path);
      const step = scale() === 1 ? 1 : Math.ceil(bytes.length / 30);
      const lengths = [0, bytes.length - 1];
      for (let at = random.int(0, step - 1); at < bytes.length; at += step) lengths.push(at);
      for (const length of lengths) {
        writeFileSync(path, bytes.subarray(0, length));
        tried++;
        if (!isNamed(await alarms(), path)) missed.push(`${path} cut at ${length}`);
      }
      for (const more of [Buffer.alloc(1), random.bytes(300), bytes]) {
        writeFileSync(path, Buffer.concat([bytes, more]));
        tried++;
        if (!isNamed(await alarms(), path)) missed.push(`${path} with ${more.length} more`);
      }
      writeFileSync(path, bytes);
    }
    const measured = `${tried - missed.length} of ${tried}`;
    figure({
      scenario: SCENARIO,
      what: 'truncations and extensions detected',
      pass: '100 %',
      measured,
      ok: missed.length === 0,
    });
    assert.deepEqual(missed, []);
  });

  /** What can be done to whole files and folders: each returns the path that must be named. */
  const changes: Record<string, (storage: Storage) => string> = {
    'channels of one connection exchanged': (storage) => {
      const [a, b] = [storage.channelPath(first, 0), storage.channelPath(first, 1)];
      return exchange(a, b);
    },
    'channels of two connections exchanged': (storage) =>
      exchange(storage.channelPath(first, 0), storage.channelPath(last, 0)),
    'connections exchanged': (storage) =>
      exchange(storage.connectionPath(first), storage.connectionPath(last)),
    'folders of two connections exchanged': (storage) =>
      exchange(storage.connectionFolder(first), storage.connectionFolder(last)),
    'a channel removed': (storage) => remove(storage.channelPath(first, 1)),
    'a channel added': (storage) => {
      const path = storage.channelPath(first, 2);
      cpSync(storage.channelPath(first, 1), path);
      return path;
    },
    "a connection's own trail removed": (storage) => remove(storage.connectionPath(first)),
    'a connection removed': (storage) => remove(storage.connectionFolder(first)),
    'the newest connection removed': (storage) => remove(storage.connectionFolder(last)),
    'a connection under another name': (storage) => {
      const folder = storage.connectionFolder(first);
      renameSync(folder, storage.connectionFolder(newUuid(Date.now())));
      return folder;
    },
    'a connection copied under another name': (storage) => {
      const other = storage.connectionFolder(newUuid(Date.now()));
      mkdirSync(dirname(other), { recursive: true });
      cpSync(storage.connectionFolder(first), other, { recursive: true });
      return other;
    },
    'a connection under another day': (storage) => {
      const folder = storage.connectionFolder(first);
      const day = join(storage.root, '2001-01-01');
      mkdirSync(day);
      renameSync(folder, join(day, basename(folder)));
      return folder;
    },
    'the older ledger removed': (storage) => remove(ledgers(storage)[0] ?? ''),
    'the ledgers exchanged': (storage) => {
      const [a = '', b = ''] = ledgers(storage);
      return exchange(a, b);
    },
    'a file that is no trail': (storage) => {
      const path = join(storage.connectionFolder(first), 'notes.txt');
      appendFileSync(path, 'nothing to see');
      return path;
    },
  };

  const ledgers = (storage: Storage): string[] => trailFiles(join(storage.root, 'ledgers'));
  const remove = (path: string): string => {
    rmSync(path, { recursive: true });
    return path;
  };
  const exchange = (a: string, b: string): string => {
    renameSync(a, `${a}.aside`);
    renameSync(b, a);
    renameSync(`${a}.aside`, b);
    return a;
  };

  test('what is moved, exchanged, removed or added is told', async () => {
    let found = 0;
    for (const [name, change] of Object.entries(changes)) {
      const path = change(restore());
      const verdict = await alarms();
      assert.ok(!verdict.good, name);
      // A folder that stands for another is told by the trails in it.
      assert.ok(
        isNamed(verdict, path),
        `${name}: ${path} is not among ${verdict.named.join('\n')}`,
      );
      found++;
    }
    figure({
      scenario: SCENARIO,
      what: 'files and folders moved, exchanged, removed, added',
      pass: '100 %',
      measured: `${found} of ${Object.keys(changes).length}`,
      ok: true,
    });
    // The newest ledger is named by no other one; what it alone knew is then known to nobody.
    const storage = restore();
    remove(ledgers(storage)[1] ?? '');
    const verdict = await alarms();
    assert.ok(isNamed(verdict, storage.connectionFolder(last)), verdict.named.join('\n'));
  });

  test('a signature by another key, or none, does not count', async () => {
    restore();
    const stranger = new PublicKeys([new SigningKey(SigningKey.generatePem()).publicPem()]);
    const verdict = await alarms(stranger);
    assert.ok(!verdict.good);
    assert.equal(verdict.named.length, trailFiles(copy).length);
    assert.ok(!(await alarms(new PublicKeys([]))).good);
  });

  test('untouched recordings raise no alarm', { timeout: 1_200_000 }, async (t) => {
    const sessions = rounds(500, 8);
    const { gate, to } = await startSite(t);
    for (let at = 0; at < sessions; at += 4) {
      const some = Array.from({ length: Math.min(4, sessions - at) }, (_, i) =>
        ssh(to, `head -c ${(at + i) * 37} /dev/zero; exit ${(at + i) % 7}`),
      );
      for (const [i, { code }] of (await Promise.all(some)).entries()) {
        assert.equal(code, (at + i) % 7);
      }
    }
    await gate.stop();
    const files = trailFiles(storageOf(gate.dir).root).length;
    const { code, stdout } = await gate.cli(['trail', 'verify'], { timeoutMs: 300_000 });
    const lines = stdout.toString().split('\n');
    const good = lines.filter((line) => line.startsWith('complete ')).length;
    figure({
      scenario: SCENARIO,
      what: 'false alarms among untouched trails',
      pass: '0',
      measured: `${files - good} of ${files}`,
      ok: files === good && code === 0,
    });
    assert.equal(code, 0, stdout.toString());
    assert.equal(good, files);
  });

  test('the command names what it found and ends with 1', async () => {
    const { gate } = site;
    const aside = join(tempDir(scope), 'aside');
    renameSync(original, aside);
    try {
      for (const name of [
        'channels of two connections exchanged',
        'a connection removed',
        'a connection under another name',
        'the older ledger removed',
      ]) {
        rmSync(original, { recursive: true, force: true });
        cpSync(aside, original, { recursive: true });
        const path = changes[name]?.(new Storage(original)) ?? '';
        const { code, stdout, stderr } = await gate.cli(['trail', 'verify']);
        assert.equal(code, 1, name);
        const lines = stdout.toString().split('\n');
        const short = path.slice(original.length + 1);
        assert.ok(
          lines.some((line) => /^(bad|cut) /.test(line) && line.includes(short)),
          `${name}: no ${short} in ${stdout.toString()}`,
        );
        assert.match(stderr.toString(), /^sallyport: [^\n]*\d (bad|cut)[^\n]*\n$/);
      }
    } finally {
      rmSync(original, { recursive: true, force: true });
      renameSync(aside, original);
    }
    assert.equal((await gate.cli(['trail', 'verify'])).code, 0);
  });

  test('a file and a public key are enough, anywhere', async (t) => {
    const { gate } = site;
    const alone = tempDir(t);
    const storage = new Storage(original);
    cpSync(join(gate.dir, 'keys', 'signing.pub'), join(alone, 'pub.pem'));
    cpSync(storage.connectionPath(first), join(alone, 'c.trail'));
    cpSync(storage.channelPath(first, 0), join(alone, 'a.trail'));
    writeFileSync(join(alone, 'other.pem'), new SigningKey(SigningKey.generatePem()).publicPem());
    const verify = (...args: string[]) =>
      run([SALLYPORT, 'trail', 'verify', ...args], { cwd: alone });
    const good = await verify('--key', 'pub.pem', '--', 'a.trail', 'c.trail');
    assert.equal(good.code, 0, good.stderr.toString());
    assert.equal((await verify('--key', 'pub.pem', '--', 'a.trail')).code, 0);
    assert.equal((await verify('--key', 'other.pem', '--', 'a.trail')).code, 1);
    const bytes = readFileSync(join(alone, 'a.trail'));
    writeFileSync(join(alone, 'a.trail'), bytes.subarray(0, bytes.length - 1));
    const cut = await verify('--key', 'pub.pem', '--', 'a.trail');
    assert.equal(cut.code, 1);
    assert.match(cut.stdout.toString(), /^(bad|cut) .*a\.trail/m);
    assert.deepEqual(readdirSync(alone).sort(), ['a.trail', 'c.trail', 'other.pem', 'pub.pem']);
  });
});
