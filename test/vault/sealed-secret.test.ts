/** A sealed secret opens with its key and context, unchanged, and in no other case. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format } from 'node:util';
import fc from 'fast-check';
import { AppError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import { Secrets } from '../../src/vault/secrets.ts';

const vault = new Secrets(new Secret(Buffer.alloc(32, 1)));
const CONTEXT = 'account 12ab private-key';
const unreadable = { code: 'secret-unreadable' };

test('what is sealed opens to the same bytes, each time sealed differently', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (bytes, context) => {
      const secret = new Secret(Buffer.from(bytes));
      const sealed = vault.seal(secret, context);
      assert.match(sealed, /^v1\.[\w-]{16}\.[\w-]*\.[\w-]{22}$/);
      assert.notEqual(vault.seal(secret, context), sealed);
      assert.ok(vault.open(sealed, context).equals(secret));
    }),
  );
});

test('another context or another key opens nothing', () => {
  const sealed = vault.seal(new Secret('hunter2'), CONTEXT);
  const other = new Secrets(new Secret(Buffer.alloc(32, 2)));
  assert.throws(() => other.open(sealed, CONTEXT), unreadable);
  for (const context of ['', 'account 12ab password', `${CONTEXT} `, `v1\0${CONTEXT}`]) {
    assert.throws(() => vault.open(sealed, context), unreadable);
  }
});

test('every change of one character, every cut and every foreign text is refused', () => {
  const sealed = vault.seal(new Secret('a password'), CONTEXT);
  for (let at = 0; at < sealed.length; at++) {
    for (const character of ['A', 'B', '_', '.', '=', ' ', '1', '2']) {
      const changed = sealed.slice(0, at) + character + sealed.slice(at + 1);
      if (changed !== sealed)
        assert.throws(() => vault.open(changed, CONTEXT), unreadable, changed);
    }
    assert.throws(() => vault.open(sealed.slice(0, at), CONTEXT), unreadable);
  }
  const parts = sealed.split('.');
  for (const foreign of [
    `${sealed}\n`,
    `${sealed}A`,
    `v2.${parts.slice(1).join('.')}`,
    'v1...',
    '',
  ]) {
    assert.throws(() => vault.open(foreign, CONTEXT), unreadable);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.throws(() => vault.open(text, CONTEXT), unreadable);
    }),
  );
});

test('a key of another size is refused at once', () => {
  for (const length of [0, 16, 31, 33]) {
    assert.throws(() => new Secrets(new Secret(Buffer.alloc(length))), RangeError);
  }
});

test('neither vault nor error shows a secret', () => {
  const secret = new Secret('hunter2');
  const sealed = vault.seal(secret, CONTEXT);
  assert.ok(!format('%o %j', vault, vault).includes('AQEBAQ'));
  try {
    vault.open(`${sealed}x`, CONTEXT);
    assert.fail('opened');
  } catch (error) {
    assert.ok(error instanceof AppError);
    assert.ok(!error.kind.expose);
    assert.ok(!format('%o', error).includes(sealed.slice(20, 30)));
  }
});
