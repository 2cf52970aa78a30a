/** mlkem768x25519: both halves come to one secret, and no share of another length or of no key at all is taken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/base/errors.ts';
import { HybridClient, answerHybrid, hasMlKem } from '../../src/wire/hybrid-kem.ts';
import { rounds } from '../support/scale.ts';

/** Points of small order on curve25519: whatever the private key, the result is zero. */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((hex) => Buffer.from(hex, 'hex'));

test('Node brings ML-KEM', () => {
  assert.ok(hasMlKem());
});

test('client and server come to the same secret, another one each time', () => {
  const secrets = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const client = new HybridClient();
    assert.equal(client.share.length, 1184 + 32);
    const { reply, secret } = answerHybrid(client.share);
    assert.equal(reply.length, 1088 + 32);
    assert.deepEqual(client.secret(reply), secret);
    secrets.add(secret.toString('hex'));
  }
  assert.equal(secrets.size, 20);
});

test('either part alone changes the secret', () => {
  for (const [from, to] of [
    [0, 1088],
    [1088, 1120],
  ] as const) {
    const client = new HybridClient();
    const { reply, secret } = answerHybrid(client.share);
    const other = answerHybrid(client.share).reply;
    const mixed = Buffer.from(reply);
    other.copy(mixed, from, from, to);
    assert.notDeepEqual(client.secret(mixed), secret);
  }
});

test('a share of any other length is refused', () => {
  const { share } = new HybridClient();
  const { reply } = answerHybrid(share);
  const grown = Buffer.concat([share, share]);
  for (let length = 0; length <= grown.length; length += length < 1200 ? 37 : 1) {
    if (length === share.length) continue;
    assert.throws(() => answerHybrid(grown.subarray(0, length)), ProtocolError, `${length}`);
  }
  for (const length of [0, 1, 32, 1087, 1088, 1089, 1119, 1121, 2240, 32_768]) {
    const spoilt = Buffer.alloc(length, reply);
    assert.throws(() => new HybridClient().secret(spoilt), ProtocolError, `${length}`);
  }
});

test('an X25519 key of small order is refused on both sides', () => {
  for (const point of SMALL_ORDER) {
    const client = new HybridClient();
    const { reply } = answerHybrid(client.share);
    point.copy(client.share, 1184);
    assert.throws(() => answerHybrid(client.share), /X25519 key is not usable/);
    point.copy(reply, 1088);
    assert.throws(() => client.secret(reply), /X25519 key is not usable/);
  }
});

test('an ML-KEM key whose numbers are not below q is refused (FIPS 203 section 7.2)', () => {
  for (const at of [0, 3, 600, 1149]) {
    const { share } = new HybridClient();
    share.fill(0xff, at, at + 3);
    assert.throws(() => answerHybrid(share), /ML-KEM key is not usable/, `at ${at}`);
  }
});

test('a share is answered once', () => {
  const client = new HybridClient();
  const { reply } = answerHybrid(client.share);
  client.secret(reply);
  assert.throws(() => client.secret(reply), ProtocolError);
});

test('garbage of the right length throws nothing but ProtocolError', () => {
  const share = fc.uint8Array({ minLength: 1216, maxLength: 1216 });
  const reply = fc.uint8Array({ minLength: 1120, maxLength: 1120 });
  fc.assert(
    fc.property(share, reply, (clientShare, serverReply) => {
      for (const action of [
        () => answerHybrid(Buffer.from(clientShare)),
        () => new HybridClient().secret(Buffer.from(serverReply)),
      ]) {
        try {
          action();
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error));
        }
      }
    }),
    { numRuns: rounds(2_000, 50) },
  );
});
