/**
 * The files of one channel as a command wants them: those that its trail names, or, where the trail was not brought to
 * its end with all of them in it (it is still written, its gate crashed, or the reader came too late), those that its
 * bytes tell when they are followed again. Memory is flat for any number of files.
 */
import { ProtocolError } from '../base/errors.ts';
import { ChannelFiles } from './channel-files.ts';
import { FLAG } from './checkpoint.ts';
import { KINDS } from './container.ts';
import { ContentReader } from './file-content.ts';
import type { FileRecord, FilesUndecoded } from './file-record.ts';
import { FileRecordReader } from './file-record.ts';
import { hashContent } from './hash-content.ts';
import { TrailFile } from './reader.ts';

export interface TrailFilesOptions {
  readonly path: string;
  readonly connection: string;
  readonly channel: number;
  /** It is being written: what is open in it is not interrupted. */
  readonly live: boolean;
}

export type KnownFile = FileRecord | FilesUndecoded;

/** The files of a channel in the order in which they were closed. */
export async function* trailFiles(options: TrailFilesOptions): AsyncGenerator<KnownFile> {
  const file = await TrailFile.open(options.path);
  try {
    const ended = (await file.endFlag()) === FLAG.final;
    if (ended && (await isComplete(file))) yield* recorded(file);
    else yield* followed(file, options);
  } finally {
    await file.close();
  }
}

/** Whether the trail names its files itself. */
async function isComplete(file: TrailFile): Promise<boolean> {
  try {
    for await (const one of recorded(file)) if ('undecoded' in one && one.us === 0) return false;
    return true;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

async function* recorded(file: TrailFile): AsyncGenerator<KnownFile> {
  const reader = new FileRecordReader();
  for await (const { kind, payload } of file.records()) {
    const one = kind === KINDS.file ? reader.push(payload) : undefined;
    if (one) yield one;
  }
}

async function* followed(file: TrailFile, options: TrailFilesOptions): AsyncGenerator<KnownFile> {
  const { connection, channel, path, live } = options;
  const found: KnownFile[] = [];
  const content = new ContentReader(path);
  const files = new ChannelFiles(connection, channel, {
    onFile: (record, hashed) => found.push(hashed ? record : hashContent(record, content)),
    onUndecoded: (event) => found.push(event),
  });
  try {
    for await (const record of file.records()) {
      files.take(record);
      yield* found.splice(0);
    }
    if (!live) files.end();
    yield* found.splice(0);
  } finally {
    content.close();
  }
}
