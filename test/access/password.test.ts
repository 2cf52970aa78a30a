/** Every password check costs one hash, and what cannot log in never does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_PASSWORD, Passwords } from '../../src/access/password.ts';
import type { Hasher } from '../../src/access/password.ts';
import { Secret } from '../../src/base/secret.ts';
import { parseConfig } from '../../src/config/config.ts';

/** As cheap as the settings allow. */
const settings = parseConfig('passwords: { memory_kib: 8192, passes: 1 }', 'test').passwords;

const FORM = '$argon2id$v=19$m=8192,p=1,t=1$c29tZXNhbHRzYWx0$';
const stored = (digest: string) => FORM + digest.padEnd(43, 'A');

/** A hasher that notes what it was asked and finds every password right. */
function yesHasher() {
  const asked: { hash: string; length: number }[] = [];
  const hasher: Hasher = {
    hash: () => Promise.resolve(stored('dummy')),
    verify: (hash, password) => {
      asked.push({ hash, length: password.length });
      return Promise.resolve(true);
    },
  };
  return { asked, hasher };
}

test('argon2id: the right password and no other', async () => {
  const passwords = await Passwords.create(settings);
  const hash = await passwords.hash(new Secret('correct horse'));
  assert.match(hash, /^\$argon2id\$v=19\$m=8192,p=1,t=1\$/);
  assert.ok(await passwords.verify(hash, new Secret('correct horse')));
  assert.ok(!(await passwords.verify(hash, new Secret('correct horsf'))));
  assert.ok(!(await passwords.verify(hash, new Secret(''))));
  assert.ok(!(await passwords.verify(null, new Secret('correct horse'))));
});

test('NUL and bytes that are no UTF-8 are bytes like others', async () => {
  const passwords = await Passwords.create(settings);
  const hash = await passwords.hash(new Secret(Buffer.from([0x61, 0, 0xff, 0x62])));
  assert.ok(await passwords.verify(hash, new Secret(Buffer.from([0x61, 0, 0xff, 0x62]))));
  for (const other of [
    [0x61],
    [0x61, 0],
    [0x61, 0, 0xfe, 0x62],
    [0x61, 0, 0xef, 0xbf, 0xbd, 0x62],
  ]) {
    assert.ok(!(await passwords.verify(hash, new Secret(Buffer.from(other)))));
  }
});

test('empty, too long, unknown and unreadable cost one check of the dummy and are refused', async () => {
  const { asked, hasher } = yesHasher();
  const passwords = await Passwords.create(settings, hasher);
  const good = stored('good');
  const cases: [string | null, Buffer][] = [
    [good, Buffer.alloc(0)],
    [good, Buffer.alloc(MAX_PASSWORD + 1, 'x')],
    [good, Buffer.alloc(34_000, 'x')],
    [null, Buffer.from('pw')],
    ['', Buffer.from('pw')],
    ['plain text', Buffer.from('pw')],
    ['$argon2i$v=19$m=8192,t=1,p=1$c29tZXNhbHRzYWx0$AAAA', Buffer.from('pw')],
    [good.replace('m=8192', 'm=9999999'), Buffer.from('pw')],
    [good.replace('p=1', 'm=8'), Buffer.from('pw')],
    [good.replace(',p=1', ''), Buffer.from('pw')],
    [good.replace('t=1', 't=0'), Buffer.from('pw')],
    [`${good}\n`, Buffer.from('pw')],
  ];
  for (const [hash, bytes] of cases) {
    asked.length = 0;
    assert.equal(await passwords.verify(hash, new Secret(bytes)), false, String(hash));
    assert.equal(asked.length, 1);
    assert.equal(asked[0]?.hash, stored('dummy'), String(hash));
    assert.ok(asked[0].length <= MAX_PASSWORD);
  }
  asked.length = 0;
  assert.equal(await passwords.verify(good, new Secret(Buffer.alloc(MAX_PASSWORD, 'x'))), true);
  assert.deepEqual(asked, [{ hash: good, length: MAX_PASSWORD }]);
});

test('a password that could never log in is not stored', async () => {
  const passwords = await Passwords.create(settings, yesHasher().hasher);
  await assert.rejects(passwords.hash(new Secret('')), { code: 'usage' });
  const long = new Secret(Buffer.alloc(MAX_PASSWORD + 1));
  await assert.rejects(passwords.hash(long), { code: 'usage' });
});

test('two at a time, 32 wait, one more is busy', async () => {
  let running = 0;
  let most = 0;
  const release: (() => void)[] = [];
  const hasher: Hasher = {
    hash: () => Promise.resolve(stored('dummy')),
    verify: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => release.push(resolve));
      running--;
      return false;
    },
  };
  const passwords = await Passwords.create(settings, hasher);
  const checks = Array.from({ length: 34 }, () => passwords.verify(null, new Secret('x')));
  await assert.rejects(passwords.verify(null, new Secret('x')), { code: 'busy' });
  for (let i = 0; i < checks.length; i++) {
    release.shift()?.();
    await Promise.race(checks.slice(i));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await Promise.all(checks), Array(34).fill(false));
  assert.equal(most, 2);
});

test('a stored hash is read with its parameters in any order', async () => {
  const { asked, hasher } = yesHasher();
  const passwords = await Passwords.create(settings, hasher);
  for (const order of ['m=8192,p=1,t=1', 'm=8192,t=1,p=1', 'p=1,t=1,m=8192']) {
    const hash = stored('good').replace('m=8192,p=1,t=1', order);
    assert.ok(await passwords.verify(hash, new Secret('x')), order);
    assert.equal(asked.at(-1)?.hash, hash);
  }
});

test('hashes made with other parameters are known', async () => {
  const passwords = await Passwords.create(settings);
  const hash = await passwords.hash(new Secret('x'));
  assert.ok(!passwords.needsRehash(hash));
  assert.ok((await Passwords.create({ ...settings, passes: 2 })).needsRehash(hash));
  assert.ok(passwords.needsRehash('rubbish'));
});
