/**
 * `sallyport export`: the evidence bundle of a connection, in a new folder: trails, ledgers, keys, views and an
 * independent reader, so that somebody without Sallyport reads and verifies all of it. What it finds is exported as it
 * is, bad or good, and said.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { AppError } from '../base/errors.ts';
import { rfc3339 } from '../base/time.ts';
import { VERSION } from '../base/version.ts';
import { writeBundle } from '../recording/bundle.ts';
import type { BundleContents } from '../recording/bundle.ts';
import { BundleFolder } from '../recording/bundle-folder.ts';
import { PublicKeys, readPublicKeys } from '../recording/seal.ts';
import { Storage } from '../recording/storage.ts';
import { fileJson, fileRow } from '../store/files.ts';
import { bundleReadme } from './bundle-readme.ts';
import { unixUser } from './configuration.ts';
import { findConnection } from './find-connection.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';
import { runningInstance } from './running-instance.ts';
import { grouped } from './words.ts';

const TELL_MS = 1_000;

/** Writes the bundle; resolves to whether everything in it is complete, recovered or being written. */
export async function exportConnection(
  name: string,
  outDir: string,
  { dir }: { readonly dir: string },
  output: Output,
): Promise<boolean> {
  const { recordings, keys } = openGateFolder(dir);
  const storage = new Storage(recordings);
  const connection = await findConnection(storage, name);
  const keyFiles = await readPublicKeys(keys);
  const programs = await readPrograms();
  const folder = await BundleFolder.make(outDir);
  const progress = new Progress(output);
  const contents = await writeBundle(folder, {
    storage,
    keys: new PublicKeys(keyFiles.map(({ pem }) => pem)),
    keyFiles,
    connection,
    instance: await runningInstance(dir),
    programs,
    fieldsOf: (fact) => fileJson(fileRow(connection, fact)),
    onProgress: (bytes) => progress.add(bytes),
  });
  const at = rfc3339(Date.now() * 1_000);
  const by = `${unixUser()} on ${hostname()}`;
  const readme = bundleReadme({ connection, version: VERSION, at, by, keyFiles }, contents);
  await folder.write('README.txt', [Buffer.from(readme)]);
  await folder.write('SHA256SUMS', [Buffer.from(folder.sums)]);
  progress.end();
  return tell(folder.path, contents, output);
}

async function tell(path: string, contents: BundleContents, output: Output): Promise<boolean> {
  const { entries, moved, reports } = contents;
  const states = Object.entries(Object.groupBy(reports, ({ state }) => state));
  const found = states.map(([state, all]) => `${all.length} ${state}`).join(', ');
  const transferred = moved === 0 ? 'no transferred file' : `${grouped(moved)} transferred`;
  await output.line(`${path}: ${entries.length + 2} files, ${transferred}; ${found}`);
  await output.line(`how to read and verify it: ${join(path, 'README.txt')}`);
  const wrong = reports.filter(({ state }) => state === 'bad' || state === 'cut');
  if (wrong.length === 0) return true;
  const names = wrong.map(({ name, state }) => `${name} is ${state}`).join(', ');
  output.tell(`sallyport: exported as it is, and not all of it is good: ${names}\n`);
  return false;
}

const PROGRAMS = ['trail-reader.py', 'bundle-check.py'];

/** From `etc` of this installation, which lies above `src/cli` or `dist/src/cli`. */
async function readPrograms(): Promise<ReadonlyMap<string, Buffer>> {
  for (const up of ['../..', '../../..']) {
    const folder = join(import.meta.dirname, up, 'etc');
    if (!existsSync(join(folder, PROGRAMS[0] ?? ''))) continue;
    const texts = PROGRAMS.map(async (name) => [name, await readFile(join(folder, name))] as const);
    return new Map(await Promise.all(texts));
  }
  throw new AppError('not-found', 'etc/trail-reader.py is missing: install Sallyport whole');
}

/** How far it is, for whoever watches. */
class Progress {
  readonly #output: Output;
  #bytes = 0;
  #told = performance.now();
  #progressed = false;

  constructor(output: Output) {
    this.#output = output;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (!this.#output.isWatched || performance.now() - this.#told < TELL_MS) return;
    this.#told = performance.now();
    this.#progressed = true;
    this.#output.tell(`\r${grouped(this.#bytes)} bytes written`);
  }

  end(): void {
    if (this.#progressed) this.#output.tell('\n');
  }
}
