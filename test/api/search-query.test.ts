/** Search expressions are read as documented, print as they read, and are refused at a place, whatever is sent. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  InvalidQuery,
  MAX_QUERY_BYTES,
  MAX_QUERY_DEPTH,
  MAX_QUERY_TERMS,
  parseQuery,
  printQuery,
} from '../../src/api/search-query.ts';
import type { QueryNode } from '../../src/api/search-query.ts';

/** The same without places, which printing changes. */
function bare(node: QueryNode): unknown {
  if ('of' in node) {
    const { of } = node;
    return { kind: node.kind, of: Array.isArray(of) ? of.map(bare) : bare(of as QueryNode) };
  }
  const { at, ...rest } = node;
  assert.ok(at >= 0);
  return rest;
}

const read = (text: string): unknown => bare(parseQuery(text));

const term = (value: string, field: string | null = null, prefix = false): unknown => ({
  kind: 'term',
  field,
  value,
  prefix,
});
const range = (
  from: string | null,
  to: string | null,
  withFrom = true,
  withTo = true,
): unknown => ({ kind: 'range', field: 'f', from, to, withFrom, withTo });
const and = (...of: unknown[]): unknown => ({ kind: 'and', of });
const or = (...of: unknown[]): unknown => ({ kind: 'or', of });
const not = (of: unknown): unknown => ({ kind: 'not', of });

const READ: readonly [string, unknown][] = [
  ['alice', term('alice')],
  ['  alice\t', term('alice')],
  ['protocol:SSH', term('SSH', 'protocol')],
  ['client.ip:10.0.0.1', term('10.0.0.1', 'client.ip')],
  ['"a phrase \\" with \\\\ quotes"', term('a phrase " with \\ quotes')],
  ['user.name:"a b"', term('a b', 'user.name')],
  ['f:""', term('', 'f')],
  ['db*', term('db', null, true)],
  ['f:db*', term('db', 'f', true)],
  ['f:a\\*', term('a*', 'f')],
  ['\\AND', term('AND')],
  ['f:"AND"', term('AND', 'f')],
  ['andy', term('andy')],
  ['ANDY', term('ANDY')],
  ['a/b-c+d', term('a/b-c+d')],
  ['a AND b', and(term('a'), term('b'))],
  ['a b', and(term('a'), term('b'))],
  ['a OR b', or(term('a'), term('b'))],
  ['a b OR c AND d', or(and(term('a'), term('b')), and(term('c'), term('d')))],
  ['a AND (b OR c)', and(term('a'), or(term('b'), term('c')))],
  ['(a)(b)', and(term('a'), term('b'))],
  ['((a))', term('a')],
  ['NOT a', not(term('a'))],
  ['NOT(a)', not(term('a'))],
  ['!a', not(term('a'))],
  ['-a', not(term('a'))],
  ['a -b', and(term('a'), not(term('b')))],
  ['NOT a b', and(not(term('a')), term('b'))],
  ['+a -(b OR c)', and(term('a'), not(or(term('b'), term('c'))))],
  ['(+a b) OR c', or(and(term('a'), term('b')), term('c'))],
  ['f:[1 TO 2]', range('1', '2')],
  ['f:{1 TO 2]', range('1', '2', false)],
  ['f:[1 TO 2}', range('1', '2', true, false)],
  ['f:[* TO "a b"]', range(null, 'a b')],
  ['f:[2017-01-25T10:00 TO *]', range('2017-01-25T10:00', null)],
  ['f:>5', range('5', null, false)],
  ['f:>=5', range('5', null)],
  ['f:<5', range(null, '5', true, false)],
  ['f:<=5', range(null, '5')],
  ['(f:>5)', range('5', null, false)],
];

const REFUSED: readonly [string, number][] = [
  ['', 0],
  ['  ', 2],
  ['*', 0],
  ['*a', 0],
  ['f:*', 2],
  ['a*b', 2],
  ['a?', 1],
  ['a~1', 1],
  ['a^2', 1],
  ['/a/', 0],
  ['f:/a/', 2],
  ['a && b', 2],
  ['a||b', 1],
  ['"a', 0],
  ['f:"a', 2],
  ['a"b"', 1],
  ['"a"b', 3],
  ['a:b:c', 3],
  ['f:', 2],
  ['f: a', 2],
  ['f:(a b)', 2],
  ['1f:a', 0],
  ['"f":a', 0],
  ['(a', 0],
  ['a (b', 2],
  ['a)', 1],
  ['()', 1],
  ['a(b)', 1],
  ['AND a', 0],
  ['a AND', 5],
  ['a OR', 4],
  ['a AND OR b', 6],
  ['NOT', 3],
  ['NOT AND', 4],
  ['- a', 1],
  ['+', 1],
  ['+-a', 1],
  ['a OR +b', 5],
  ['+a OR b', 0],
  ['f:AND', 2],
  ['f:-1', 2],
  ['[a TO b]', 0],
  ['f:[a TO b', 2],
  ['f:[a b]', 5],
  ['f:[TO b]', 3],
  ['f:[a TO ]', 8],
  ['f:[a* TO b]', 4],
  ['f:[a TO b]c', 10],
  ['f:>', 3],
  ['f:>*', 3],
  ['f:> 5', 3],
  ['a\\', 2],
  ['"a\0"', 0],
];

for (const [text, node] of READ) {
  test(`reads ${JSON.stringify(text)}`, () => {
    assert.deepEqual(read(text), node);
    assert.deepEqual(read(printQuery(parseQuery(text))), node);
  });
}

for (const [text, position] of REFUSED) {
  test(`refuses ${JSON.stringify(text)} at ${position}`, () => {
    assert.throws(
      () => parseQuery(text),
      (error) => error instanceof InvalidQuery && error.position === position,
    );
  });
}

const value = fc.oneof(
  fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }),
  fc.constantFrom('AND', 'OR', 'NOT', 'TO', '*', '"', '\\', 'a:b', '-', '+a', '(', 'x"y', ' '),
);
const text = value.filter((one) => !one.includes('\0') && one.isWellFormed());
const field = fc.constantFrom('f', 'user.name', 'recording.target.ip', 'NOT');
const leaf: fc.Arbitrary<QueryNode> = fc.oneof(
  fc.record({
    kind: fc.constant('term' as const),
    field: fc.option(field),
    value: text,
    prefix: fc.boolean(),
    at: fc.constant(0),
  }),
  fc.record({
    kind: fc.constant('range' as const),
    field,
    from: fc.option(text),
    to: fc.option(text),
    withFrom: fc.boolean(),
    withTo: fc.boolean(),
    at: fc.constant(0),
  }),
);
const { tree } = fc.letrec<{ tree: QueryNode }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.record({ kind: fc.constant('not' as const), of: tie('tree') }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
    }),
  ),
}));

test('what is printed reads as what was printed', () => {
  fc.assert(
    fc.property(tree, (node) => {
      const printed = printQuery(node);
      fc.pre(Buffer.byteLength(printed) <= MAX_QUERY_BYTES);
      assert.deepEqual(read(printed), bare(node));
    }),
    { numRuns: 1000 },
  );
});

const PIECES = [
  ...['a', 'f:', 'AND', ' OR ', 'NOT ', ' ', '(', ')', '[', ']', '{', '}', '"', '\\', ':', '*'],
  ...['+', '-', '!', ' TO ', '>', '>=', '~', '^', '?', '/', '&&', '||', '\u3000', '\0', '\ud800'],
];

test('nothing but InvalidQuery is ever thrown, at a place in the text', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom(...PIECES)).map((pieces) => pieces.join('')),
  );
  fc.assert(
    fc.property(anything, (sent) => {
      try {
        parseQuery(sent);
      } catch (error) {
        assert.ok(error instanceof InvalidQuery, String(error));
        assert.ok(error.position >= 0 && error.position <= sent.length);
      }
    }),
    { numRuns: 3000 },
  );
});

test('length, depth and the number of terms have bounds', () => {
  const refused = (sent: string, what: RegExp): void => {
    assert.throws(
      () => parseQuery(sent),
      (error) => error instanceof InvalidQuery && what.test(error.message),
    );
  };
  parseQuery('a'.repeat(MAX_QUERY_BYTES));
  refused('a'.repeat(MAX_QUERY_BYTES + 1), /longer/);
  refused('\u20ac'.repeat(MAX_QUERY_BYTES / 2), /longer/);
  const deep = (depth: number): string => `${'('.repeat(depth)}a${')'.repeat(depth)}`;
  parseQuery(deep(MAX_QUERY_DEPTH));
  refused(deep(MAX_QUERY_DEPTH + 1), /inside each other/);
  refused(`${'-'.repeat(MAX_QUERY_DEPTH + 1)}a`, /inside each other/);
  parseQuery(Array.from({ length: MAX_QUERY_TERMS }, () => 'a').join(' '));
  refused(Array.from({ length: MAX_QUERY_TERMS + 1 }, () => 'a').join(' OR '), /terms/);
});
