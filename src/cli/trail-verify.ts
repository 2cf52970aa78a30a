/**
 * `sallyport trail verify`: whether recordings are as they were written, a line for each container and ledger and a
 * summary. Good is `complete` and `recovered`; `open` is good only where the operator says so (`--allow-open`), since
 * nothing vouches yet for what is still being written. The ledger of the gate that runs now is open by its nature and
 * counts for neither.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import { PublicKeys, loadPublicKeys } from '../recording/seal.ts';
import { Storage } from '../recording/storage.ts';
import { verifyDirectory, verifyFiles } from '../recording/verify.ts';
import type { Summary } from '../recording/verify.ts';
import type { TrailReport } from '../recording/verify-trail.ts';
import { files } from '../store/files.ts';
import { withDatabase } from './configuration.ts';
import { findConnection } from './find-connection.ts';
import { openGateFolder } from './gate-folder.ts';
import { runningInstance } from './running-instance.ts';
import { OutputClosed } from './output.ts';
import type { Output } from './output.ts';
import { say } from './words.ts';

/** Of one connection, at most. */
const ALL_ROWS = 100_000;

export interface VerifyOptions {
  readonly dir?: string;
  /** Public keys in PEM, instead of those in DIR. */
  readonly key?: readonly string[];
  readonly allowOpen?: boolean;
}

/** Prints a line per trail; resolves to whether all are good. */
export async function verifyTrails(
  what: readonly string[],
  options: VerifyOptions,
  output: Output,
): Promise<boolean> {
  const { dir, key: keyFiles = [], allowOpen = false } = options;
  const report = new Report(dir === undefined ? undefined : openGateFolder(dir).recordings, output);
  const onReport = (one: TrailReport) => report.add(one);
  let summary: Summary;
  if (dir === undefined) {
    const keys = await readKeys(keyFiles);
    summary = await verifyFiles(what, keys, { allowOpen, onReport });
  } else {
    const { recordings, keys, database } = openGateFolder(dir);
    const storage = new Storage(recordings);
    const [name] = what;
    const connection = name === undefined ? undefined : await findConnection(storage, name);
    const instance = await runningInstance(dir);
    const about = {
      keys: await loadPublicKeys(keys),
      live: new Set(instance === undefined ? [] : [instance]),
      ...(connection === undefined ? {} : { connection }),
      onReport,
    };
    // Recordings verify without a database; where there is one, what it says of files is held against them.
    summary = existsSync(database)
      ? await withDatabase(dir, (db) =>
          verifyDirectory(storage, {
            ...about,
            fileRows: (id) => files(db, { connection: id, limit: ALL_ROWS }),
          }),
        )
      : await verifyDirectory(storage, about);
  }
  return report.end(summary, allowOpen);
}

async function readKeys(files: readonly string[]): Promise<PublicKeys> {
  const pems: Buffer[] = [];
  for (const file of files) {
    try {
      pems.push(await readFile(file));
    } catch (cause) {
      const text = `cannot read the public key ${file}: ${reasonOf(cause)}`;
      throw new AppError('not-found', text, { cause });
    }
  }
  return new PublicKeys(pems);
}

/** Writes behind the verifier, which does not wait; what is not taken yet is kept, some 100 bytes a trail. */
class Report {
  readonly #root: string | undefined;
  readonly #output: Output;
  #written: Promise<void> = Promise.resolve();
  #count = 0;
  #openLedgers = 0;
  #told = performance.now();
  #progressed = false;

  constructor(root: string | undefined, output: Output) {
    this.#root = root;
    this.#output = output;
  }

  add({ path, state, records, reason, header }: TrailReport): void {
    this.#count++;
    const place = this.#root === undefined ? path : relative(this.#root, path);
    const kind = header?.container ?? '-';
    const ofRunning = state === 'open' && kind === 'ledger' && this.#root !== undefined;
    if (ofRunning) this.#openLedgers++;
    const why = ofRunning ? 'of the gate that runs, not counted' : reason;
    const line = [state.padEnd(9), kind.padEnd(10), say(place), `${records} records`];
    this.#line(`${line.join('  ')}${why === '' ? '' : `  (${say(why)})`}`);
    this.#progress();
  }

  /** Writes the summary; whether all are good. */
  async end(summary: Summary, allowOpen: boolean): Promise<boolean> {
    const counts = { ...summary.counts, open: summary.counts.open - this.#openLedgers };
    const good = summary.ok && (allowOpen || counts.open === 0);
    const parts = Object.entries(counts).filter(([, count]) => count > 0);
    const text = parts.map(([state, count]) => `${count} ${state}`).join(', ') || 'no trails';
    const open = counts.open > 0 && !allowOpen ? '; open ones count only with --allow-open' : '';
    if (this.#progressed) this.#output.tell('\n');
    this.#line(`${good ? 'good' : 'NOT GOOD'}: ${text}${open}`);
    await this.#written;
    if (!good) {
      const names = (['bad', 'cut', ...(allowOpen ? [] : (['open'] as const))] as const)
        .filter((state) => counts[state] > 0)
        .map((state) => `${counts[state]} ${state}`);
      this.#output.tell(`sallyport: not every trail is complete: ${names.join(', ')}\n`);
    }
    return good;
  }

  #progress(): void {
    if (!this.#output.isWatched || performance.now() - this.#told < 1000) return;
    this.#told = performance.now();
    this.#progressed = true;
    this.#output.tell(`\r${this.#count} trails verified`);
  }

  /** The verdict counts, whether anybody reads the lines or not. */
  #line(text: string): void {
    this.#written = this.#written.then(async () => {
      try {
        await this.#output.line(text);
      } catch (error) {
        if (!(error instanceof OutputClosed)) throw error;
      }
    });
    this.#written.catch(() => undefined);
  }
}
