/**
 * The shape of the sources, held by a machine: layers, one importer per package, no cycles, no barrels, a header in
 * every file, and that importing a file starts nothing. The table of layers is the one in `src/README.md`.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { between, cellsOf } from './support/error-table.ts';
import { run } from './support/process.ts';
import { ROOT, sourceTree } from './support/source-tree.ts';
import type { SourceFile } from './support/source-tree.ts';
import { tempDir } from './support/tempdir.ts';

const sources = sourceTree('src', 'migrations');

/** Packages that another package loads by name: node runs everything, TypeORM opens sqlite3. */
const LOADED_BY_NAME = ['node', 'sqlite3'];

/** The row of a file: its folder below src, `server.ts` by its name, or `migrations`. */
function layerOf(path: string): string {
  const parts = path.split('/');
  return (parts[0] === 'src' ? parts[1] : parts[0]) ?? '';
}

/** Layer -> layers that it may import, from the table between the markers of src/README.md. */
function importTable(): Map<string, ReadonlySet<string>> {
  const readme = readFileSync(join(ROOT, 'src/README.md'), 'utf8');
  const section = between(readme, ['<!-- imports -->', '<!-- /imports -->']);
  assert.ok(section, 'src/README.md has no table between <!-- imports --> and <!-- /imports -->');
  const table = new Map<string, ReadonlySet<string>>();
  for (const [folder = '', allowed = ''] of cellsOf(section)) {
    assert.ok(!table.has(folder), `src/README.md has two rows for ${folder}`);
    const names = allowed === 'nothing of ours' ? [] : allowed.split(/,\s*/);
    table.set(folder, new Set(names));
  }
  assert.ok(table.size > 0, 'the import table of src/README.md is empty');
  return table;
}

/** A path of files that leads back to its start, if there is one. */
function cycle(files: readonly Pick<SourceFile, 'path' | 'files'>[]): string[] | undefined {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): string[] | undefined => {
    const seen = trail.indexOf(path);
    if (seen >= 0) return [...trail.slice(seen), path];
    if (done.has(path)) return undefined;
    for (const next of byPath.get(path)?.files ?? []) {
      const found = walk(next, [...trail, path]);
      if (found) return found;
    }
    done.add(path);
    return undefined;
  };
  for (const { path } of files) {
    const found = walk(path, []);
    if (found) return found;
  }
  return undefined;
}

/** Files so that each comes after all that it loads: what it changes is then its own doing. */
function inLoadOrder(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const order = new Set<string>();
  const visit = (path: string, above: ReadonlySet<string>): void => {
    if (order.has(path) || above.has(path)) return;
    for (const next of byPath.get(path)?.loads ?? []) visit(next, new Set([...above, path]));
    if (byPath.has(path)) order.add(path);
  };
  for (const { path } of files) visit(path, new Set());
  return [...order].filter((path) => !path.endsWith('.d.ts'));
}

test('files import only what the table of src/README.md allows their folder', () => {
  const table = importTable();
  const wrong: string[] = [];
  for (const { path, files } of sources) {
    const layer = layerOf(path);
    const allowed = table.get(layer);
    if (!allowed) wrong.push(`${path}: src/README.md has no row for ${layer}`);
    for (const file of files) {
      const other = layerOf(file);
      if (other !== layer && allowed && !allowed.has(other)) wrong.push(`${path} imports ${file}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('the import table names no folder that may not exist, and goes down only', () => {
  const table = importTable();
  const graph = [...table].map(([path, allowed]) => ({ path, files: [...allowed] }));
  for (const { path, files } of graph) {
    for (const file of files) assert.ok(table.has(file), `${path} may import ${file}: no such row`);
  }
  assert.equal(cycle(graph), undefined);
});

test('each npm package is declared, and imported by exactly one file of src', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const declared = Object.keys(manifest.dependencies);
  const importers = new Map<string, string[]>(declared.map((name) => [name, []]));
  for (const { path, packages } of sources) {
    // A declaration file describes a package, it does not load it.
    if (path.endsWith('.d.ts') || !path.startsWith('src/')) continue;
    for (const name of packages) {
      assert.ok(
        importers.has(name),
        `${path} imports ${name}, which package.json does not declare`,
      );
      importers.get(name)?.push(path);
    }
  }
  const wrong = [...importers].filter(
    ([name, paths]) => paths.length !== 1 && !(LOADED_BY_NAME.includes(name) && !paths.length),
  );
  assert.deepEqual(Object.fromEntries(wrong), {}, 'each package wants exactly one importer');
  for (const [name, version] of Object.entries(manifest.dependencies)) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not pinned exactly`);
  }
});

test('no file imports itself by a detour', () => {
  assert.equal(cycle(sources)?.join(' -> '), undefined);
});

test('imports name the file with its ending, and the file exists', () => {
  const known = new Set(sources.map(({ path }) => path));
  for (const { path, files } of sources) {
    for (const file of files) assert.ok(known.has(file), `${path} imports ${file}`);
  }
});

test('there are no barrels and no default exports', () => {
  const barrels = sources.filter(({ path }) => /^index\./.test(basename(path)));
  assert.deepEqual(
    barrels.map(({ path }) => path),
    [],
  );
  const defaults = sources.filter((file) => file.hasDefaultExport && !file.path.endsWith('.d.ts'));
  assert.deepEqual(
    defaults.map(({ path }) => path),
    [],
  );
});

test('file names are in kebab case', () => {
  for (const { path } of sources) {
    // Migrations carry their number in front.
    assert.match(basename(path), /^(\d+-)?[a-z][a-z0-9]*(-[a-z0-9]+)*(\.d)?\.ts$/, path);
  }
});

test('every file says in a header comment what it is for', () => {
  assert.deepEqual(
    sources.filter((file) => !file.hasHeader).map(({ path }) => path),
    [],
  );
});

test('no file says any, and no file is silenced', () => {
  for (const { path, text } of sources) {
    const found = /@ts-(ignore|nocheck|expect-error)|\bas any\b|eslint-disable/.exec(text);
    assert.equal(found?.[0], undefined, path);
  }
});

test('importing any file starts nothing, prints nothing and writes nothing', async (t) => {
  const folder = tempDir(t);
  const files = inLoadOrder(sources).map((path) => join(ROOT, path));
  const probe = join(import.meta.dirname, 'support/import-probe.ts');
  const { stdout, stderr, code, signal } = await run([process.execPath, probe, ...files], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder, XDG_CONFIG_HOME: folder },
    timeoutMs: 30_000,
  });
  assert.equal(stdout.toString(), '');
  assert.equal(stderr.toString(), '');
  assert.equal(signal, null, 'an imported file keeps the process alive');
  assert.equal(code, 0);
  assert.deepEqual(readdirSync(folder), []);
});
