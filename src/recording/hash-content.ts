/**
 * The hash of a file whose content did not pass in its own order: read back from the trail, a slice at a time, so that
 * whoever does it can do something else in between.
 */
import { createHash } from 'node:crypto';
import { ProtocolError } from '../base/errors.ts';
import type { ContentReader } from './file-content.ts';
import type { FileRecord } from './file-record.ts';

/** The stream that a file's content crossed on. */
export function streamOf({ direction }: Pick<FileRecord, 'direction'>): 'stdin' | 'stdout' {
  return direction === 'upload' ? 'stdin' : 'stdout';
}

/** Steps of some hundred kilobytes; the last one gives the record with its hash, or without if it cannot be read. */
export function* hashSteps(
  record: FileRecord,
  content: ContentReader,
): Generator<void, FileRecord> {
  const hash = createHash('sha256');
  try {
    for (const bytes of content.chunks(streamOf(record), record.extents)) {
      hash.update(bytes);
      yield;
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { ...record, whole: false, sha256: null };
  }
  return { ...record, sha256: hash.digest('hex') };
}

/** The same at once. */
export function hashContent(record: FileRecord, content: ContentReader): FileRecord {
  const steps = hashSteps(record, content);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
