/**
 * The recordings of a gate as its files have them, read in this process: what the tests hold against what the peers
 * saw. No database and no running gate has a part in it.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TrailRecord } from '../../src/recording/block-decoder.ts';
import { exportTrail } from '../../src/recording/export.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { loadPublicKeys } from '../../src/recording/seal.ts';
import type { PublicKeys } from '../../src/recording/seal.ts';
import { Storage } from '../../src/recording/storage.ts';
import type { TrailReport } from '../../src/recording/verify-trail.ts';
import { verifyTrail } from '../../src/recording/verify-trail.ts';

export function storageOf(dir: string): Storage {
  return new Storage(join(dir, 'recordings'));
}

export function keysOf(dir: string): Promise<PublicKeys> {
  return loadPublicKeys(join(dir, 'keys'));
}

/** Every trail file below a folder, ledgers included, sorted. */
export function trailFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.trail'))
    .map((name) => join(folder, name))
    .sort();
}

/** One trail in one of the export formats. */
export async function exported(path: string, format: string): Promise<Buffer> {
  const file = await TrailFile.open(path);
  const pieces: Buffer[] = [];
  try {
    for await (const piece of exportTrail(file, format)) pieces.push(Buffer.from(piece));
  } finally {
    await file.close();
  }
  return Buffer.concat(pieces);
}

/** Every record of a trail. */
export async function recordsIn(path: string): Promise<TrailRecord[]> {
  const file = await TrailFile.open(path);
  const records: TrailRecord[] = [];
  try {
    for await (const record of file.records()) {
      records.push({ ...record, payload: Buffer.from(record.payload) });
    }
  } finally {
    await file.close();
  }
  return records;
}

/** The verdicts on all trails of one connection: its own first, then its channels. */
export async function verdictsOn(dir: string, connection: string): Promise<TrailReport[]> {
  const storage = storageOf(dir);
  const keys = await keysOf(dir);
  const channels = await storage.channels(connection);
  const paths = [
    storage.connectionPath(connection),
    ...channels.map((channel) => storage.channelPath(connection, channel)),
  ];
  return Promise.all(paths.map((path) => verifyTrail(path, keys)));
}

/** One object of `trail export --format jsonl`. */
export interface TrailEvent {
  readonly ts: string;
  readonly us: number;
  readonly ordinal: number;
  readonly type: string;
  readonly direction: string;
  readonly fate: string;
  readonly code: number;
  readonly data: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** The events of a jsonl export. */
export function eventsOf(text: string): TrailEvent[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as TrailEvent);
}
