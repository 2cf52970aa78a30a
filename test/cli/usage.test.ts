/** Wrong usage exits with 2, what is refused with 1, help with 0; each failure in one line. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { VERSION } from '../../src/base/version.ts';
import { tempDir } from '../support/tempdir.ts';
import { sallyport, succeed } from './sallyport.ts';

const WRONG: readonly (readonly string[])[] = [
  [],
  ['frob'],
  ['--frob'],
  ['init'],
  ['serve', '--dir'],
  ['apply', '--dir', '/x'],
  ['connections', '--dir', '/x', 'extra'],
  ['connections', '--dir', '/x', '--limit', '0'],
  ['trail'],
  ['trail', 'frob'],
  ['trail', 'show', '--dir', '/x'],
  ['trail', 'export', '--dir', '/x', 'a', '0'],
  ['trail', 'export', '--dir', '/x', 'a', '0', '--format', 'pdf'],
  ['trail', 'verify'],
  ['trail', 'verify', '--key', 'k'],
  ['trail', 'verify', '--dir', '/x', '--key', 'k'],
  ['terminate', '--dir', '/x'],
];

test('wrong usage exits with 2', async () => {
  for (const args of WRONG) {
    const { code, out } = await sallyport(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(out, '');
  }
});

test('a folder that is no gate is refused by every command, with the remedy', async (t) => {
  const empty = join(tempDir(t), 'empty');
  mkdirSync(empty);
  const file = ['apply', '--dir', empty, join(import.meta.dirname, 'no-changes.yaml')];
  const commands = [
    file,
    ['serve', '--dir', empty],
    ['connections', '--dir', empty],
    ['export-inventory', '--dir', empty],
    ['audit', 'verify', '--dir', empty],
    ['terminate', '--dir', empty, '0199a3c4-5d6e'],
    ['trail', 'show', '--dir', empty, '0199a3c4-5d6e'],
    ['trail', 'verify', '--dir', empty],
  ];
  for (const args of commands) {
    const { code, err } = await sallyport(args);
    assert.equal(code, 1, args.join(' '));
    assert.ok(err.includes(`run sallyport init --dir ${empty}`), err);
  }
});

test('a folder that may not be read is not called missing', async (t) => {
  const dir = join(tempDir(t), 'gate');
  mkdirSync(dir, { mode: 0o000 });
  // Root reads everything; the kernel says the same of a name that is too long, whoever asks.
  const name = process.getuid?.() === 0 ? 'x'.repeat(256) : 'gate';
  const path = name === 'gate' ? dir : join(dir, name);
  const { code, err } = await sallyport(['trail', 'show', '--dir', path, 'newest']);
  assert.equal(code, 1);
  assert.match(err, /cannot read .*(EACCES|ENAMETOOLONG)/);
});

test('an error does not hand what others wrote to the terminal', async (t) => {
  const dir = join(tempDir(t), 'gate');
  await succeed(['init', '--dir', dir]);
  const file = join(dir, 'inventory.yaml');
  writeFileSync(file, 'users: [{ name: "a\u202eb\u061c" }]\n');
  const { code, err } = await sallyport(['apply', '--dir', dir, file]);
  assert.equal(code, 1);
  assert.match(err, /user "a\\x202eb\\x61c"/);
});

test('help has examples, and the version is the one of the package', async () => {
  assert.match(await succeed(['--help']), /Examples:\n {2}sallyport init --dir/);
  assert.match(await succeed(['trail', 'verify', '--help']), /--allow-open/);
  assert.equal(await succeed(['--version']), `${VERSION}\n`);
});
