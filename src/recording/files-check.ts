/**
 * Holds what is said of files against the bytes that crossed: the `file` records of a channel's trail, which are signed
 * and may still be wrong, and the rows, which are not even signed. It follows the trail again, so a record or a row
 * whose hash, size or path is not that of its content is found.
 */
import type { TrailRecord } from './block-decoder.ts';
import { ChannelFiles } from './channel-files.ts';
import { KINDS } from './container.ts';
import { ContentReader } from './file-content.ts';
import { fileFact } from './file-fact.ts';
import type { FileRecord } from './file-record.ts';
import { FileRecordReader } from './file-record.ts';
import { hashContent } from './hash-content.ts';

/** What a row says of a file. */
export interface FileClaim {
  readonly id: string;
  readonly channel: number;
  readonly path: string;
  readonly direction: string;
  readonly size: number | null;
  readonly moved: number;
  readonly whole: boolean;
  readonly sha256: string | null;
  readonly status: string;
}

/** Files that no record has been seen of; a trail of a crash has none, and they must not add up. */
const MAX_KEPT = 10_000;

export class FilesCheck {
  readonly #files: ChannelFiles;
  readonly #reader = new FileRecordReader();
  readonly #path: string;
  readonly #claims: Map<string, FileClaim>;
  /** Followed, and not yet held against a record. */
  readonly #followed = new Map<string, string>();
  /** Records of files that were open at the end, which following tells only then. */
  readonly #interrupted = new Map<string, string>();
  #content: ContentReader | undefined;
  #wrong = '';

  /** `path` is the trail's, `claims` the rows of its channel. */
  constructor(connection: string, channel: number, path: string, claims: readonly FileClaim[]) {
    this.#path = path;
    const known = claims.filter((claim) => claim.direction !== '' && claim.channel === channel);
    this.#claims = new Map(known.map((claim) => [claim.id, claim]));
    this.#files = new ChannelFiles(connection, channel, {
      onFile: (record, hashed) => this.#onFollowed(hashed ? record : this.#hashed(record), channel),
      onUndecoded: () => undefined,
    });
  }

  /** Takes the next record of the trail. */
  take(record: TrailRecord): void {
    this.#files.take(record);
    if (record.kind !== KINDS.file) return;
    const said = this.#reader.push(record.payload);
    if (!said || !('file' in said)) return;
    if (said.status === 'interrupted' && this.#interrupted.size < MAX_KEPT) {
      this.#interrupted.set(said.file, wordsOf(said));
      return;
    }
    const followed = this.#followed.get(said.file);
    this.#followed.delete(said.file);
    if (followed !== wordsOf(said)) this.#note(`the record of file ${said.file}`);
  }

  /** What is wrong, in a line; empty if nothing is. `ended`: no row can be ahead of the trail. */
  end(ended: boolean): string {
    if (ended) {
      this.#files.end();
      for (const [id, words] of this.#interrupted) {
        if (this.#followed.get(id) !== words) this.#note(`the record of file ${id}`);
      }
      for (const id of this.#claims.keys()) this.#note(`the row of file ${id}`);
    }
    this.#content?.close();
    return this.#wrong;
  }

  #hashed(record: FileRecord): FileRecord {
    this.#content ??= new ContentReader(this.#path);
    return hashContent(record, this.#content);
  }

  #onFollowed(record: FileRecord, channel: number): void {
    const claim = this.#claims.get(record.file);
    this.#claims.delete(record.file);
    if (claim && !fits(claim, record, channel)) this.#note(`the row of file ${record.file}`);
    this.#followed.set(record.file, wordsOf(record));
    if (this.#followed.size <= MAX_KEPT) return;
    for (const oldest of this.#followed.keys()) {
      this.#followed.delete(oldest);
      return;
    }
  }

  #note(what: string): void {
    if (this.#wrong === '') this.#wrong = `${what} is not what its content says`;
  }
}

function fits(claim: FileClaim, record: FileRecord, channel: number): boolean {
  const fact = fileFact(record, channel, 0);
  return (
    claim.path === fact.path &&
    claim.direction === fact.direction &&
    claim.size === fact.size &&
    claim.moved === fact.moved &&
    claim.whole === fact.whole &&
    claim.sha256 === fact.sha256 &&
    claim.status === fact.status
  );
}

/** All that a record says, as text to compare; but for when the channel ended, which each sees by its last record. */
function wordsOf(record: FileRecord): string {
  const { path, extents, closedUs, ...others } = record;
  const rest = record.status === 'interrupted' ? others : { ...others, closedUs };
  const runs = extents.map(({ offset, length, count, at, stride }) =>
    [offset, length, count, at, stride].join(),
  );
  const fields = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([path.toString('base64'), fields, runs]);
}
