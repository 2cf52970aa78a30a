/** `host-ca` prints one line that known_hosts takes, of the key that `init` made and nobody else can read. */
import assert from 'node:assert/strict';
import { chmodSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadHostAuthority } from '../../src/vault/host-ca.ts';
import { decodeCertificate, refusalOfHostCertificate } from '../../src/wire/certificate.ts';
import { tempDir } from '../support/tempdir.ts';
import { sallyport, succeed } from './sallyport.ts';

test('the line is the public half of keys/host_ca, for every host unless some are named', async (t) => {
  const dir = join(tempDir(t), 'gate');
  await succeed(['init', '--dir', dir]);
  const key = join(dir, 'keys/host_ca');
  assert.equal(statSync(key).mode & 0o777, 0o600);
  const authority = loadHostAuthority(join(dir, 'keys'));
  assert.ok(authority);
  const line = await succeed(['host-ca', '--dir', dir]);
  assert.equal(line, `@cert-authority * ${authority.publicLine} sallyport host CA\n`);
  const some = await succeed(['host-ca', '--dir', dir, '--hosts', 'db*,!db9']);
  assert.ok(some.startsWith('@cert-authority db*,[db*]:*,!db9,![db9]:* ssh-ed25519 '), some);
  const { code } = await sallyport(['host-ca', '--dir', dir, '--hosts', 'a b']);
  assert.equal(code, 2);
});

test('a folder from before gets its key at the first use; one that others can read is refused', async (t) => {
  const dir = join(tempDir(t), 'gate');
  await succeed(['init', '--dir', dir]);
  const key = join(dir, 'keys/host_ca');
  rmSync(key);
  const made = await succeed(['host-ca', '--dir', dir]);
  assert.equal(await succeed(['host-ca', '--dir', dir]), made);
  chmodSync(key, 0o644);
  const { code, err } = await sallyport(['host-ca', '--dir', dir]);
  assert.equal(code, 1);
  assert.match(err, /host_ca: others may read it; chmod 600 it/);
});

test('a target keeps its key, another one has another, and both are vouched for', async (t) => {
  const dir = join(tempDir(t), 'gate');
  await succeed(['init', '--dir', dir]);
  const load = () => {
    const authority = loadHostAuthority(join(dir, 'keys'));
    assert.ok(authority);
    return authority;
  };
  const now = 1_790_000_000;
  const first = load().hostKeyOf('t1', ['db1', '10.0.0.5'], now);
  const again = load().hostKeyOf('t1', ['db1'], now);
  const other = load().hostKeyOf('t2', ['db2'], now);
  assert.ok(first.key.getPublicSSH().equals(again.key.getPublicSSH()));
  assert.ok(!first.key.getPublicSSH().equals(other.key.getPublicSSH()));
  assert.ok(decodeCertificate(first.certificate).key.equals(first.key.getPublicSSH()));
  const judge = (certificate: Buffer, host: string): string | undefined =>
    refusalOfHostCertificate(certificate, { authority: load().publicBlob, host, now });
  assert.equal(judge(first.certificate, 'db1'), undefined);
  assert.equal(judge(first.certificate, '10.0.0.5'), undefined);
  assert.match(judge(other.certificate, 'db1') ?? '', /another name/);
});
