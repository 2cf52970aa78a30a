/** The master key is made once, readable to its owner alone, and refused in any other condition. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createMasterKey, loadMasterKey, masterKeyFile } from '../../src/vault/keyring.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

function gateDir(scope: Scope): string {
  const dir = tempDir(scope);
  mkdirSync(join(dir, 'keys'));
  return dir;
}

test('made with mode 0600 whatever the umask, and read back', (t) => {
  const dir = gateDir(t);
  const old = process.umask(0);
  t.after(() => process.umask(old));
  const made = createMasterKey(dir);
  assert.equal(made.reveal().length, 32);
  assert.equal(statSync(masterKeyFile(dir)).mode & 0o777, 0o600);
  assert.ok(loadMasterKey(dir).equals(made));
});

test('an existing key is never replaced', (t) => {
  const dir = gateDir(t);
  createMasterKey(dir);
  const before = readFileSync(masterKeyFile(dir));
  assert.throws(() => createMasterKey(dir), { code: 'dir-invalid', message: /master\.key/ });
  assert.deepEqual(readFileSync(masterKeyFile(dir)), before);
});

test('a key that group or others may read is refused with the remedy', (t) => {
  const dir = gateDir(t);
  createMasterKey(dir);
  const file = masterKeyFile(dir);
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o777]) {
    chmodSync(file, mode);
    assert.throws(() => loadMasterKey(dir), {
      code: 'dir-invalid',
      message: `${file} is open to others (mode 0${mode.toString(8)}); run: chmod 600 ${file}`,
    });
  }
  chmodSync(file, 0o400);
  loadMasterKey(dir);
});

test('links, folders, pipes and missing files are refused', (t) => {
  const dir = gateDir(t);
  const file = masterKeyFile(dir);
  assert.throws(() => loadMasterKey(dir), { code: 'dir-invalid', message: /is missing/ });
  createMasterKey(dir);
  renameSync(file, `${file}.real`);
  symlinkSync(`${file}.real`, file);
  assert.throws(() => loadMasterKey(dir), { code: 'dir-invalid', message: /symbolic link/ });
  assert.throws(() => createMasterKey(dir), { code: 'dir-invalid' });
  rmSync(file);
  mkdirSync(file, 0o700);
  assert.throws(() => loadMasterKey(dir), { code: 'dir-invalid', message: /not a plain file/ });
  rmSync(file, { recursive: true });
  execFileSync('mkfifo', ['-m', '600', file]);
  assert.throws(() => loadMasterKey(dir), { code: 'dir-invalid', message: /not a plain file/ });
});

test('anything that is not exactly 32 bytes of base64 is refused and not shown', (t) => {
  const dir = gateDir(t);
  const file = masterKeyFile(dir);
  const bytes = (length: number) => Buffer.alloc(length, 7).toString('base64');
  const bad = [
    '',
    '\n',
    bytes(31),
    bytes(33),
    `${bytes(32)} `,
    `${bytes(32)}\n\n`,
    'x'.repeat(1e5),
  ];
  for (const text of [
    ...bad,
    ` ${bytes(32)}`,
    bytes(32).slice(0, 43),
    bytes(32).replace('B', '-'),
  ]) {
    writeFileSync(file, text, { mode: 0o600 });
    assert.throws(
      () => loadMasterKey(dir),
      (error: Error) => {
        assert.match(error.message, /does not hold a key of 32 bytes/);
        assert.ok(!error.message.includes(bytes(32).slice(0, 20)));
        return true;
      },
      JSON.stringify(text.slice(0, 60)),
    );
  }
  writeFileSync(file, bytes(32));
  assert.deepEqual(
    loadMasterKey(dir).reveal(),
    Buffer.alloc(32, 7),
    'without a newline it is good',
  );
});
