/**
 * `sallyport files`: the files that crossed in a connection, from its recordings alone, also while it runs; without a
 * connection a search over all of them, from the rows. Names are printed escaped, whatever a peer called a file.
 */
import { AppError } from '../base/errors.ts';
import { knownFact } from '../recording/file-fact.ts';
import { TrailFile } from '../recording/reader.ts';
import { Storage } from '../recording/storage.ts';
import { trailFiles } from '../recording/trail-files.ts';
import type { KnownFile } from '../recording/trail-files.ts';
import { fileJson, files, fileRow } from '../store/files.ts';
import type { FileQuery, FileRow } from '../store/files.ts';
import { withDatabase } from './configuration.ts';
import { findConnection } from './find-connection.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';
import { runningInstance } from './running-instance.ts';
import { table } from './table.ts';
import { grouped } from './words.ts';

export interface FilesOptions {
  readonly dir: string;
  readonly json?: boolean;
  readonly path?: string;
  readonly sha256?: string;
  readonly direction?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: number;
}

/** A table is made of so many rows at most; `--json` has them all. */
const SCREEN = 1_000;
const ALL = 100_000;
const HEADINGS = ['ID', 'CH', 'DIRECTION', 'SIZE', 'WHOLE', 'STATUS', 'SHA256', 'PATH'];

/** Lists the files of a connection, or searches. */
export async function listFiles(
  name: string | undefined,
  options: FilesOptions,
  output: Output,
): Promise<void> {
  if (name === undefined) await search(options, output);
  else await listConnection(name, options, output);
}

async function listConnection(name: string, options: FilesOptions, output: Output): Promise<void> {
  const { dir, json = false } = options;
  if (SEARCH.some((flag) => options[flag] !== undefined)) {
    throw new AppError('usage', 'a search has no connection: leave it out, or leave the flags out');
  }
  const rows: FileRow[] = [];
  let more = 0;
  for await (const row of filesOfConnection(dir, name)) {
    if (json) await output.line(JSON.stringify(fileJson(row)));
    else if (rows.length < SCREEN) rows.push(row);
    else more++;
  }
  if (json) return;
  if (rows.length === 0) await output.line('no files crossed in this connection');
  else await output.write(table(HEADINGS, rows.map(cells)));
  if (more > 0) await output.line(`... ${grouped(more)} more: use --json`);
}

const SEARCH = ['path', 'sha256', 'direction', 'since', 'until'] as const;

/** The files of all channels of a connection. */
async function* filesOfConnection(dir: string, name: string): AsyncGenerator<FileRow> {
  const storage = new Storage(openGateFolder(dir).recordings);
  const connection = await findConnection(storage, name);
  for await (const { known, channel, wallUs } of knownFiles(dir, storage, connection)) {
    yield fileRow(connection, knownFact(known, connection, channel, wallUs));
  }
}

/** A file, or what says that the rest of them is not known. */
export interface ChannelFile {
  readonly channel: number;
  /** The time of day at 0 of the trail's clock. */
  readonly wallUs: number;
  readonly known: KnownFile;
}

/** What the trails of a connection tell of files, channel by channel. */
export async function* knownFiles(
  dir: string,
  storage: Storage,
  connection: string,
): AsyncGenerator<ChannelFile> {
  const running = await runningInstance(dir);
  for (const channel of await storage.channels(connection)) {
    const path = storage.channelPath(connection, channel);
    const { instance, wallUs } = await headerOf(path);
    const live = instance === running;
    for await (const known of trailFiles({ path, connection, channel, live })) {
      yield { channel, wallUs, known };
    }
  }
}

async function headerOf(path: string): Promise<{ instance: string; wallUs: number }> {
  const file = await TrailFile.open(path);
  try {
    return await file.header();
  } finally {
    await file.close();
  }
}

async function search(options: FilesOptions, output: Output): Promise<void> {
  const { dir, json = false, limit = json ? ALL : SCREEN } = options;
  const query = { ...queryOf(options), limit };
  // Of what runs the last facts may not be rows yet; they are within seconds.
  const rows = await withDatabase(dir, (db) => files(db, query));
  if (json) {
    for (const row of rows) await output.line(JSON.stringify(fileJson(row)));
  } else if (rows.length === 0) {
    await output.line('no such file is known');
  } else {
    const lines = rows.map((row) => [row.connectionId, ...cells(row)]);
    await output.write(table(['CONNECTION', ...HEADINGS], lines));
  }
}

function queryOf(options: FilesOptions): FileQuery {
  const { path, sha256, direction, since, until } = options;
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw new AppError('usage', '--sha256 wants 64 hexadecimal digits');
  }
  if (direction !== undefined && direction !== 'upload' && direction !== 'download') {
    throw new AppError('usage', '--direction is upload or download');
  }
  return {
    ...(path === undefined ? {} : { path }),
    ...(sha256 === undefined ? {} : { sha256: sha256.toLowerCase() }),
    ...(direction === undefined ? {} : { direction }),
    ...(since === undefined ? {} : { since: timeOf('--since', since) }),
    ...(until === undefined ? {} : { until: timeOf('--until', until) }),
  };
}

/** Microseconds UTC of RFC 3339, or of a day. */
function timeOf(flag: string, text: string): number {
  const isTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(
    text,
  );
  const ms = isTime ? Date.parse(text) : NaN;
  if (Number.isNaN(ms)) {
    throw new AppError('usage', `${flag} wants a day or a time: 2026-01-31 or 2026-01-31T09:30Z`);
  }
  return ms * 1000;
}

function cells(row: FileRow): string[] {
  const { id, channel, direction, size, whole, status, sha256, path, error } = row;
  const unknown = direction === '';
  return [
    unknown ? '-' : id,
    String(channel),
    unknown ? '-' : direction,
    size === null ? '-' : grouped(size),
    unknown ? '-' : whole ? 'yes' : 'no',
    error === '' ? status : `${status}: ${error}`,
    sha256 ?? '-',
    path,
  ];
}
