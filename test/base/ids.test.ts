/** Ids keep their forms, since paths are built from them, and convert there and back without loss. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  isUuid,
  newObjectId,
  newUuid,
  shortId,
  uuidBytes,
  uuidFromBytes,
  uuidTime,
} from '../../src/base/ids.ts';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const moment = fc.integer({ min: 0, max: 2 ** 48 - 1 });

test('a new UUID is one of version 7 that tells its millisecond and sorts by it', () => {
  fc.assert(
    fc.property(moment, moment, (a, b) => {
      const [first, second] = [newUuid(a), newUuid(b)];
      assert.ok(isUuid(first), first);
      assert.equal(first[14], '7');
      assert.equal(uuidTime(first), a);
      if (a !== b) assert.equal(first < second, a < b);
    }),
  );
});

test('UUIDs go to 16 bytes and back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const buffer = Buffer.from(bytes);
      assert.deepEqual(uuidBytes(uuidFromBytes(buffer)), buffer);
    }),
  );
});

test('the short form is 22 characters of base 62 and holds the whole id', () => {
  fc.assert(
    fc.property(moment, (ms) => {
      const uuid = newUuid(ms);
      const short = shortId(uuid);
      assert.match(short, /^[0-9A-Za-z]{22}$/);
      let value = 0n;
      for (const char of short) value = value * 62n + BigInt(BASE62.indexOf(char));
      assert.equal(value, BigInt(`0x${uuid.replaceAll('-', '')}`));
    }),
  );
});

test('nothing that could leave its folder passes for a UUID', () => {
  const good = newUuid(1);
  for (const text of [
    '',
    '..',
    `../${good}`,
    `${good}/..`,
    `${good}\n`,
    `${good}\0`,
    good.toUpperCase().replace(/[0-9]/g, 'A'),
    good.replaceAll('-', ''),
    `{${good}}`,
  ]) {
    assert.equal(isUuid(text), false, JSON.stringify(text));
  }
});

test('ids of configuration objects are 22 hexadecimal digits and do not repeat', () => {
  const ids = new Set(Array.from({ length: 1000 }, newObjectId));
  assert.equal(ids.size, 1000);
  for (const id of ids) assert.match(id, /^[0-9a-f]{22}$/);
});
