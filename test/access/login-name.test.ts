/** Login names are taken apart as DESIGN part 4 says, whatever bytes come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_LOGIN_NAME, parseLoginName } from '../../src/access/destination.ts';

const parse = (text: string) => parseLoginName(Buffer.from(text));

/** Names as the inventory has them: without separators and controls. */
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((text) => !/[@%:\\\p{C}\p{Z}]/u.test(text));

test('one, two and three parts with each separator', () => {
  fc.assert(
    fc.property(name, name, name, fc.constantFrom('@', '%', ':'), (user, account, target, sep) => {
      const three = [user, account, target].join(sep);
      assert.deepEqual(parse(three), { text: three, user, account, target });
      const two = [user, target].join(sep);
      assert.deepEqual(parse(two), { text: two, user, target });
      assert.deepEqual(parse(user), { text: user, user });
    }),
  );
});

test('the first separator of the list that occurs is the one that separates', () => {
  assert.deepEqual(parse('a%b@c'), { text: 'a%b@c', user: 'a%b', target: 'c' });
  assert.deepEqual(parse('a:b%c'), { text: 'a:b%c', user: 'a:b', target: 'c' });
});

test('read from the right: what is left over belongs to the user', () => {
  const { user, account, target } = parse('alice@corp@root@db1');
  assert.deepEqual([user, account, target], ['alice@corp', 'root', 'db1']);
});

test('what cannot be a login name has the user that nobody is, and says why', () => {
  const bad: Record<string, Buffer> = {
    empty: Buffer.alloc(0),
    'empty part': Buffer.from('alice@@db1'),
    'empty user': Buffer.from('@db1'),
    'empty target': Buffer.from('alice@'),
    'not UTF-8': Buffer.from([0x61, 0xff]),
    surrogate: Buffer.from([0xed, 0xa0, 0x80]),
    NUL: Buffer.from('alice\0'),
    newline: Buffer.from('alice\nroot'),
    escape: Buffer.from('\x1b[31malice'),
    C1: Buffer.from('alice\u009b'),
    bidi: Buffer.from('alice\u202eroot'),
    'line separator': Buffer.from('alice\u2028'),
    'too long': Buffer.alloc(MAX_LOGIN_NAME + 1, 'a'),
    huge: Buffer.alloc(30_000, '@'),
  };
  for (const [what, bytes] of Object.entries(bad)) {
    const parsed = parseLoginName(bytes);
    assert.equal(parsed.user, '', what);
    assert.ok(parsed.problem, what);
    assert.equal(parsed.account ?? parsed.target, undefined, what);
  }
  assert.equal(parseLoginName(Buffer.alloc(MAX_LOGIN_NAME, 'a')).problem, undefined);
});

test('any bytes: never throws, never a control character, never an empty part', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc.string({ unit: 'binary', maxLength: 100 }).map((text) => Buffer.from(text)),
    fc.stringMatching(/^[a-b@%:]{0,12}$/).map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(bytes, (raw) => {
      const parsed = parseLoginName(Buffer.from(raw));
      assert.doesNotMatch(parsed.text, /[\p{Cc}\u2028\u2029\u202a-\u202e]/u);
      assert.ok(parsed.text.length <= 4 * MAX_LOGIN_NAME);
      if (parsed.problem !== undefined) {
        assert.equal(parsed.user, '');
        return;
      }
      for (const part of [parsed.user, parsed.account ?? 'x', parsed.target ?? 'x']) {
        assert.notEqual(part, '');
        assert.doesNotMatch(part, /\p{Cc}/u);
      }
    }),
    { numRuns: 2000 },
  );
});
