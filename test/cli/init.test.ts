/** `init` makes a whole gate, private to its owner, and never touches one that is there. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/config.ts';
import { loadPublicKeys, loadSigningKey } from '../../src/recording/seal.ts';
import { loadMasterKey } from '../../src/vault/keyring.ts';
import { check } from '../support/process.ts';
import { tempDir } from '../support/tempdir.ts';
import { sallyport, succeed } from './sallyport.ts';

/** Every file below a folder with its bytes. */
function contentOf(dir: string): Map<string, string> {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => statSync(join(dir, name)).isFile());
  return new Map(files.map((name) => [name, readFileSync(join(dir, name), 'latin1')]));
}

test('init makes configuration, keys, database and folders that nobody else can read', async (t) => {
  const dir = join(tempDir(t), 'deep/gate');
  const out = await succeed([
    'init',
    '--dir',
    dir,
    '--ssh',
    '[::1]:2022',
    '--https',
    'gate.example:44',
  ]);
  assert.deepEqual(loadConfig(dir).listen, { ssh: '[::1]:2022', https: 'gate.example:44' });
  assert.match(readFileSync(join(dir, 'sallyport.yaml'), 'utf8'), /# Where the gate listens/);
  assert.equal(loadMasterKey(dir).reveal().length, 32);
  const signing = await loadSigningKey(join(dir, 'keys'));
  assert.ok((await loadPublicKeys(join(dir, 'keys'))).has(signing.id));
  const names = readdirSync(dir).sort();
  assert.deepEqual(names, ['data', 'keys', 'recordings', 'run', 'sallyport.yaml', 'tls']);
  for (const name of ['.', 'data', 'keys', 'recordings', 'run', 'tls']) {
    assert.equal(statSync(join(dir, name)).mode & 0o777, 0o700, name);
  }
  for (const name of [
    'sallyport.yaml',
    'keys/master.key',
    'keys/signing.key',
    'data/sallyport.db',
    'tls/ca-key.pem',
    'tls/key.pem',
  ]) {
    assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
  }
  const ca = join(dir, 'tls/ca.pem');
  const told = await check(['openssl', 'x509', '-noout', '-fingerprint', '-sha256', '-in', ca]);
  const authority = told.trim().split('=')[1] ?? 'none';
  assert.ok(out.includes(`  TLS authority   SHA256 ${authority}\n`), out);
  const verify = ['openssl', 'verify', '-x509_strict', '-CAfile', ca, '-verify_hostname'] as const;
  for (const name of ['localhost', hostname(), 'gate.example']) {
    await check([...verify, name.toLowerCase(), join(dir, 'tls/cert.pem')]);
  }
  for (const type of ['ed25519', 'rsa']) {
    const key = join(dir, `keys/ssh_host_${type}_key`);
    assert.equal(statSync(key).mode & 0o777, 0o600);
    const [, print = ''] = (await check(['ssh-keygen', '-lf', key])).split(' ');
    assert.ok(out.includes(print), `${print} is not told`);
    const derived = await check(['ssh-keygen', '-yf', key]);
    const [name, base64] = readFileSync(`${key}.pub`, 'utf8').split(' ');
    assert.equal(`${name ?? ''} ${base64 ?? ''}`, derived.trim().split(' ').slice(0, 2).join(' '));
  }
});

test('init refuses a folder that has been initialised, and changes nothing in it', async (t) => {
  const dir = join(tempDir(t), 'gate');
  await succeed(['init', '--dir', dir]);
  const before = contentOf(dir);
  const { code, err } = await sallyport(['init', '--dir', dir]);
  assert.equal(code, 1);
  assert.match(err, /has been initialised/);
  assert.deepEqual(contentOf(dir), before);
});

test('init refuses a folder where only keys are, since they may be the last copy', async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, 'keys'));
  writeFileSync(join(dir, 'keys/master.key'), 'precious');
  const { code } = await sallyport(['init', '--dir', dir]);
  assert.equal(code, 1);
  assert.equal(readFileSync(join(dir, 'keys/master.key'), 'utf8'), 'precious');
  assert.deepEqual(readdirSync(dir), ['keys']);
});

test('an address that is none is wrong usage, and nothing is made', async (t) => {
  const dir = join(tempDir(t), 'gate');
  const { code, err } = await sallyport(['init', '--dir', dir, '--ssh', '127.0.0.1']);
  assert.equal(code, 2);
  assert.match(err, /--ssh 127\.0\.0\.1: expected HOST:PORT/);
  assert.throws(() => statSync(dir), { code: 'ENOENT' });
});

test('the first administrator comes with his password from standard input', async (t) => {
  const dir = join(tempDir(t), 'gate');
  const input = 'correct horse\n';
  const out = await succeed(['init', '--dir', dir, '--admin-password-stdin'], { input });
  assert.match(out, /administrator +admin, in group admins/);
  const inventory = await succeed(['export-inventory', '--dir', dir]);
  assert.match(inventory, /- name: admin\n {4}# password: left out\n {4}groups: \[admins\]/);
  for (const content of contentOf(dir).values()) assert.ok(!content.includes('correct horse'));
  const { code } = await sallyport(
    ['init', '--dir', join(tempDir(t), 'other'), '--admin-password-stdin'],
    { input: '\n' },
  );
  assert.equal(code, 2);
});

test('init says so where no folder can be made', async () => {
  const { code, err } = await sallyport(['init', '--dir', '/proc/sallyport/gate']);
  assert.equal(code, 1);
  assert.match(err, /cannot make \/proc\/sallyport\/gate: ENOENT/);
});
