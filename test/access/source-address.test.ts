/** Addresses have one form, whatever the socket calls them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { networkTest, sourceAddress, sourceKey } from '../../src/access/source-address.ts';

const key = (text: string | undefined, v4 = 32, v6 = 64) =>
  sourceKey(sourceAddress(text), { v4, v6 });

test('an IPv4-mapped IPv6 address is the IPv4 address', () => {
  for (const form of ['::ffff:10.1.2.3', '::FFFF:a01:203', '0:0:0:0:0:ffff:10.1.2.3']) {
    assert.equal(sourceAddress(form).text, '10.1.2.3');
    assert.equal(key(form), key('10.1.2.3'));
  }
  assert.equal(sourceAddress('::10.1.2.3').family, 6);
});

test('addresses of one prefix are one source', () => {
  assert.equal(key('10.1.2.3', 24), key('10.1.2.200', 24));
  assert.notEqual(key('10.1.2.3', 24), key('10.1.3.3', 24));
  assert.equal(key('10.1.2.3', 20), key('10.1.15.3', 20));
  assert.notEqual(key('10.1.2.3', 20), key('10.1.16.3', 20));
  assert.equal(key('2001:db8::1'), key('2001:db8:0:0:ffff::9'));
  assert.notEqual(key('2001:db8::1'), key('2001:db8:0:1::1'));
  assert.equal(key('9.9.9.9', 0), key('1.1.1.1', 0));
  assert.equal(key('fe80::1%eth0'), key('fe80::1'));
});

test('every way to write an IPv6 address gives the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(7), (bytes, at) => {
      bytes[0] = 0x20; // not IPv4-mapped
      bytes.fill(0, 2 * at, 2 * at + 2);
      if (at === 0) bytes[2] = 0x20;
      const groups = Array.from({ length: 8 }, (_, i) =>
        (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
      );
      const short = [groups.slice(0, at).join(':'), groups.slice(at + 1).join(':')].join('::');
      const dotted = `${groups.slice(0, 6).join(':')}:${bytes.subarray(12).join('.')}`;
      for (const text of [groups.join(':'), short, dotted]) {
        assert.deepEqual([...sourceAddress(text).bytes], [...bytes], text);
      }
    }),
  );
});

test('what is no address is one source of its own and in no network', () => {
  const inAny = networkTest(['0.0.0.0/0', '::/0']);
  for (const text of [undefined, '', 'localhost', '1.2.3', '1.2.3.4.5', ':::', '1.2.3.4/8']) {
    assert.equal(sourceAddress(text).family, 'unknown', text);
    assert.equal(key(text), 'unknown');
    assert.ok(!inAny(sourceAddress(text)));
  }
});

test('networks hold what they hold, in either family', () => {
  const inside = networkTest(['127.0.0.0/8', '::1/128', '10.9.9.9', '2001:db8::/32']);
  for (const text of ['127.3.2.1', '::1', '10.9.9.9', '::ffff:127.0.0.1', '2001:db8:1::']) {
    assert.ok(inside(sourceAddress(text)), text);
  }
  for (const text of ['128.0.0.1', '::2', '10.9.9.8', '2001:db9::']) {
    assert.ok(!inside(sourceAddress(text)), text);
  }
  assert.ok(!networkTest([])(sourceAddress('127.0.0.1')));
});
