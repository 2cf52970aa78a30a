/** What the rows are told of a file: its record without the places of its bytes, which stand in the trail. */
import type { FileFact, FileMoved, FilesUnknown } from '../ops/facts.ts';
import { printable } from '../wire/channel-request.ts';
import type { FileRecord, FilesUndecoded } from './file-record.ts';
import { unknownId } from './file-record.ts';

/** The fact of a file; `wallUs` is the time of day at 0 of its trail's clock. */
export function fileFact(record: FileRecord, channel: number, wallUs: number): FileMoved {
  const { file, ordinal, direction, flags, size, moved, whole, sha256, status, error } = record;
  return {
    kind: 'file-moved',
    file,
    channel,
    ordinal,
    path: printable(record.path),
    direction,
    flags,
    size,
    moved,
    whole,
    sha256,
    status,
    error,
    openedAt: wallUs + record.openedUs,
    closedAt: wallUs + record.closedUs,
  };
}

/** The fact that the files of a channel, or the rest of them, are not known. */
export function unknownFact(
  connection: string,
  channel: number,
  why: string,
  at: number,
): FilesUnknown {
  return { kind: 'files-unknown', file: unknownId(connection, channel), channel, why, at };
}

/** The fact of what a trail tells: a file, or that it tells no more. */
export function knownFact(
  known: FileRecord | FilesUndecoded,
  connection: string,
  channel: number,
  wallUs: number,
): FileFact {
  if ('file' in known) return fileFact(known, channel, wallUs);
  return unknownFact(connection, channel, known.undecoded, wallUs + known.us);
}
