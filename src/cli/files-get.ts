/**
 * `sallyport files get`: the content of one file to standard output, in the order of the file and in flat memory, read
 * from where it crossed. What goes out is held against the hash that the trail has of it.
 */
import { createHash } from 'node:crypto';
import { AppError } from '../base/errors.ts';
import { ContentReader } from '../recording/file-content.ts';
import { missingBytes } from '../recording/file-pieces.ts';
import type { FileRecord } from '../recording/file-record.ts';
import { streamOf } from '../recording/hash-content.ts';
import { Storage } from '../recording/storage.ts';
import { printable } from '../wire/channel-request.ts';
import { knownFiles } from './files.ts';
import { findConnection } from './find-connection.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';
import { grouped, say } from './words.ts';

export interface GetOptions {
  readonly dir: string;
  /** `zero`: what did not cross is written as zero bytes. */
  readonly holes?: string;
}

const MIN_PREFIX = 8;
const ZEROS = Buffer.alloc(64 * 1024);

export async function getFile(
  name: string,
  id: string,
  { dir, holes }: GetOptions,
  output: Output,
): Promise<void> {
  const storage = new Storage(openGateFolder(dir).recordings);
  const connection = await findConnection(storage, name);
  const { record, channel } = await findFile(dir, storage, connection, id);
  checkContent(record, holes === 'zero');
  const content = new ContentReader(storage.channelPath(connection, channel));
  const hash = createHash('sha256');
  let at = 0;
  try {
    for (const run of record.extents) {
      at = await zeros(output, at, run.offset);
      for (const bytes of content.chunks(streamOf(record), [run])) {
        hash.update(bytes);
        // The reader goes on in the same buffer, and what was written may not have left yet.
        await output.write(Buffer.from(bytes));
      }
      at = run.offset + run.length * run.count;
    }
    await zeros(output, at, record.size ?? at);
  } finally {
    content.close();
  }
  if (hash.digest('hex') === record.sha256) return;
  throw new AppError('trail-invalid', `${record.file}: the content is not what its hash says`);
}

/** The file that an id, or the beginning of one, names. */
async function findFile(
  dir: string,
  storage: Storage,
  connection: string,
  id: string,
): Promise<{ record: FileRecord; channel: number }> {
  const wanted = id.toLowerCase();
  if (!/^[0-9a-f-]{1,36}$/.test(wanted) || wanted.length < MIN_PREFIX) {
    throw new AppError(
      'not-found',
      `no file ${say(id)}: give its id, at least ${MIN_PREFIX} digits`,
    );
  }
  let found: { record: FileRecord; channel: number } | undefined;
  for await (const { known, channel } of knownFiles(dir, storage, connection)) {
    if (!('file' in known) || !known.file.startsWith(wanted)) continue;
    if (found) {
      throw new AppError(
        'not-found',
        `${say(id)} is the beginning of several files: say more of it`,
      );
    }
    found = { record: known, channel };
    if (known.file === wanted) break;
  }
  if (found) return found;
  const list = 'sallyport files lists them';
  throw new AppError('not-found', `connection ${connection} has no file ${say(id)}; ${list}`);
}

/** Refuses what cannot be given as the file that it was. */
function checkContent(record: FileRecord, fill: boolean): void {
  const name = printable(record.path);
  if (record.dropped > 0) {
    const text = `${grouped(record.dropped)} bytes of ${say(name)} crossed in too many pieces to be placed`;
    throw new AppError('not-found', `${text}; trail export has the channel as it crossed`);
  }
  const missing = missingBytes(record);
  if (missing === 0 || fill) return;
  const text = `${grouped(missing)} bytes of ${say(name)} did not cross here`;
  throw new AppError('not-found', `${text}: --holes=zero writes zeros in their place`);
}

async function zeros(output: Output, from: number, to: number): Promise<number> {
  for (let left = to - from; left > 0; left -= ZEROS.length) {
    await output.write(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
  }
  return Math.max(from, to);
}
