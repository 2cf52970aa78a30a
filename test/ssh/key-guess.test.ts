/** RFC 4253 section 7: a guess counts if both sides prefer the same methods, and is skipped if they do not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../src/base/errors.ts';
import { isWrongGuess } from '../../src/ssh/key-guess.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';

function kexinit(kex: string[], hostKey: string[], follows: boolean): Buffer {
  const writer = new Writer().uint8(MSG.kexinit).bytes(Buffer.alloc(16, 7));
  writer.nameList(kex).nameList(hostKey);
  for (let i = 0; i < 8; i++) writer.nameList(i < 6 ? ['none'] : []);
  return writer.boolean(follows).uint32(0).done();
}

const ours = kexinit(['curve', 'curve@old'], ['ed25519', 'rsa'], false);

test('a guess of the methods that both sides prefer is right', () => {
  assert.equal(isWrongGuess(ours, kexinit(['curve', 'other'], ['ed25519'], true)), false);
});

test('a guess of another key exchange or host key is wrong', () => {
  assert.equal(isWrongGuess(ours, kexinit(['curve@old', 'curve'], ['ed25519'], true)), true);
  assert.equal(isWrongGuess(ours, kexinit(['curve'], ['rsa', 'ed25519'], true)), true);
  assert.equal(isWrongGuess(ours, kexinit([], ['ed25519'], true)), true);
});

test('without a guess nothing is skipped, whatever is preferred', () => {
  assert.equal(isWrongGuess(ours, kexinit(['other'], ['rsa'], false)), false);
});

test('a KEXINIT cut anywhere is an error of the peer', () => {
  const whole = kexinit(['curve'], ['ed25519'], true);
  for (let length = 1; length < whole.length - 4; length++) {
    assert.throws(() => isWrongGuess(ours, whole.subarray(0, length)), ProtocolError);
  }
});
