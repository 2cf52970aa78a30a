/**
 * The content of one file in the order of the file, from where it crossed: whole, or a range of it. Where nothing
 * crossed there are zeros, which only somebody who asked for them is given.
 */
import { AppError } from '../base/errors.ts';
import { printable } from '../wire/channel-request.ts';
import type { ContentReader } from './file-content.ts';
import type { FileRecord } from './file-record.ts';
import { streamOf } from './hash-content.ts';

const ZEROS = Buffer.alloc(64 * 1024);

/** Bytes of the content: to the end of the file as far as that is known, else of what crossed. */
export function contentLength({ size, extents }: FileRecord): number {
  const last = extents.at(-1);
  const end = last ? last.offset + last.length * last.count : 0;
  return Math.max(end, size ?? 0);
}

/** Bytes that did not cross here. */
export function missingBytes(record: FileRecord): number {
  let at = 0;
  let missing = 0;
  for (const { offset, length, count } of record.extents) {
    missing += offset - at;
    at = offset + length * count;
  }
  return missing + contentLength(record) - at;
}

/** Refuses what cannot be given as the file that it was; `holes`: zeros may stand for what did not cross. */
export function checkContent(record: FileRecord, holes: boolean): void {
  const name = JSON.stringify(printable(record.path));
  if (record.dropped > 0) {
    const text = `${record.dropped} bytes of ${name} crossed in too many pieces to be placed`;
    throw new AppError('not-found', `${text}; trail export has the channel as it crossed`);
  }
  const missing = missingBytes(record);
  if (missing === 0 || holes) return;
  const text = `${missing} bytes of ${name} did not cross here`;
  throw new AppError('not-found', `${text}: holes=zero puts zeros in their place`);
}

/** The bytes from `from` to before `to`. Each buffer is good until the next is asked for. */
export function* contentPieces(
  record: FileRecord,
  content: ContentReader,
  from: number,
  to: number,
): Generator<Buffer> {
  const stream = streamOf(record);
  let at = from;
  for (const { offset, length, count, at: place, stride } of record.extents) {
    const end = offset + length * count;
    if (end <= at) continue;
    if (offset >= to) break;
    yield* zeros(at, Math.min(offset, to));
    at = Math.max(at, offset);
    // Of a run of many alike only those that are wanted.
    for (let i = Math.floor((at - offset) / length); i < count && at < to; i++) {
      const skip = at - (offset + i * length);
      const wanted = Math.min(length - skip, to - at);
      const run = {
        offset: at,
        length: wanted,
        count: 1,
        at: place + i * stride + skip,
        stride: 0,
      };
      yield* content.chunks(stream, [run]);
      at += wanted;
    }
  }
  yield* zeros(at, to);
}

function* zeros(from: number, to: number): Generator<Buffer> {
  for (let left = to - from; left > 0; left -= ZEROS.length) {
    yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
  }
}
