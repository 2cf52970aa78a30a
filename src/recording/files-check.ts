/**
 * Holds what is said of files against the bytes that crossed: the `file` records of a channel's trail, which are signed
 * and may still be wrong, and the rows, which are not even signed. It follows the trail again, so a record or a row
 * whose hash, size or path is not that of its content is found. A record that another decoder made, or that came too
 * late to be compared, must have the hash of its own bytes; a row must say what its record says.
 */
import type { TrailRecord } from './block-decoder.ts';
import { ChannelFiles } from './channel-files.ts';
import { KINDS } from './container.ts';
import { ContentReader } from './file-content.ts';
import { fileFact } from './file-fact.ts';
import type { FileRecord } from './file-record.ts';
import { DECODER, FileRecordReader } from './file-record.ts';
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

/** What following the trail made of a file. */
interface Followed {
  readonly words: string;
  /** Whether its row, if it has one, says the same. */
  readonly fits: boolean;
}

export class FilesCheck {
  readonly #files: ChannelFiles;
  readonly #reader = new FileRecordReader();
  readonly #path: string;
  readonly #channel: number;
  readonly #claims: Map<string, FileClaim>;
  /** Followed, and not yet held against a record. */
  readonly #followed = new Map<string, Followed>();
  /** Records of files that following has not told yet. */
  readonly #early: FileRecord[] = [];
  #content: ContentReader | undefined;
  #wrong = '';

  /** `path` is the trail's, `claims` the rows of its channel. */
  constructor(connection: string, channel: number, path: string, claims: readonly FileClaim[]) {
    this.#path = path;
    this.#channel = channel;
    const known = claims.filter((claim) => claim.direction !== '' && claim.channel === channel);
    this.#claims = new Map(known.map((claim) => [claim.id, claim]));
    this.#files = new ChannelFiles(connection, channel, {
      onFile: (record, hashed) => this.#onFollowed(hashed ? record : this.#hashed(record)),
      onUndecoded: () => undefined,
    });
  }

  /** Takes the next record of the trail. */
  take(record: TrailRecord): void {
    this.#files.take(record);
    if (record.kind !== KINDS.file) return;
    const said = this.#reader.push(record.payload);
    if (!said || !('file' in said)) return;
    // What was open when the channel ended is followed to its end only at the end.
    if (this.#followed.has(said.file) || this.#early.length >= MAX_KEPT) this.#judge(said);
    else this.#early.push(said);
  }

  /** What is wrong, in a line; empty if nothing is. `ended`: no row can be ahead of the trail. */
  end(ended: boolean): string {
    if (ended) this.#files.end();
    for (const said of this.#early) this.#judge(said);
    if (ended) {
      for (const [id, followed] of this.#followed) this.#judgeRow(id, followed);
      for (const id of this.#claims.keys()) this.#note(`the row of file ${id}`);
    }
    this.#content?.close();
    return this.#wrong;
  }

  #judge(said: FileRecord): void {
    const { file, decoder } = said;
    const followed = this.#followed.get(file);
    this.#followed.delete(file);
    const isTrue =
      followed && decoder === DECODER
        ? followed.words === wordsOf(said)
        : said.sha256 === null || this.#hashed(said).sha256 === said.sha256;
    if (!isTrue) this.#note(`the record of file ${file}`);
    const claim = this.#claims.get(file);
    this.#claims.delete(file);
    if (claim && !fits(claim, said, this.#channel)) this.#note(`the row of file ${file}`);
  }

  /** A file without a record: its row is held against what was followed. */
  #judgeRow(file: string, { fits: isTrue }: Followed): void {
    this.#claims.delete(file);
    if (!isTrue) this.#note(`the row of file ${file}`);
  }

  #hashed(record: FileRecord): FileRecord {
    this.#content ??= new ContentReader(this.#path);
    return hashContent(record, this.#content);
  }

  #onFollowed(record: FileRecord): void {
    const claim = this.#claims.get(record.file);
    const isTrue = claim === undefined || fits(claim, record, this.#channel);
    this.#followed.set(record.file, { words: wordsOf(record), fits: isTrue });
    if (this.#followed.size <= MAX_KEPT) return;
    for (const [oldest, followed] of this.#followed) {
      this.#followed.delete(oldest);
      // A record that comes later than this is held against its bytes.
      if (followed.fits) this.#claims.delete(oldest);
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
