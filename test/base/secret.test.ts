/** A Secret never shows what it holds, whatever prints it; only reveal() gives the bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, inspect } from 'node:util';
import { Secret } from '../../src/base/secret.ts';

const VALUE = 'correct horse';

function assertHidden(text: string): void {
  assert.ok(text.includes('[secret]'), text);
  for (const form of [VALUE, Buffer.from(VALUE).toString('base64'), '99, 111, 114', '63 6f 72']) {
    assert.ok(!text.includes(form), text);
  }
}

test('a secret prints as [secret] in templates, JSON, the inspector and format()', () => {
  const secret = new Secret(VALUE);
  assertHidden(String(secret));
  assertHidden(JSON.stringify({ deep: [{ password: secret }] }));
  assertHidden(inspect({ deep: { deeper: { deepest: secret } } }, { depth: 9, showHidden: true }));
  for (const pattern of ['%s', '%o', '%O', '%j']) assertHidden(format(pattern, secret));
  assertHidden(new Error(`failed for ${String(secret)}`).message);
});

test('nothing of a secret is enumerable, and a structured clone is empty', () => {
  const secret = new Secret(VALUE);
  assert.deepEqual(Reflect.ownKeys(secret), []);
  assert.deepEqual(Reflect.ownKeys(structuredClone(secret)), []);
});

test('reveal gives the bytes of text and buffers', () => {
  assert.equal(new Secret('pä').reveal().toString(), 'pä');
  const bytes = Buffer.from([0, 255, 10]);
  assert.equal(new Secret(bytes).reveal(), bytes);
});

test('secrets are equal by content, and lengths that differ do not throw', () => {
  assert.ok(new Secret('a').equals(new Secret(Buffer.from('a'))));
  assert.ok(!new Secret('a').equals(new Secret('b')));
  assert.ok(!new Secret('a').equals(new Secret('aa')));
  assert.ok(new Secret('').equals(new Secret('')));
});
