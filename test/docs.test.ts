/** What the documents say is so: files that they name exist, samples are accepted, and no command is left out. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { between } from './support/error-table.ts';
import { SALLYPORT } from './support/gate.ts';
import { run } from './support/process.ts';
import type { Scope } from './support/scope.ts';
import { ROOT, sourceTree } from './support/source-tree.ts';
import { tempDir } from './support/tempdir.ts';

const DOCUMENTS = [
  'README.md',
  'src/README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'docs/api.md',
];

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

test('every link and every path of ours that a document names is there', () => {
  for (const document of DOCUMENTS) {
    const text = textOf(document);
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path = '']) =>
      join(dirname(document), path),
    );
    const named = [...text.matchAll(/\b(?:src|test|etc|bin|migrations)\/[\w./-]*\w/g)]
      .map(([path]) => path)
      // `test/access/x.test.ts` is an example of a name.
      .filter((path) => !path.includes('...'));
    for (const path of [...links, ...named]) {
      assert.ok(existsSync(join(ROOT, path)), `${document} names ${path}, which is not there`);
    }
  }
});

test('the map of src/README.md has every source file, and no other', () => {
  const map = between(textOf('src/README.md'), ['## The map', '## Who may import whom']) ?? '';
  const files = sourceTree('src').map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
  const isThere = (file: string): boolean =>
    map.includes(file) ||
    (file.startsWith('demo') && map.includes('demo*.ts')) ||
    // `inventory-plan.ts, -diff.ts`
    (file.includes('-') && map.includes(` ${file.slice(file.indexOf('-'))}`));
  assert.deepEqual(
    files.filter((file) => !isThere(file)),
    [],
    'not in the map',
  );
  const named = [...map.matchAll(/(?<![\w*-])[a-z][\w-]*(?:\.d)?\.ts\b/g)].map(([name]) => name);
  assert.deepEqual(
    named.filter((name) => !files.includes(name)),
    [],
    'in the map, but there is no such file',
  );
});

async function accepted(t: Scope, inventory: string): Promise<void> {
  const folder = tempDir(t);
  const dir = join(folder, 'gate');
  const file = join(folder, 'inventory.yaml');
  writeFileSync(file, inventory);
  assert.equal((await run([SALLYPORT, 'init', '--dir', dir])).code, 0);
  const first = await run([SALLYPORT, 'apply', '--dir', dir, file]);
  assert.equal(first.code, 0, first.stderr.toString());
  const second = await run([SALLYPORT, 'apply', '--dir', dir, file]);
  assert.equal(second.stdout.toString(), 'nothing to change\n');
}

test('the sample inventory is accepted, and again changes nothing', async (t) => {
  await accepted(t, textOf('etc/inventory.yaml'));
});

test('the inventory of README.md is accepted as it stands', async (t) => {
  const section = between(textOf('README.md'), ['<!-- inventory -->', '<!-- /inventory -->']) ?? '';
  await accepted(t, /```yaml\n([\s\S]*?)```/.exec(section)?.[1] ?? 'missing');
});

test('README.md has every command and every flag, and no other flag', async () => {
  const readme = textOf('README.md');
  const commands = between(readme, ['## Commands', '## For auditors']) ?? '';
  const flags = new Set<string>();
  const walk = async (words: readonly string[]): Promise<void> => {
    const { stdout } = await run([SALLYPORT, ...words, '--help']);
    const help = stdout.toString();
    for (const [flag] of help.matchAll(/(?<=^ +(?:-\w, )?)--[\w-]+/gm)) flags.add(flag);
    const below = help.split('\nCommands:\n')[1]?.split('\n\n')[0] ?? '';
    const names = [...below.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name = '']) => name);
    if (names.length === 0 && words.length > 0) {
      assert.ok(commands.includes(`\`${words.join(' ')} `), `${words.join(' ')} is not listed`);
    }
    for (const name of names) await walk([...words, name]);
  };
  await walk([]);
  for (const flag of ['--help', '--version']) flags.delete(flag);
  const listed = new Set([...commands.matchAll(/--[a-z][\w-]*/g)].map(([flag]) => flag));
  listed.delete('--help');
  assert.deepEqual([...listed].sort(), [...flags].sort());
});

test('the unit of systemd starts what is there, and waits for the end of sessions', () => {
  const unit = textOf('etc/sallyport.service');
  const command = /^ExecStart=\/opt\/sallyport\/(\S+) (.*)$/m.exec(unit);
  assert.ok(existsSync(join(ROOT, command?.[1] ?? 'missing')));
  assert.equal(command?.[2], 'serve --dir /var/lib/sallyport');
  assert.match(unit, /^TimeoutStopSec=(?:[2-9]\d|\d{3,})s$/m);
});
