/**
 * What a trail and a row say of one file that crossed: the `file` records of a channel's container, whose form stands in
 * `container.ts`. A list of extents that is too long for one record goes on in further ones.
 */
import { createHash } from 'node:crypto';
import { z } from '../config/schema.ts';
import { ProtocolError } from '../base/errors.ts';
import { isUuid, uuidBytes, uuidOfDigest } from '../base/ids.ts';
import { printable } from '../wire/channel-request.ts';
import type { OpenFlags, TransferDirection } from '../wire/transfer.ts';
import type { Run } from './file-extents.ts';
import { MAX_RUNS } from './file-extents.ts';
import { parseJson } from './header.ts';

/**
 * Says what was made of the bytes, and is raised with each change of what is made of the same bytes: a record of another
 * decoder is no less true for being different, so it is held against its own bytes alone.
 */
export const DECODER = 1;

export type FileStatus = 'ok' | 'failed' | 'interrupted' | 'undecoded';

/** One file: one opening of it, in one direction. */
export interface FileRecord {
  /** UUIDv8 from connection, channel and ordinal. */
  readonly file: string;
  readonly ordinal: number;
  /** `DECODER` of whoever made it; 0 from before it was said. */
  readonly decoder: number;
  readonly path: Buffer;
  readonly direction: TransferDirection;
  /** Of `r w a c t x`: read, write, append, create, truncate, exclusive. */
  readonly flags: string;
  readonly openedUs: number;
  readonly closedUs: number;
  readonly status: FileStatus;
  /** The protocol's word for what went wrong, or empty. */
  readonly error: string;
  /** As far as it is known. */
  readonly size: number | null;
  /** Bytes that crossed, also those that were written over later. */
  readonly moved: number;
  /** Every byte of the file crossed here. */
  readonly whole: boolean;
  /** It was opened for appending to an unknown size: offsets count what was appended through this opening. */
  readonly appended: boolean;
  /** Of the whole file, or else of the extents one after the other; null if they have no place any more. */
  readonly sha256: string | null;
  readonly extents: readonly Run[];
  /** Bytes that crossed and are in none of the extents: there were too many, or their place is not known. */
  readonly dropped: number;
}

/** The decoder lost the thread, or the files were not known in time: what follows is recorded, but not as files. */
export interface FilesUndecoded {
  readonly undecoded: string;
  readonly us: number;
}

/** UUIDv8 (RFC 9562 section 5.8) from SHA-256 of connection, channel and ordinal. */
export function fileId(connection: string, channel: number, ordinal: number): string {
  const place = Buffer.alloc(12);
  place.writeUInt32BE(channel);
  place.writeBigUInt64BE(BigInt(ordinal), 4);
  return uuidOfDigest(createHash('sha256').update(uuidBytes(connection)).update(place).digest());
}

/** The id of what says that a channel's files are not known: no file has this ordinal. */
export function unknownId(connection: string, channel: number): string {
  return fileId(connection, channel, Number.MAX_SAFE_INTEGER);
}

export function flagLetters(flags: OpenFlags): string {
  const letters = [
    flags.read ? 'r' : '',
    flags.write ? 'w' : '',
    flags.append ? 'a' : '',
    flags.create ? 'c' : '',
    flags.truncate ? 't' : '',
    flags.exclusive ? 'x' : '',
  ];
  return letters.join('');
}

/** Runs in one record: five numbers each stay well below the size of a record. */
const RUNS_PER_RECORD = 2_500;

const count = z.int().nonnegative();
const single = z.tuple([count, count.min(1), count]);
const many = z.tuple([count, count.min(1), count, count.min(2), count.min(1)]);
const extents = z.array(z.union([single, many])).max(RUNS_PER_RECORD);
const id = z.string().refine(isUuid);
const shape = z.strictObject({
  file: id,
  ordinal: count,
  decoder: count.optional(),
  path: z.string(),
  path64: z.base64().optional(),
  direction: z.enum(['upload', 'download']),
  flags: z.string(),
  openedUs: count,
  closedUs: count,
  status: z.enum(['ok', 'failed', 'interrupted', 'undecoded']),
  error: z.string().optional(),
  size: count.nullable(),
  moved: count,
  appended: z.literal(true).optional(),
  sha256: z.string().optional(),
  sha256_moved: z.string().optional(),
  dropped: count.optional(),
  parts: z.int().min(2).optional(),
  extents,
});
const part = z.strictObject({ file: id, part: z.int().min(2), extents });
const lost = z.strictObject({ undecoded: z.string(), us: count });

/** The payloads of the records that say it, in their order. */
export function encodeFileRecord(record: FileRecord): Buffer[] {
  const { file, ordinal, direction, flags, openedUs, closedUs, status, size, moved } = record;
  const path = printable(record.path);
  const parts = Math.max(1, Math.ceil(record.extents.length / RUNS_PER_RECORD));
  const hash = record.sha256 === null ? {} : { [hashName(record)]: record.sha256 };
  const first: z.infer<typeof shape> = {
    file,
    ordinal,
    decoder: record.decoder,
    path,
    // Most names are text as it is; what had to be escaped stands there in bytes as well.
    ...(Buffer.from(path).equals(record.path) ? {} : { path64: record.path.toString('base64') }),
    direction,
    flags,
    openedUs,
    closedUs,
    status,
    ...(record.error === '' ? {} : { error: record.error }),
    size,
    moved,
    ...(record.appended ? { appended: true } : {}),
    ...hash,
    ...(record.dropped === 0 ? {} : { dropped: record.dropped }),
    ...(parts === 1 ? {} : { parts }),
    extents: encodeRuns(record.extents, 0),
  };
  const payloads = [Buffer.from(JSON.stringify(first))];
  for (let i = 1; i < parts; i++) {
    const more: z.infer<typeof part> = {
      file,
      part: i + 1,
      extents: encodeRuns(record.extents, i),
    };
    payloads.push(Buffer.from(JSON.stringify(more)));
  }
  return payloads;
}

export function encodeUndecoded(value: FilesUndecoded): Buffer {
  return Buffer.from(JSON.stringify({ undecoded: value.undecoded, us: value.us }));
}

function hashName({ whole }: FileRecord): 'sha256' | 'sha256_moved' {
  return whole ? 'sha256' : 'sha256_moved';
}

function encodeRuns(runs: readonly Run[], index: number): z.infer<typeof extents> {
  return runs
    .slice(index * RUNS_PER_RECORD, (index + 1) * RUNS_PER_RECORD)
    .map(({ offset, length, at, count: n, stride }) =>
      n === 1 ? [offset, length, at] : [offset, length, at, n, stride],
    );
}

/** Puts `file` records together again, in the order in which they stand in a trail. */
export class FileRecordReader {
  #open: { record: FileRecord; parts: number; seen: number; runs: Run[] } | undefined;

  /** The record that is whole with this payload; undefined while parts are missing. Throws ProtocolError. */
  push(payload: Buffer): FileRecord | FilesUndecoded | undefined {
    const value = parseJson(payload);
    const undecoded = lost.safeParse(value);
    if (undecoded.success) return undecoded.data;
    const further = part.safeParse(value);
    if (further.success) return this.#further(further.data);
    const parsed = shape.safeParse(value);
    if (!parsed.success || this.#open) throw new ProtocolError('a file record is not valid');
    const { parts = 1, extents: runs } = parsed.data;
    const record = recordOf(parsed.data);
    if (parts === 1) return { ...record, extents: decodeRuns(runs) };
    if (parts > Math.ceil(MAX_RUNS / RUNS_PER_RECORD)) {
      throw new ProtocolError('a file record has too many parts');
    }
    this.#open = { record, parts, seen: 1, runs: decodeRuns(runs) };
    return undefined;
  }

  #further({ file, part: number, extents: runs }: z.infer<typeof part>): FileRecord | undefined {
    const open = this.#open;
    if (open?.record.file !== file || number !== open.seen + 1 || number > open.parts) {
      throw new ProtocolError('a part of a file record does not follow the one before it');
    }
    open.seen = number;
    open.runs.push(...decodeRuns(runs));
    if (number < open.parts) return undefined;
    this.#open = undefined;
    return { ...open.record, extents: open.runs };
  }
}

function recordOf(data: z.infer<typeof shape>): FileRecord {
  const { sha256, sha256_moved: moved, path64, path, appended, error, dropped } = data;
  return {
    file: data.file,
    ordinal: data.ordinal,
    decoder: data.decoder ?? 0,
    path: path64 === undefined ? Buffer.from(path) : Buffer.from(path64, 'base64'),
    direction: data.direction,
    flags: data.flags,
    openedUs: data.openedUs,
    closedUs: data.closedUs,
    status: data.status,
    error: error ?? '',
    size: data.size,
    moved: data.moved,
    whole: sha256 !== undefined,
    appended: appended ?? false,
    sha256: sha256 ?? moved ?? null,
    extents: [],
    dropped: dropped ?? 0,
  };
}

function decodeRuns(runs: z.infer<typeof extents>): Run[] {
  return runs.map(([offset, length, at, n = 1, stride = 0]) => ({
    offset,
    length,
    count: n,
    at,
    stride,
  }));
}
