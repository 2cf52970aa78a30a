/**
 * Makes files of what a decoder tells (`wire/transfer.ts`): for each opening that moved data a record of what crossed,
 * where it stands in the stream, and whether it is the whole file. Content is hashed as it passes by where it passes in
 * the order of the file; else the record comes without its hash, and whoever wants that reads the content back.
 *
 *   upload    whole if the file was made or cut to a known size here, and each of its bytes crossed
 *   download  whole if it was read from 0 to the end that the target told, without a gap
 *
 * Only what was answered counts. Nothing of an opening that did not end well is called whole.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { AT_END } from '../wire/transfer.ts';
import type {
  OpenFlags,
  Piece,
  TransferDirection,
  TransferOperation,
  TransferSink,
  TransferStatus,
} from '../wire/transfer.ts';
import { Extents, RunBudget } from './file-extents.ts';
import type { FileRecord, FileStatus, FilesUndecoded } from './file-record.ts';
import { DECODER, flagLetters } from './file-record.ts';

/** A record whose ids are its owner's to give. */
export type FileDraft = Omit<FileRecord, 'file' | 'ordinal'>;

export interface FileViewEvents {
  /** A file is at its end. `hashed`: its hash is known, or there is none to be had; else the content must be read. */
  onFile(draft: FileDraft, hashed: boolean): void;
  onOperation(operation: TransferOperation, us: number): void;
  onUndecoded(event: FilesUndecoded): void;
}

/** What crossed of a file in one direction. */
interface Side {
  readonly extents: Extents;
  readonly hash: Hash;
  /** Behind the last byte that was hashed. */
  hashedTo: number;
  hashedBytes: number;
  /** What was hashed is what the extents hold, in their order. */
  inOrder: boolean;
  moved: number;
}

interface Opening {
  readonly path: Buffer;
  readonly flags: OpenFlags;
  readonly openedUs: number;
  upload: Side | undefined;
  download: Side | undefined;
  /** The size of a file that is written; undefined while it is not known. */
  size: number | undefined;
  /** The target's word on the size of a file that is read. */
  told: number | undefined;
  /** The least offset where a read met the end. */
  end: number | undefined;
  /** It was opened for appending to an unknown size. */
  readonly blind: boolean;
  /** Offsets count what was appended through it, since they are not known better. */
  appended: boolean;
}

const OPENED: TransferStatus = { ok: true, word: 'ok', message: Buffer.alloc(0) };

export class FileView implements TransferSink {
  readonly #events: FileViewEvents;
  readonly #open = new Map<number, Opening>();
  readonly #budget = new RunBudget();

  constructor(events: FileViewEvents) {
    this.#events = events;
  }

  opened(file: number, path: Buffer, flags: OpenFlags, us: number): void {
    const made = flags.write && (flags.truncate || (flags.create && flags.exclusive));
    this.#open.set(file, {
      path,
      flags,
      openedUs: us,
      upload: undefined,
      download: undefined,
      size: made ? 0 : undefined,
      told: undefined,
      end: undefined,
      blind: flags.append && !made,
      appended: false,
    });
  }

  passing(file: number, direction: TransferDirection, offset: number, bytes: Buffer): void {
    const opening = this.#open.get(file);
    if (!opening) return;
    const side = this.#side(opening, direction);
    const at = offset === AT_END ? side.hashedTo : offset;
    if (!side.inOrder) return;
    if (at < side.hashedTo) {
      side.inOrder = false;
      return;
    }
    side.hash.update(bytes);
    side.hashedTo = at + bytes.length;
    side.hashedBytes += bytes.length;
  }

  moved(
    file: number,
    direction: TransferDirection,
    offset: number,
    pieces: readonly Piece[],
  ): void {
    const opening = this.#open.get(file);
    if (!opening) return;
    const side = this.#side(opening, direction);
    let at: number | undefined = offset;
    if (offset === AT_END) {
      if (opening.blind && opening.size === undefined && side.moved === 0) opening.appended = true;
      at = opening.appended ? side.extents.end : opening.size;
    }
    for (const { streamOffset, length } of pieces) {
      side.moved += length;
      if (at === undefined) {
        side.extents.drop(length);
        continue;
      }
      side.extents.put(at, length, streamOffset);
      at += length;
    }
    if (at === undefined) return;
    if (direction === 'upload' && opening.size !== undefined) {
      opening.size = Math.max(opening.size, at);
    }
  }

  lost(file: number, offset: number, length: number): void {
    const opening = this.#open.get(file);
    if (!opening) return;
    const { upload, size } = opening;
    if (opening.appended) return;
    if (size !== undefined && (offset === AT_END || offset + length > size)) {
      opening.size = undefined;
    }
    if (upload && offset !== AT_END && upload.extents.cut(offset, length)) upload.inOrder = false;
  }

  resized(file: number, size: number): void {
    const opening = this.#open.get(file);
    if (!opening || opening.appended) return;
    opening.size = size;
    const { upload } = opening;
    if (upload?.extents.cut(size, Infinity)) upload.inOrder = false;
  }

  sized(file: number, size: number): void {
    const opening = this.#open.get(file);
    if (opening) opening.told = size;
  }

  ended(file: number, offset: number): void {
    const opening = this.#open.get(file);
    if (opening) opening.end = Math.min(opening.end ?? offset, offset);
  }

  closed(file: number, status: TransferStatus, us: number): void {
    const opening = this.#open.get(file);
    if (!opening) return;
    this.#open.delete(file);
    this.#finish(opening, status.ok ? 'ok' : 'failed', status.ok ? '' : status.word, us);
  }

  operation(operation: TransferOperation, us: number): void {
    this.#events.onOperation(operation, us);
  }

  undecoded(why: string, us: number): void {
    this.#endAll('undecoded', why, us);
    this.#events.onUndecoded({ undecoded: why, us });
  }

  /** The channel is at its end, and with it what was still open. */
  end(us: number): void {
    this.#endAll('interrupted', 'the channel ended', us);
  }

  #endAll(status: FileStatus, error: string, us: number): void {
    for (const opening of this.#open.values()) this.#finish(opening, status, error, us);
    this.#open.clear();
  }

  #side(opening: Opening, direction: TransferDirection): Side {
    const side = opening[direction];
    if (side) return side;
    const made: Side = {
      extents: new Extents(this.#budget),
      hash: createHash('sha256'),
      hashedTo: 0,
      hashedBytes: 0,
      inOrder: true,
      moved: 0,
    };
    opening[direction] = made;
    return made;
  }

  #finish(opening: Opening, status: FileStatus, error: string, us: number): void {
    const { flags, path } = opening;
    let told = false;
    if ((opening.upload?.moved ?? 0) > 0 || (flags.write && opening.size === 0)) {
      told = true;
      this.#tell(opening, 'upload', status, error, us);
    }
    const empty = !flags.write && (opening.end === 0 || opening.told === 0);
    if ((opening.download?.moved ?? 0) > 0 || (empty && flags.read)) {
      told = true;
      this.#tell(opening, 'download', status, error, us);
    }
    if (told) return;
    const paths = [path];
    const ended = status === 'ok' ? OPENED : { ...OPENED, ok: false, word: error };
    const detail = 'no data moved';
    this.#events.onOperation({ name: 'open', paths, detail, status: ended }, us);
  }

  #tell(
    opening: Opening,
    direction: TransferDirection,
    status: FileStatus,
    error: string,
    us: number,
  ): void {
    const side = this.#side(opening, direction);
    const { extents } = side;
    const { end } = extents;
    const size = direction === 'upload' ? opening.size : this.#sizeRead(opening, end);
    const covered = size !== undefined && extents.covers(size);
    // What has no place cannot be read back to be hashed; hashed as it passed is the whole file or nothing that counts.
    const counts = extents.dropped === 0 || covered;
    const inOrder = side.inOrder && counts && side.hashedBytes === extents.total + extents.dropped;
    const hashed = inOrder || extents.dropped > 0;
    const whole = status === 'ok' && covered && (inOrder || !hashed);
    const draft: FileDraft = {
      decoder: DECODER,
      path: opening.path,
      direction,
      flags: flagLetters(opening.flags),
      openedUs: opening.openedUs,
      closedUs: us,
      status,
      error,
      size:
        size ??
        (direction === 'upload' && opening.appended ? null : Math.max(end, opening.told ?? 0)),
      moved: side.moved,
      whole,
      appended: direction === 'upload' && opening.appended,
      sha256: inOrder ? side.hash.digest('hex') : null,
      extents: extents.runs,
      dropped: extents.dropped,
    };
    extents.release();
    this.#events.onFile(draft, hashed);
  }

  /** The size of a file that was read to its end; undefined if that was not seen. */
  #sizeRead({ told, end }: Opening, read: number): number | undefined {
    return end === read || told === read ? read : undefined;
  }
}
