/** A line at the gate's prompt: the same whatever pieces it comes in, and nothing typed can act on the terminal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineEditor } from '../../src/ssh/line-editor.ts';
import type { LineEnd } from '../../src/ssh/line-editor.ts';

interface Typed {
  readonly line: string;
  readonly end: LineEnd | undefined;
  readonly show: string;
  readonly left: Buffer;
}

function type(bytes: Buffer, sizes: readonly number[] = [], echoes = true): Typed {
  const editor = new LineEditor(echoes);
  let show = '';
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes.length === 0 ? bytes.length : Math.max(1, sizes[i % sizes.length] ?? 1);
    const step = editor.take(bytes.subarray(at, at + size));
    at += step.taken;
    show += step.show;
    if (step.end) return { line: editor.line, end: step.end, show, left: bytes.subarray(at) };
  }
  return { line: editor.line, end: undefined, show, left: Buffer.alloc(0) };
}

const typed = (text: string): Typed => type(Buffer.from(text));

test('keys do what they say', () => {
  assert.equal(typed('db1\r').line, 'db1');
  assert.equal(typed('db1\n').end, 'line');
  assert.equal(typed('dc\b\x7fb1\r').line, 'b1');
  assert.equal(typed('\b\b\x7fdb1\r').line, 'db1');
  assert.equal(typed('wrong\x15db1\r').line, 'db1');
  assert.equal(typed('one two \x17x\r').line, 'one x');
  assert.equal(typed('d\x1b[Db\x1bOA1\x1b[1;5C\x1bx\r').line, 'db1');
  assert.equal(typed('db\x03').end, 'interrupt');
  assert.equal(typed('\x04').end, 'end');
  assert.equal(typed('db\x041\r').line, 'db1');
  assert.equal(typed('größe\x7f\x7fß\r').line, 'größ'.slice(0, 3) + 'ß');
});

test('what stands behind the line is left', () => {
  assert.equal(typed('db1\rls -l\r').left.toString(), 'ls -l\r');
  assert.equal(typed('\x04rest').left.toString(), 'rest');
});

test('what is shown erases what it erases, and a password shows nothing', () => {
  assert.equal(typed('ab\x7f\r').show, 'ab\b \b');
  assert.equal(typed('漢\x7f\r').show, '漢\b\b  \b\b');
  const { line, show } = type(Buffer.from('se\x7fcret\r'), [], false);
  assert.equal(line, 'scret');
  assert.equal(show, '');
});

test('any bytes in any pieces give the same, show no control characters and stay bounded', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 9 }),
      (bytes, sizes) => {
        const whole = type(Buffer.from(bytes));
        assert.deepEqual(type(Buffer.from(bytes), sizes), whole);
        assert.doesNotMatch(whole.show.replace(/\x08/g, ''), /\p{Cc}|\p{Cf}/u);
        assert.doesNotMatch(whole.line, /\p{Cc}|\p{Cf}/u);
      },
    ),
  );
  assert.equal(typed(`${'x'.repeat(100_000)}\r`).line.length, 1024);
});
