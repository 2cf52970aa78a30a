/** What a stream carries is told by its first bytes, however they are cut. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { classify, FIRST_BYTES, mayBecomeSsh } from '../../src/ssh/first-bytes.ts';
import type { Protocol } from '../../src/ssh/first-bytes.ts';
import { rounds } from '../support/scale.ts';

const STARTS: readonly (readonly [Protocol, Buffer])[] = [
  ['ssh', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
  ['ssh', Buffer.from('SSH-1.99-x')],
  ['tls', Buffer.from('16030100c8010000c4', 'hex')],
  ['http', Buffer.from('GET / HTTP/1.1\r\n')],
  ['http', Buffer.from('CONNECT db:22 HTTP/1.1')],
  ['http', Buffer.from('HTTP/1.1 200 OK')],
  ['http', Buffer.from('PRI * HTTP/2.0')],
  ['postgres', Buffer.from('0000000804d2162f', 'hex')],
  ['postgres', Buffer.from('0000002300030000', 'hex')],
  ['other', Buffer.from('220 mail ESMTP')],
  ['other', Buffer.from('SSL please')],
  ['other', Buffer.from('ssh-2.0-x')],
  ['other', Buffer.from('00000008ffffffff', 'hex')],
  ['other', Buffer.from('ffffffff00030000', 'hex')],
];

test('each start is told, at the first byte that tells it and at every later one', () => {
  for (const [protocol, start] of STARTS) {
    let told: Protocol | undefined;
    for (let length = 1; length <= FIRST_BYTES; length++) {
      const now = classify(start.subarray(0, length));
      if (told !== undefined) assert.equal(now, told, start.toString('latin1'));
      told ??= now;
    }
    assert.equal(told, protocol, start.toString('latin1'));
  }
});

test('nothing that may become an ident is told to be something else, and no ident passes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 12 }), fc.nat(4), (noise, keep) => {
      const bytes = Buffer.concat([Buffer.from('SSH-').subarray(0, keep), noise]);
      for (let length = 1; length <= bytes.length; length++) {
        const first = bytes.subarray(0, length);
        const isIdent = first.toString('latin1').startsWith('SSH-');
        assert.equal(classify(first) === 'ssh', isIdent);
        if (mayBecomeSsh(first) && !isIdent) assert.equal(classify(first), undefined);
      }
    }),
    { numRuns: rounds(20_000, 2000) },
  );
});

test('8 bytes always tell', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: FIRST_BYTES, maxLength: FIRST_BYTES }), (bytes) => {
      assert.notEqual(classify(Buffer.from(bytes)), undefined);
    }),
    { numRuns: rounds(20_000, 2000) },
  );
});
