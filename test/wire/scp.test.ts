/**
 * The old rcp protocol is followed as OpenSSH's scp speaks it, both ways and in any split: each file's bytes are found
 * in the stream, refusals and warnings are told, and no stream makes the decoder throw or grow.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { rounds, seeded } from '../support/scale.ts';
import { TAP_PROGRAM, contentOf, scpSession, toldOf } from '../support/scp-session.ts';
import type { Passed, ScpSession, TellingSink } from '../support/scp-session.ts';
import { tempDir } from '../support/tempdir.ts';

const random = seeded('scp');
const FILES: readonly (readonly [name: string, content: Buffer])[] = [
  ['empty', Buffer.alloc(0)],
  ['one', Buffer.from('\n')],
  ['sub/zeros', Buffer.alloc(20_000)],
  ['sub/deep/large', random.bytes(300_001)],
  ['sub/caf\xe9 "it\'s"', Buffer.from('C0644 3 trap\nabc\0E\n')],
  ['z', Buffer.from('last')],
];

/** A folder with the tap and a tree to copy, `tree`. */
function place(t: TestContext): string {
  const folder = tempDir(t);
  writeFileSync(join(folder, '.ssh'), TAP_PROGRAM);
  chmodSync(join(folder, '.ssh'), 0o755);
  mkdirSync(join(folder, 'tree/sub/deep'), { recursive: true });
  for (const [name, content] of FILES) {
    writeFileSync(Buffer.from(join(folder, 'tree', name), 'latin1'), content);
  }
  return folder;
}

/** Every file of the tree was told below `top`, whole, and its content is found in the stream. */
function assertTree({ passed }: ScpSession, told: TellingSink, top: string): void {
  assert.deepEqual(told.undecodeds, []);
  const paths = FILES.map(([name]) => `${top}/${name}`);
  assert.deepEqual(told.files.map(({ path }) => path).sort(), paths.sort());
  for (const [name, content] of FILES) {
    const file = told.files.find(({ path }) => path === `${top}/${name}`);
    assert.ok(file);
    assert.equal(file.size, content.length);
    assert.equal(file.status?.word, 'ok', name);
    assert.ok(contentOf(passed, file).equals(content), name);
  }
}

test('a tree sent with -r -p is told file by file, in any split', async (t) => {
  const folder = place(t);
  mkdirSync(join(folder, 'to'));
  const session = await scpSession(folder, ['-rp', 'tree', `h:${folder}/to/`]);
  assert.equal(session.outcome.code, 0, session.outcome.stderr.toString());
  const whole = toldOf(session.command, session.passed);
  assertTree(session, whole, `${folder}/to/tree`);
  for (const { flags, direction, path } of whole.files) {
    assert.ok(flags.write && flags.create && flags.truncate && !flags.read);
    if (!path.endsWith('empty')) assert.equal(direction, 'upload');
  }
  const made = whole.operations.filter(({ name }) => name === 'mkdir').map(({ path }) => path);
  const tree = `${folder}/to/tree`;
  assert.deepEqual(made, [tree, `${tree}/sub`, `${tree}/sub/deep`]);
  const times = whole.operations.filter(({ name }) => name === 'setstat');
  assert.equal(times.length, FILES.length);
  assert.match(times[0]?.detail ?? '', /^mtime \d{10}, atime \d{10}$/);
  for (const length of [1, 3, 1_000]) {
    assert.deepEqual(toldOf(session.command, session.passed, length), whole, `by ${length}`);
  }
});

test('a tree fetched with -r is told file by file, in any split', async (t) => {
  const folder = place(t);
  const session = await scpSession(folder, ['-r', `h:${folder}/tree`, 'back']);
  assert.equal(session.outcome.code, 0, session.outcome.stderr.toString());
  assert.equal(readdirSync(join(folder, 'back')).length, 4);
  const whole = toldOf(session.command, session.passed);
  assertTree(session, whole, `${folder}/tree`);
  assert.ok(whole.files.every(({ flags }) => flags.read && !flags.write));
  for (const length of [1, 3, 1_000]) {
    assert.deepEqual(toldOf(session.command, session.passed, length), whole, `by ${length}`);
  }
});

test('where a file lies is told as far as the command says it', async (t) => {
  const folder = place(t);
  const paths = async (words: readonly string[]): Promise<string[]> => {
    const { command, passed } = await scpSession(folder, words);
    const { files, operations } = toldOf(command, passed);
    const doubt = operations.some(({ detail }) => detail.endsWith('or as the command names it'));
    return [...files.map(({ path }) => path), ...(doubt ? ['in doubt'] : [])];
  };
  const up = join(folder, 'tree/z');
  assert.deepEqual(await paths([up, `h:${folder}/z`]), [`${folder}/z`]);
  assert.deepEqual(await paths([up, `h:${folder}/new`]), [`${folder}/new/z`, 'in doubt']);
  assert.deepEqual(await paths([up, `h:${folder}/`]), [`${folder}/z`]);
  assert.deepEqual(await paths([up, up, `h:${folder}/tree`]), [
    `${folder}/tree/z`,
    `${folder}/tree/z`,
  ]);
  assert.deepEqual(await paths([`h:${folder}/tree/one`, 'x']), [`${folder}/tree/one`]);
  assert.deepEqual(await paths([`h:${folder}/tree/[oz]*`, '.']), [
    `${folder}/tree/one`,
    `${folder}/tree/z`,
    'in doubt',
  ]);
});

test('refusals and warnings are told with the reason', async (t) => {
  const folder = place(t);
  mkdirSync(join(folder, 'to/one'), { recursive: true });
  const up = await scpSession(folder, ['-r', 'tree', `h:${folder}/to/../to`]);
  assert.equal(up.outcome.code, 0);
  mkdirSync(join(folder, 'in/z'), { recursive: true });
  const refused = await scpSession(folder, ['tree/one', 'tree/z', `h:${folder}/in`]);
  assert.notEqual(refused.outcome.code, 0);
  const told = toldOf(refused.command, refused.passed);
  assert.deepEqual(
    told.files.map(({ path, status }) => [path, status?.ok]),
    [[`${folder}/in/one`, true]],
  );
  const [open] = told.operations;
  assert.deepEqual(
    [open?.name, open?.path, open?.status.word],
    ['open', `${folder}/in/z`, 'refused'],
  );
  assert.match(open?.status.message.toString() ?? '', /Is a directory/i);
  const missing = await scpSession(folder, [`h:${folder}/nowhere`, 'x']);
  const [warning] = toldOf(missing.command, missing.passed).operations;
  assert.equal(warning?.status.word, 'warning');
  assert.match(warning.status.message.toString(), /No such file/);
});

test('a session that is cut says what is known: a download so far, an upload not', async (t) => {
  const folder = place(t);
  mkdirSync(join(folder, 'to'));
  const down = await scpSession(folder, [`h:${folder}/tree/sub/deep/large`, 'back']);
  const up = await scpSession(folder, ['tree/sub/deep/large', `h:${folder}/to/large`]);
  const large = readFileSync(join(folder, 'tree/sub/deep/large'));
  const cutTo = (session: ScpSession, count: number): Passed[] => session.passed.slice(0, count);
  for (let count = 0; count < down.passed.length; count++) {
    const passed = cutTo(down, count);
    const [file] = toldOf(down.command, passed).files;
    if (!file) continue;
    assert.ok(large.subarray(0, file.passing).equals(contentOf(passed, file)));
  }
  for (let count = 0; count < up.passed.length; count++) {
    const [file] = toldOf(up.command, cutTo(up, count)).files;
    if (!file) continue;
    assert.deepEqual([file.moved, file.lost, file.status], [[], file.passing, undefined]);
  }
});

const command = Buffer.from('scp -r -t /x');
const yes = { stream: 'stdout', bytes: Buffer.from([0]) } as const;
function said(text: string): Passed {
  return { stream: 'stdin', bytes: Buffer.from(text, 'latin1') };
}
function answered(text: string): Passed {
  return { stream: 'stdout', bytes: Buffer.from(text, 'latin1') };
}

test('a script that does not wait for its answers is followed', () => {
  const script = said('C0644 3 a\nabc\0C0600 2 b\nde\0');
  const told = toldOf(command, [script, yes, yes, yes, yes, yes]);
  assert.deepEqual(
    told.files.map(({ path, status, size }) => [path, status?.word, size]),
    [
      ['/x/a', 'ok', 3],
      ['/x/b', 'ok', 2],
    ],
  );
  const refused = toldOf(command, [script, yes, answered('\x01scp: no\n')]);
  assert.deepEqual(refused.undecodeds, ['what was refused was sent all the same']);
});

test('what was not read, not written or went wrong does not count', () => {
  const start = [yes, said('C0644 3 a\n'), yes];
  const unread = toldOf(command, [...start, said('ab\0\x01scp: a: I/O error\n'), yes]);
  assert.deepEqual([unread.files[0]?.status?.word, unread.files[0]?.lost], ['not read', 3]);
  const unwritten = toldOf(command, [...start, said('abc\0'), answered('\x01scp: no space\n')]);
  assert.equal(unwritten.files[0]?.status?.word, 'not written');
  assert.equal(unwritten.files[0].status.message.toString(), 'scp: no space');
  assert.deepEqual(unwritten.files[0].moved, []);
  const fatal = toldOf(command, [yes, said('C0644 3 a\n'), answered('\x02scp: over\n'), said('x')]);
  assert.equal(fatal.operations[0]?.status.word, 'refused');
  assert.deepEqual([fatal.files, fatal.undecodeds], [[], []]);
});

test('nonsense and hostile numbers end the decoding with one word', () => {
  const lines = [
    'hello\n',
    'C0644 99999999999999999999 a\n',
    'C0644 9999999999999999 a\n',
    'C0644 -1 a\n',
    'C0644 1 ../a\n',
    'C0644 1 ..\n',
    'C0644 1 \n',
    'C9999 1 a\n',
    'D0755 0 .\n',
    'E\n',
    'T1 2\n',
    'x'.repeat(16_385),
  ];
  for (const line of lines) {
    assert.equal(toldOf(command, [yes, said(line)]).undecodeds.length, 1, line.slice(0, 40));
    assert.equal(toldOf(command, [yes, said(line)], 1).undecodeds.length, 1, line.slice(0, 40));
  }
  const deep = toldOf(command, [yes, said('D0755 0 aaaaaaaaaaaaaaa\n'.repeat(2_000))]);
  assert.equal(deep.undecodeds.length, 1);
  const many = toldOf(command, [yes, said('T1 0 1 0\n'.repeat(2_000))]);
  assert.deepEqual(many.undecodeds, ['nothing is answered']);
  assert.deepEqual(toldOf(command, [yes, yes]).undecodeds, ['an answer to nothing']);
  const huge = toldOf(command, [yes, said('C0644 1099511627776 a\n'), yes, said('abc')]);
  assert.deepEqual([huge.files[0]?.size, huge.files[0]?.passing], [2 ** 40, 3]);
});

test('any lines in any split tell the same and never throw', () => {
  const part = fc.oneof(
    fc.constantFrom('C0644 3 a\n', 'abc\0', 'D0755 0 d\n', 'E\n', 'T1 0 2 0\n', '\0', '\x01no\n'),
    fc.constantFrom('\x02no\n', 'C0644 0 b\n', '\n', 'C', '\x00\x00'),
    fc.string({ maxLength: 5 }),
  );
  const piece = fc
    .tuple(fc.boolean(), part)
    .map(([isSource, text]) => (isSource ? said(text) : answered(text)));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 16 }), fc.boolean(), (passed, isDown) => {
      const line = isDown ? Buffer.from('scp -f /x') : command;
      assert.deepEqual(toldOf(line, passed, 1), toldOf(line, passed));
    }),
    { numRuns: 2_000 },
  );
});

test('mutated sessions never throw and say at most once that they are not understood', async (t) => {
  const folder = place(t);
  rmSync(join(folder, 'tree/sub/deep/large'));
  const down = await scpSession(folder, ['-rp', `h:${folder}/tree`, 'back']);
  mkdirSync(join(folder, 'to'));
  const up = await scpSession(folder, ['-rp', 'tree', `h:${folder}/to`]);
  for (let round = rounds(100_000, 1_000); round > 0; round--) {
    const session = random.pick([down, up]);
    const passed = session.passed.map(({ stream, bytes }) => {
      const mutated = Buffer.from(bytes);
      for (let n = random.int(0, 1); n > 0 && mutated.length > 0; n--) {
        mutated[random.int(0, Math.min(40, mutated.length) - 1)] = random.int(0, 255);
      }
      return { stream, bytes: mutated };
    });
    const told = toldOf(session.command, passed, random.pick([1_000, 64, 1 << 20]));
    assert.ok(told.undecodeds.length <= 1);
  }
});
