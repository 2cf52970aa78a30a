/**
 * `sallyport trail export`: one trail in a format of others, to standard output as fast as that takes it. It holds one
 * block at a time, whatever the size of the trail, and needs neither a gate nor a database.
 */
import { AppError } from '../base/errors.ts';
import { exportTrail as exportFile } from '../recording/export.ts';
import { TrailFile } from '../recording/reader.ts';
import { Storage } from '../recording/storage.ts';
import { findConnection } from './find-connection.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';

export interface ExportOptions {
  readonly dir: string;
  readonly format: string;
}

/** What stands for the connection's own container, where what is in no channel lies. */
const WHOLE = 'connection';

export async function exportTrail(
  name: string,
  channel: string,
  { dir, format }: ExportOptions,
  output: Output,
): Promise<void> {
  if (channel === WHOLE && format !== 'jsonl' && format !== 'hex') {
    const text = `--format ${format} is of channels; for the connection use jsonl or hex`;
    throw new AppError('usage', text);
  }
  const storage = new Storage(openGateFolder(dir).recordings);
  const connection = await findConnection(storage, name);
  const path =
    channel === WHOLE
      ? storage.connectionPath(connection)
      : storage.channelPath(connection, await findChannel(storage, connection, channel));
  const file = await TrailFile.open(path);
  try {
    for await (const piece of exportFile(file, format)) await output.write(piece);
  } finally {
    await file.close();
  }
}

/** The ordinal of a channel that has a recording. */
export async function findChannel(
  storage: Storage,
  connection: string,
  text: string,
): Promise<number> {
  const channels = await storage.channels(connection);
  const channel = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (channels.includes(channel)) return channel;
  const there = channels.length === 0 ? 'none' : channels.join(', ');
  const reason = `connection ${connection} has no channel ${JSON.stringify(text)}; it has ${there}`;
  throw new AppError('not-found', reason);
}
