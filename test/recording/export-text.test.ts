/**
 * Text exports read as the screen did: redraws resolved, nothing told twice or left out, editors and pagers by their last
 * screen; and whatever was sent, the text is harmless and its making is bounded.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { exportTrail } from '../../src/recording/export.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { Screen } from '../../src/recording/screen.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { run } from '../support/process.ts';
import { rounds } from '../support/scale.ts';
import { runInPty } from '../support/ssh-client.ts';
import type { PtyStep } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { collect, writerAt } from './sample.ts';

const SIZE = { columns: 20, rows: 5 };

/** What a screen tells of pieces of text; a size among them is a resize. */
async function shown(
  pieces: readonly (string | readonly [columns: number, rows: number])[],
  size = SIZE,
): Promise<string> {
  const screen = new Screen(size);
  let told = '';
  for (const piece of pieces) {
    if (typeof piece === 'string') {
      for await (const text of screen.write(piece)) told += text;
    } else {
      screen.resize({ columns: piece[0], rows: piece[1] });
    }
  }
  return told + screen.end();
}

const ALTERNATE =
  /^--- alternate screen, (\d+x\d+), ([a-z ]+):\n((?:\|.*\n)*)--- end of the alternate/m;

const CASES: readonly (readonly [what: string, sent: string, read: string])[] = [
  ['backspaces', 'lss\b \b -l\r\n', 'ls -l\n'],
  ['a bar that is redrawn', '10%\r50%\r100%\r\ndone', '100%\ndone\n'],
  ['a shorter redraw with erasing', 'downloading\r\x1b[Kok\r\n', 'ok\n'],
  ['redraws of several lines', 'a: 1\r\nb: 1\r\n\x1b[2Aa: 2\r\nb: 2\r\n', 'a: 2\nb: 2\n'],
  ['a line longer than the screen', `${'x'.repeat(50)}\r\ny`, `${'x'.repeat(50)}\ny\n`],
  [
    'tabs, wide characters, accents',
    'a\tb\r\n漢字かな|\r\ne\u0301\r\n',
    'a       b\n漢字かな|\ne\u0301\n',
  ],
  ['a wide character at the edge', `${'x'.repeat(19)}漢\r\n`, `${'x'.repeat(19)}漢\n`],
  ['colours and titles', '\x1b]0;title\x07\x1b[1;31mred\x1b[0m\r\n', 'red\n'],
  ['blank lines', 'a\r\n\r\n\r\nb\r\n', 'a\n\n\nb\n'],
  ['what was cleared', 'one\r\ntwo\x1b[H\x1b[2J\x1b[3Jthree\r\n', 'one\ntwo\nthree\n'],
  [
    'what was cleared with all above it',
    '1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n\x1b[H\x1b[2J\x1b[3J8',
    '1\n2\n3\n4\n5\n6\n7\n8\n',
  ],
  ['what was reset', 'one\r\n\x1bctwo', 'one\ntwo\n'],
  ['marks that reorder text', 'a\u202eb\r\n', 'a\\u{202e}b\n'],
];

for (const [what, sent, read] of CASES) {
  test(`${what} read as on the screen`, async () => {
    assert.equal(await shown([sent]), read);
    assert.equal(await shown(Array.from(sent)), read, 'character by character');
  });
}

test('every line of a long output is told once, in flat memory', async () => {
  const lines = rounds(2_000_000, 100_000);
  const screen = new Screen({ columns: 80, rows: 24 });
  let next = 0;
  let rest = '';
  const take = (text: string): void => {
    const whole = (rest + text).split('\n');
    rest = whole.pop() ?? '';
    for (const line of whole) assert.equal(line, `line ${next++}`);
  };
  let least = Infinity;
  let most = 0;
  for (let line = 0; line < lines;) {
    let sent = '';
    for (const end = line + 1_000; line < end; line++) sent += `line ${line}\r\n`;
    for await (const text of screen.write(sent)) take(text);
    const { arrayBuffers } = process.memoryUsage();
    if (line >= 40_000) least = Math.min(least, arrayBuffers);
    most = Math.max(most, arrayBuffers);
  }
  take(screen.end());
  assert.equal(next, lines);
  assert.equal(rest, '');
  assert.ok(most - least < 64 * 1024 * 1024, `${most - least} bytes more`);
});

test('a resize keeps what was told, and what follows is wrapped anew', async () => {
  const text = await shown(['a\r\nb\r\n', [40, 10], 'c\r\n', [10, 2], `${'d'.repeat(25)}\r\ne`]);
  assert.equal(text, `a\nb\nc\n${'d'.repeat(25)}\ne\n`);
  const numbers = Array.from({ length: 200 }, (_, at) => `${at}`);
  const pieces = numbers.flatMap((line, at) => [
    `${line}\r\n`,
    [10 + (at % 7) * 9, 2 + (at % 5)] as const,
  ]);
  assert.equal(await shown(pieces), `${numbers.join('\n')}\n`);
});

test('the alternate screen is told as it was when it was left, where that was', async () => {
  const sent =
    '$ edit\r\n\x1b[?1049h\x1b[H\x1b[2Jfirst\x1b[Hsecond\x1b[3;1H~\x1b[?1049l$ ls\r\nfile\r\n';
  const text = await shown([sent]);
  const lines = [
    '$ edit',
    '--- alternate screen, 20x5, when it was left:',
    '| second',
    '|',
    '| ~',
    '--- end of the alternate screen',
    '$ ls',
    'file',
    '',
  ];
  assert.equal(text, lines.join('\n'));
  const open = await shown(['$ edit\r\n\x1b[?1049h\x1b[Hopen']);
  assert.match(open, /^\$ edit\n--- alternate screen, 20x5, at the end:\n\| open\n--- end/);
});

/** What a real program showed in a real terminal, told in the given pieces. */
async function program(
  command: readonly [string, ...string[]],
  steps: readonly PtyStep[],
): Promise<string> {
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, TERM: 'xterm-256color', LANG: 'C.UTF-8' };
  const { stdout, stderr } = await runInPty(command, { steps, env });
  assert.equal(stderr.toString(), '');
  return stdout.toString();
}

for (const [name, command, steps] of [
  ['vim', ['vim', '-N', '-u', 'NONE'], [{ expect: 'line 20' }, { send: ':q!\r' }]],
  ['less', ['less'], [{ expect: 'line 20' }, { send: 'q' }]],
] as const) {
  test(`${name} is read by its last screen, in any split`, async (t) => {
    if ((await run(['/bin/sh', '-c', `command -v ${name}`])).code !== 0) {
      t.skip(`no ${name} here`);
      return;
    }
    const file = join(tempDir(t), 'file');
    writeFileSync(file, Array.from({ length: 100 }, (_, at) => `line ${at + 1}\n`).join(''));
    const script = 'echo before; "$@"; echo after';
    const sent = await program(['/bin/sh', '-c', script, 'sh', ...command, file], steps);
    const size = { columns: 80, rows: 24 };
    const text = await shown([sent], size);
    const [, shape, when, screen] = ALTERNATE.exec(text) ?? [];
    assert.equal(shape, '80x24');
    assert.equal(when, 'when it was left');
    assert.match(screen ?? '', /^\| line 1\n\| line 2\n[^]*\| line 20\n/);
    assert.ok(text.startsWith('before\n'));
    assert.ok(text.endsWith('after\n'));
    assert.equal(await shown(Array.from(sent), size), text);
  });
}

test('no number makes the emulator busy, and no screen is told without end', async () => {
  const huge = '2147483647';
  const sent = ['L', 'M', 'S', 'T', 'I', 'Z', 'b', '@', 'P', 'X', 'A', 'B', 'C', 'D', 'J', 'K']
    .map((final) => `x\x1b[${huge}${final}`)
    .join('');
  assert.ok((await shown([`${sent}\r\nend`])).endsWith('end\n'));
  const screen = `${'x\x1b[299b\r\n'.repeat(99)}\x1b[?1049l\x1b[?1049h`;
  const flood = `\x1b[?1049h${screen.repeat(100)}`;
  const text = await shown([flood], { columns: 300, rows: 100 });
  assert.ok(text.length < 25 * flood.length, `${text.length} of ${flood.length} characters`);
  assert.ok(text.includes('more screens are left out'));
  const marks = await shown([`e${'\u0301'.repeat(100_000)}`]);
  assert.ok(marks.length < 10_000, `${marks.length} characters`);
});

const part = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom(
    '\x1b[',
    '\x1b]',
    '\x1b[?1049h',
    '\x1b[?1049l',
    '\r\n',
    '\x1b[2J',
    '\x1bc',
    '\x1bM',
  ),
  fc.constantFrom(
    '\x1b[6n',
    '\x1b[c',
    '\x1bP$qm\x1b\\',
    '\x1b[3;4r',
    '\x1b[2L',
    '\x1b[H',
    '\x9b',
    '\x07',
  ),
  fc.nat({ max: 300 }).map(String),
);

test('whatever is sent, the text is printable lines, and the same for any split', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 40 }), async (parts) => {
      const text = await shown([parts.join('')]);
      assert.doesNotMatch(
        text.replaceAll('\n', ''),
        /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/u,
      );
      assert.equal(await shown(parts), text);
    }),
    { numRuns: rounds(4_000, 200) },
  );
});

type Step = readonly [kind: number, direction: number, fate: number, data: Buffer | string];

async function exported(t: TestContext, steps: readonly Step[]): Promise<string> {
  const path = join(tempDir(t), '0.trail');
  const writer = writerAt(path);
  for (const [kind, direction, fate, data] of steps) {
    writer.put(kind, direction, fate, 0, Buffer.from(data));
  }
  await writer.close({ reason: 'exit 0' });
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  return Buffer.concat(await collect(exportTrail(file, 'text'))).toString();
}

const { up, down } = DIRECTION;
const { passed, withheld } = FATE;

test('without a terminal the lines are as they came, those of stderr marked', async (t) => {
  const text = await exported(t, [
    [KINDS.stdout, down, passed, 'out 1\nou'],
    [KINDS.stderr, down, passed, 'err \x1b[31m\n'],
    [KINDS.stdout, down, passed, 't 2\ta\r\n'],
    [KINDS.stdout, down, withheld, 'never shown\n'],
    [KINDS.stdin, up, passed, 'typed\n'],
    [KINDS.stdout, down, passed, Buffer.from('caf\xc3', 'latin1')],
    [KINDS.stderr, down, passed, 'no end'],
    [KINDS.stdout, down, passed, Buffer.from('\xa9 \xff', 'latin1')],
  ]);
  const lines = [
    'out 1',
    'stderr: err \\x1b[31m',
    'out 2   a',
    'café \ufffd',
    'stderr: no end',
    '',
  ];
  assert.equal(text, lines.join('\n'));
});

test('with a terminal it has the size that was asked for, and takes its resizes', async (t) => {
  const size = (w: Writer, columns: number, rows: number): Writer =>
    w.uint32(columns).uint32(rows).uint32(0).uint32(0);
  const request = (type: string): Writer =>
    new Writer().uint8(98).uint32(0).string(type).boolean(false);
  const pty = size(request('pty-req').string('xterm'), 10, 4).string('').done();
  const text = await exported(t, [
    [KINDS['forward-request'], up, passed, pty],
    [KINDS.stdout, down, passed, 'a\x1b[1;99Hb\r\n'],
    [KINDS['forward-request'], up, passed, size(request('window-change'), 30, 4).done()],
    [KINDS.stdout, down, passed, Buffer.from('\x1b[2;99Hc\xe6\xbc', 'latin1')],
    [KINDS.stdout, down, withheld, 'never shown'],
    [KINDS.stdout, down, passed, Buffer.from('\xa2', 'latin1')],
  ]);
  assert.equal(text, `a${' '.repeat(8)}b\n${' '.repeat(29)}c漢\n`);
  const joke = size(request('pty-req').string('xterm'), 0xffffffff, 0xffffffff).string('').done();
  const bounded = await exported(t, [
    [KINDS['forward-request'], up, passed, joke],
    [KINDS.stdout, down, passed, '\x1b[99999;99999Hx'],
  ]);
  assert.equal(bounded.length, 99 + 300 + 1);
});
