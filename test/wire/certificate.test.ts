/**
 * Host certificates: what we make is what ssh-keygen reads, what ssh-keygen makes we read, and one that is not exactly
 * right vouches for nothing.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/base/errors.ts';
import { Reader, Writer } from '../../src/wire/buffer.ts';
import {
  HOST_CERTIFICATE,
  decodeCertificate,
  issueHostCertificate,
  refusalOfHostCertificate,
} from '../../src/wire/certificate.ts';
import type { HostClaim } from '../../src/wire/certificate.ts';
import { algorithmsOf, parseAuthorizedKey, verifySignature } from '../../src/wire/publickey.ts';
import { generateKeyPair, parsePrivateKey } from '../../src/wire/ssh2.ts';
import { run } from '../support/process.ts';
import { tempDir } from '../support/tempdir.ts';

const NOW = 1_790_000_000;
const ca = parsePrivateKey(generateKeyPair('ed25519', 'ca').privateText);
const otherCa = parsePrivateKey(generateKeyPair('ed25519', 'other').privateText);
const host = parsePrivateKey(generateKeyPair('ed25519', 'host').privateText);

function claim(changes: Partial<HostClaim> = {}): HostClaim {
  return {
    key: host.blob,
    keyId: 'sallyport db1',
    principals: ['db1', '10.0.0.5'],
    validAfter: NOW - 100,
    validBefore: NOW + 100,
    ...changes,
  };
}

const good = issueHostCertificate(claim(), ca);

function refusal(blob: Buffer, changes: { host?: string; now?: number } = {}): string | undefined {
  return refusalOfHostCertificate(blob, {
    authority: ca.blob,
    host: 'db1',
    now: NOW,
    ...changes,
  });
}

/** A certificate with other fields, signed as it stands. */
function forged(fields: {
  type?: number;
  options?: Buffer;
  authority?: Buffer;
  key?: Buffer;
}): Buffer {
  const unsigned = new Writer()
    .string(HOST_CERTIFICATE)
    .string(Buffer.alloc(32))
    .string(fields.key ?? host.blob.subarray(-32))
    .uint64(0n)
    .uint32(fields.type ?? 2)
    .string('id')
    .string(new Writer().string('db1').done())
    .uint64(BigInt(NOW - 100))
    .uint64(BigInt(NOW + 100))
    .string(fields.options ?? Buffer.alloc(0))
    .string('')
    .string('')
    .string(fields.authority ?? ca.blob)
    .done();
  return new Writer().bytes(unsigned).string(ca.sign(unsigned, 'ssh-ed25519')).done();
}

test('ssh-keygen reads what we make', async (t) => {
  const path = join(tempDir(t), 'cert.pub');
  writeFileSync(path, `${HOST_CERTIFICATE} ${good.toString('base64')} db1\n`);
  const { stdout, code } = await run(['ssh-keygen', '-L', '-f', path]);
  assert.equal(code, 0);
  const text = stdout.toString();
  assert.match(text, /Type: ssh-ed25519-cert-v01@openssh\.com host certificate/);
  assert.match(text, /Key ID: "sallyport db1"/);
  assert.match(text, /Principals:\s+db1\s+10\.0\.0\.5\s/);
  assert.match(text, /Critical Options: \(none\)/);
  assert.equal(refusal(good), undefined);
  assert.ok(decodeCertificate(good).key.equals(host.blob));
});

test('we read what ssh-keygen makes', async (t) => {
  const dir = tempDir(t);
  const files = { ca: generateKeyPair('ed25519', 'ca'), host: generateKeyPair('ed25519', 'host') };
  for (const [name, { privateText, publicLine }] of Object.entries(files)) {
    writeFileSync(join(dir, name), privateText, { mode: 0o600 });
    writeFileSync(join(dir, `${name}.pub`), `${publicLine}\n`);
  }
  const command = ['ssh-keygen', '-q', '-s', 'ca', '-I', 'its id', '-h', '-n', 'db1,db2'] as const;
  const made = await run([...command, '-V', '20200101:20300101', 'host.pub'], { cwd: dir });
  assert.equal(made.code, 0, made.stderr.toString());
  const [, base64 = ''] = readFileSync(join(dir, 'host-cert.pub'), 'utf8').split(' ');
  const blob = Buffer.from(base64, 'base64');
  const authority = parseAuthorizedKey(files.ca.publicLine).blob;
  const judge = (name: string): string | undefined =>
    refusalOfHostCertificate(blob, { authority, host: name, now: 1_700_000_000 });
  assert.equal(judge('db1'), undefined);
  assert.equal(judge('db2'), undefined);
  assert.match(judge('db3') ?? '', /another name/);
  assert.equal(decodeCertificate(blob).keyId, 'its id');
});

test('one that is not exactly right is refused', () => {
  assert.match(refusal(good, { host: 'db2' }) ?? '', /another name/);
  assert.match(refusal(good, { now: NOW - 101 }) ?? '', /not valid yet/);
  assert.match(refusal(good, { now: NOW + 100 }) ?? '', /expired/);
  assert.match(refusal(issueHostCertificate(claim(), otherCa)) ?? '', /another authority/);
  assert.match(refusal(forged({ type: 1 })) ?? '', /no certificate of a host/);
  const options = new Writer().string('force-command').string('x').done();
  assert.match(refusal(forged({ options })) ?? '', /critical options/);
  assert.match(refusal(forged({ authority: good })) ?? '', /no plain Ed25519 key/);
  assert.match(refusal(forged({ key: Buffer.alloc(31) })) ?? '', /wrong size/);
  assert.match(refusal(host.blob) ?? '', /not an Ed25519 certificate/);
  assert.equal(refusal(forged({})), undefined, 'the forging itself is what is refused');
  assert.throws(() => issueHostCertificate(claim({ principals: [] }), ca), ProtocolError);
});

test('any other byte makes it another one, and no garbage throws', () => {
  for (let at = 0; at < good.length; at++) {
    const changed = Buffer.from(good);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.notEqual(refusal(changed), undefined, `byte ${at}`);
    assert.notEqual(refusal(good.subarray(0, at)), undefined, `cut at ${at}`);
  }
  assert.notEqual(refusal(Buffer.concat([good, Buffer.alloc(1)])), undefined);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, named) => {
      const blob = named
        ? new Writer().string(HOST_CERTIFICATE).bytes(Buffer.from(bytes)).done()
        : Buffer.from(bytes);
      assert.notEqual(refusal(blob), undefined);
    }),
  );
});

test('a certificate is no key to log in with, nor to sign with', () => {
  assert.deepEqual(algorithmsOf(HOST_CERTIFICATE), []);
  assert.throws(
    () => parseAuthorizedKey(`${HOST_CERTIFICATE} ${good.toString('base64')}`),
    ProtocolError,
  );
  const data = Buffer.from('data');
  const signature = host.sign(data, 'ssh-ed25519');
  assert.ok(verifySignature(host.blob, 'ssh-ed25519', data, signature));
  assert.ok(!verifySignature(good, HOST_CERTIFICATE, data, signature));
  assert.ok(!verifySignature(good, 'ssh-ed25519', data, signature));
  assert.equal(new Reader(good).name(), HOST_CERTIFICATE);
});
