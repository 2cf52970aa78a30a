/** The error codes are what scripts match on: the README lists exactly those that exist. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AppError, DISCONNECT, ERRORS, ProtocolError, reasonOf } from '../../src/base/errors.ts';
import { between, cellsOf, errorRows, HEAD, MARKERS } from '../support/error-table.ts';

test('README.md lists every error code as it is, and no other', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
  const section = between(readme, MARKERS);
  const remedy = `put the output of "node test/support/error-table.ts" into README.md`;
  assert.ok(section !== undefined, `README.md has no ${MARKERS[0]} ... ${MARKERS[1]}: ${remedy}`);
  const listed = cellsOf(section).map((cells) => cells.slice(0, HEAD.length));
  const byCode = (a: string[], b: string[]): number => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1);
  assert.deepEqual(listed.toSorted(byCode), errorRows().toSorted(byCode), remedy);
});

test('every code has a disconnect reason of RFC 4253, an HTTP status and a decision on exposure', () => {
  const reasons: number[] = Object.values(DISCONNECT);
  for (const [code, kind] of Object.entries(ERRORS)) {
    assert.match(code, /^[a-z]+(-[a-z]+)*$/);
    assert.ok(reasons.includes(kind.disconnect), code);
    assert.ok(kind.status >= 200 && kind.status < 600, code);
    assert.equal(typeof kind.expose, 'boolean');
  }
});

test('what is our own fault is not shown to a peer', () => {
  assert.equal(ERRORS.internal.expose, false);
  assert.equal(ERRORS['secret-unreadable'].expose, false);
});

test('an error keeps its code, its kind and its cause', () => {
  const cause = new Error('below');
  const error = new AppError('not-found', 'no target "db1"', { cause });
  assert.ok(error instanceof Error);
  assert.equal(error.code, 'not-found');
  assert.deepEqual(error.kind, ERRORS['not-found']);
  assert.equal(error.cause, cause);
  assert.equal(error.name, 'AppError');
});

test('a ProtocolError is an AppError with the code "protocol"', () => {
  const error = new ProtocolError('length 2147483648 exceeds 35000');
  assert.ok(error instanceof AppError);
  assert.equal(error.code, 'protocol');
});

test('the reason of anything thrown is one line', () => {
  assert.equal(reasonOf(new Error('first\n  second\r\n')), 'first second');
  assert.equal(reasonOf('a\tb'), 'a b');
  assert.equal(reasonOf(undefined), 'undefined');
});
