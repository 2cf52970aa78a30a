/**
 * The files and operations of a channel that moves files, in words, instead of the bytes that moved them. It follows
 * the trail again, so it tells the same for a trail that is still written and for one that a crash left.
 */
import type { TrailRecord } from '../recording/block-decoder.ts';
import { ChannelFiles } from '../recording/channel-files.ts';
import { KINDS } from '../recording/container.ts';
import { ContentReader } from '../recording/file-content.ts';
import type { FileRecord } from '../recording/file-record.ts';
import { hashContent } from '../recording/hash-content.ts';
import { printable } from '../wire/channel-request.ts';
import type { TransferOperation } from '../wire/transfer.ts';
import type { TimedText } from './channel-timeline.ts';
import { grouped, say, shorten } from './words.ts';

const MAX_PATH = 300;

export class TransferText {
  readonly #files: ChannelFiles;
  readonly #path: string;
  #content: ContentReader | undefined;
  #lines: TimedText[] = [];

  /** `path` is the trail's. */
  constructor(connection: string, channel: number, path: string) {
    this.#path = path;
    this.#files = new ChannelFiles(connection, channel, {
      onFile: (record, hashed) => {
        const known = hashed ? record : this.#hashed(record);
        this.#lines.push({ us: known.closedUs, text: fileText(known) });
      },
      onOperation: (operation, us) => this.#lines.push({ us, text: operationText(operation) }),
      onUndecoded: ({ undecoded, us }) => {
        const text = `undecoded from here on, the bytes are recorded: ${say(undecoded)}`;
        this.#lines.push({ us, text });
      },
    });
  }

  /** Takes a record and gives what is known with it. */
  take(record: TrailRecord): readonly TimedText[] {
    this.#files.take(record);
    return this.#taken();
  }

  /** Whether a record is a part of what is told here in words. */
  replaces({ kind }: TrailRecord): boolean {
    return this.#files.isFollowed && (kind === KINDS.stdin || kind === KINDS.stdout);
  }

  /** There are no more records; `live`: for now. */
  end(live: boolean): readonly TimedText[] {
    if (!live) this.#files.end();
    this.#content?.close();
    return this.#taken();
  }

  #taken(): readonly TimedText[] {
    if (this.#lines.length === 0) return NONE;
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  #hashed(record: FileRecord): FileRecord {
    this.#content ??= new ContentReader(this.#path);
    return hashContent(record, this.#content);
  }
}

const NONE: readonly TimedText[] = [];

function fileText(record: FileRecord): string {
  const { direction, path, size, moved, whole, sha256, status, error, appended } = record;
  const name = shorten(printable(path), MAX_PATH);
  const how = status === 'ok' ? '' : `, ${status}: ${error}`;
  const hash = sha256 === null ? 'no hash' : `SHA-256 ${sha256}`;
  if (whole) return `${direction} ${name}: ${grouped(size ?? moved)} bytes, ${hash}${how}`;
  const where = appended ? 'appended' : 'of it';
  return `${direction} ${name}: a part, ${grouped(moved)} bytes ${where}, their ${hash}${how}`;
}

function operationText({ name, paths, detail, status }: TransferOperation): string {
  const words = paths.map((path) => shorten(printable(path), MAX_PATH));
  const what = [name, ...words].join(' ');
  const more = detail === '' ? '' : ` (${say(detail)})`;
  if (status.ok) return `${what}${more}`;
  const message = printable(status.message);
  const same = message === '' || message.toLowerCase() === status.word;
  return `${what}${more}: ${status.word}${same ? '' : `, ${message}`}`;
}
