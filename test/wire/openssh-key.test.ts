/** Keys that the gate makes are keys to everybody else, whatever bytes they begin with. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAuthorizedKey, verifySignature } from '../../src/wire/publickey.ts';
import { encodeEd25519 } from '../../src/wire/openssh-key.ts';
import { generateKeyPair, parseHostKey, parsePrivateKey } from '../../src/wire/ssh2.ts';
import { run } from '../support/process.ts';
import { tempDir } from '../support/tempdir.ts';

/** Parts of a key pair that fit: by chance one of 256 begins with a zero. */
function parts(fits: (seed: Buffer, publicKey: Buffer) => boolean): [Buffer, Buffer] {
  for (;;) {
    const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
    const [seed, publicKey] = [Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')];
    if (fits(seed, publicKey)) return [seed, publicKey];
  }
}

const CASES = {
  'any key': () => true,
  'a public key that begins with a zero': (_: Buffer, publicKey: Buffer) => publicKey[0] === 0,
  'a private key that begins with a zero': (seed: Buffer) => seed[0] === 0,
  'a public key that begins with a one bit': (_: Buffer, key: Buffer) => (key[0] ?? 0) > 127,
};

for (const [name, fits] of Object.entries(CASES)) {
  test(`${name} is read, signs, and is what ssh-keygen makes of it`, async (t) => {
    const [seed, publicKey] = parts(fits);
    // The comment's length moves the padding.
    for (const comment of ['', 'a', 'sallyport', 'x'.repeat(64)]) {
      const { privateText, publicLine } = encodeEd25519(seed, publicKey, comment);
      const { blob } = parseAuthorizedKey(publicLine);
      assert.ok(blob.subarray(-32).equals(publicKey));
      assert.ok(parseHostKey(privateText).getPublicSSH().equals(blob), 'as a host key');
      const key = parsePrivateKey(privateText);
      assert.ok(key.blob.equals(blob), 'as a key to log in with');
      const data = Buffer.from('to be signed');
      assert.ok(verifySignature(blob, 'ssh-ed25519', data, key.sign(data, 'ssh-ed25519')));
      const path = join(tempDir(t), 'key');
      writeFileSync(path, privateText, { mode: 0o600 });
      const { stdout, stderr, code } = await run(['ssh-keygen', '-y', '-f', path]);
      assert.equal(code, 0, stderr.toString());
      assert.equal(stdout.toString().trim(), publicLine.trim());
    }
  });
}

test('of 2,000 keys each is one', () => {
  for (let i = 0; i < 2000; i++) {
    const { privateText, publicLine } = generateKeyPair('ed25519', 'sallyport');
    const { blob } = parseAuthorizedKey(publicLine);
    const seen = createPublicKey(createPrivateKey(parseHostKey(privateText).getPrivatePEM()));
    const { x = '' } = seen.export({ format: 'jwk' });
    assert.ok(Buffer.from(x, 'base64url').equals(blob.subarray(-32)));
  }
});
