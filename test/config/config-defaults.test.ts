/** An empty file is a working configuration, the sample says the same, and the reference knows every key. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { VERSION } from '../../src/base/version.ts';
import { LEGACY, MODERN } from '../../src/config/algorithms.ts';
import { HYBRID } from '../../src/ssh/hybrid-exchange.ts';
import { loadConfig, parseConfig, splitAddress } from '../../src/config/config.ts';
import { referenceRows, renderReference } from '../../src/config/reference.ts';
import { ROOT } from '../support/source-tree.ts';
import { tempDir } from '../support/tempdir.ts';

const sample = readFileSync(join(ROOT, 'etc/sallyport.yaml'), 'utf8');

/** Leaves of nested objects as `login.grace_s`; a list is one leaf. */
function leaves(value: object, prefix = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? leaves(inner, `${prefix}${key}.`)
      : [[prefix + key, inner] as [string, unknown]],
  );
}

test('a missing file, an empty one and one of comments give the defaults', (t) => {
  const dir = tempDir(t);
  const defaults = loadConfig(dir);
  writeFileSync(join(dir, 'sallyport.yaml'), '# nothing yet\n');
  assert.deepEqual(loadConfig(dir), defaults);
  assert.deepEqual(parseConfig('', 'x'), defaults);
  assert.deepEqual(parseConfig('login:\npenalties:\n', 'x'), defaults);
  assert.equal(defaults.login.grace_s, 120);
  assert.deepEqual(defaults.startups, { begin: 10, rate: 30, full: 100 });
});

test('the sample in etc/ loads, holds every key and says the defaults', () => {
  assert.deepEqual(parseConfig(sample, 'etc/sallyport.yaml'), parseConfig('', 'x'));
  for (const [key] of leaves(parseConfig('', 'x'))) {
    const name = key.split('.').at(-1) ?? '';
    assert.match(sample, new RegExp(`^ *${name}:`, 'm'), `${key} is not in the sample`);
  }
});

test('what is set is kept and the rest stays at its default', () => {
  const config = parseConfig('login: { grace_s: 0.5 }\npenalties: { exempt: [] }', 'x');
  assert.equal(config.login.grace_s, 0.5);
  assert.equal(config.login.max_tries, 6);
  assert.deepEqual(config.penalties.exempt, []);
  assert.equal(config.penalties.authfail_s, 5);
});

test('a configuration is frozen throughout', () => {
  const config = parseConfig('', 'x');
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' ||
    value === null ||
    (Object.isFrozen(value) && Object.values(value).every(frozen));
  assert.ok(frozen(config));
});

test('the reference has every key with its default and a description', () => {
  const rows = referenceRows();
  const defaults = leaves(parseConfig('', 'x'));
  for (const [key, value] of defaults) {
    const row = rows.find((one) => one.key === key);
    assert.deepEqual(row?.default, value, key);
  }
  const groups = new Set(defaults.map(([key]) => key.split('.')[0]));
  for (const row of rows) assert.notEqual(row.description, '', row.key);
  const nested = defaults.filter(([key]) => key.includes('.'));
  assert.equal(rows.length, nested.length + groups.size);
  assert.match(renderReference(), /^\| `login\.grace_s` \| `120` \| .+ \|$/m);
});

test('every algorithm that can be named is one that the transport speaks', () => {
  const constants = createRequire(import.meta.url)('ssh2/lib/protocol/constants.js') as Record<
    string,
    readonly string[] | undefined
  >;
  const spoken = {
    // Ours, on top of ssh2: `test/e2e/post-quantum.test.ts`.
    kex: [HYBRID, ...(constants['SUPPORTED_KEX'] ?? [])],
    cipher: constants['SUPPORTED_CIPHER'],
    mac: constants['SUPPORTED_MAC'],
    host_key: constants['SUPPORTED_SERVER_HOST_KEY'],
  };
  for (const kind of ['kex', 'cipher', 'mac', 'host_key'] as const) {
    for (const name of [...MODERN[kind], ...LEGACY[kind]]) {
      assert.ok(spoken[kind]?.includes(name), `${kind} ${name}`);
    }
  }
  const named = JSON.stringify([MODERN, LEGACY]);
  for (const never of ['group-exchange', 'group1-', 'ssh-dss', 'arcfour', 'md5']) {
    assert.ok(!named.includes(never), never);
  }
});

test('the ident names the version of the package', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.equal(VERSION, version);
  assert.equal(parseConfig('', 'x').ident, `OpenSSH_Sallyport_${version}`);
});

test('an address is HOST:PORT, with brackets for IPv6', () => {
  assert.deepEqual(splitAddress('127.0.0.1:0'), { host: '127.0.0.1', port: 0 });
  assert.deepEqual(splitAddress('[::1]:2222'), { host: '::1', port: 2222 });
  assert.deepEqual(splitAddress('gate.example:65535'), { host: 'gate.example', port: 65535 });
  for (const bad of [
    '',
    '2222',
    ':2222',
    '::1:22',
    '[x]:22',
    'a:65536',
    'a:b',
    'a b:22',
    '[1.2.3.4]:1',
  ]) {
    assert.equal(splitAddress(bad), undefined, bad);
  }
});
