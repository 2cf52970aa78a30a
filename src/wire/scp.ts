/**
 * A passive decoder of the old rcp protocol inside an exec of `scp -t` or `scp -f` (`scp-records.ts` has its lines). It
 * follows the source's stream by itself and holds the sink's answers against it. A source that does not wait for its
 * answers is followed as if they were yes; if one is no, the two sides no longer mean the same, and the thread is lost.
 *
 * An upload counts when the target has said so behind its last byte; of a download what left the target counts, unless
 * the target says that it could not read the file.
 */
import { ProtocolError } from '../base/errors.ts';
import { printedBytes } from './channel-request.ts';
import { ScpPaths } from './scp-paths.ts';
import type { ScpPlace } from './scp-paths.ts';
import type { ScpAnswer, ScpRecord } from './scp-records.ts';
import { ScpAnswers, ScpLine, parseRecord } from './scp-records.ts';
import { shellWords } from './shell-words.ts';
import { toolOf } from './tool-command.ts';
import type {
  OpenFlags,
  Piece,
  TransferDecoder,
  TransferDirection,
  TransferSink,
  TransferStatus,
} from './transfer.ts';

/** A source that waits has one or two. */
const MAX_WAITING = 1_024;
/** One, if nothing of the stream was withheld. */
const MAX_PIECES = 65_536;
const NO_BYTES = Buffer.alloc(0);
const OK: TransferStatus = { ok: true, word: 'ok', message: NO_BYTES };
const READS: OpenFlags = {
  read: true,
  write: false,
  append: false,
  create: false,
  truncate: false,
  exclusive: false,
};
const WRITES: OpenFlags = { ...READS, read: false, write: true, create: true, truncate: true };

/** The decoder of an scp command; undefined for any other command, or one that is not certain. */
export function scpDecoder(command: Buffer, sink: TransferSink): TransferDecoder | undefined {
  const tool = toolOf(command);
  if (tool?.name !== 'scp') return undefined;
  const { direction, paths, expands } = tool;
  const flags = (shellWords(command) ?? []).map(({ bytes }) => bytes.toString('latin1'));
  const isFolder = flags.some((word) => /^-[rpvqtf]*d[rpdvqtf]*$/.test(word));
  return new ScpDecoder({ direction, paths: paths.map(printedBytes), expands, isFolder }, sink);
}

type Entry = Extract<ScpRecord, { kind: 'file' | 'folder' }>;

/** A file whose bytes pass, or have passed. */
interface Passing {
  readonly file: number;
  readonly path: Buffer;
  readonly size: number;
  readonly pieces: Piece[];
  readonly times: string;
  length: number;
  /** What the source said behind the last byte. */
  status: ScpAnswer | undefined;
}

/** What an answer of the sink will be about. */
type Waiting =
  | { readonly about: 'start' | 'times' | 'leave' }
  | {
      readonly about: 'entry';
      readonly entry: Entry;
      readonly path: Buffer;
      /** Whether the path is known without asking the target. */
      readonly isCertain: boolean;
      /** A yes that nobody has said yet. */
      assumed: boolean;
    }
  | { readonly about: 'content'; readonly passing: Passing };

type Announced = Extract<Waiting, { about: 'entry' }>;

class ScpDecoder implements TransferDecoder {
  readonly #direction: TransferDirection;
  readonly #sink: TransferSink;
  readonly #paths: ScpPaths;
  readonly #line = new ScpLine();
  readonly #statuses = new ScpAnswers();
  readonly #answers = new ScpAnswers();
  readonly #waiting: Waiting[] = [{ about: 'start' }];
  /** A file that was announced and not agreed to yet: the last one in `#waiting`. */
  #announced: Announced | undefined;
  #passing: Passing | undefined;
  #times = '';
  #files = 0;
  #isOver = false;

  constructor(place: ScpPlace, sink: TransferSink) {
    this.#direction = place.direction;
    this.#sink = sink;
    this.#paths = new ScpPaths(place);
  }

  push(stream: 'stdin' | 'stdout', bytes: Buffer, streamOffset: number, us: number): void {
    const isSource = (stream === 'stdin') === (this.#direction === 'upload');
    try {
      if (isSource) this.#said(bytes, streamOffset, us);
      else this.#answered(bytes, us);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#lose(error.message, us);
    }
  }

  end(us: number): void {
    if (this.#isOver) return;
    this.#finish(us);
  }

  /** Nothing more will be told; what is unanswered stays so. */
  #finish(us: number): void {
    this.#isOver = true;
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.about === 'content') this.#leaveOpen(waiting.passing, us);
      if (waiting.about === 'entry' && !waiting.assumed) {
        this.#operation(nameOf(waiting.entry, this.#direction), waiting, 'not answered', us);
      }
    }
    if (this.#passing) this.#leaveOpen(this.#passing, us);
    this.#passing = undefined;
    this.#announced = undefined;
  }

  #lose(why: string, us: number): void {
    if (this.#isOver) return;
    this.#finish(us);
    this.#sink.undecoded(why, us);
  }

  /** Bytes of the source. */
  #said(bytes: Buffer, streamOffset: number, us: number): void {
    let at = 0;
    while (at < bytes.length && !this.#isOver) {
      // It does not wait for the answer.
      if (this.#announced) this.#open(this.#announced, us);
      const passing = this.#passing;
      if (!passing) {
        const { line, end } = this.#line.take(bytes, at);
        at = end;
        if (line) this.#record(parseRecord(line), us);
      } else if (passing.length < passing.size) {
        const length = Math.min(passing.size - passing.length, bytes.length - at);
        const content = bytes.subarray(at, at + length);
        this.#sink.passing(passing.file, this.#direction, passing.length, content);
        addPiece(passing.pieces, streamOffset + at, length);
        passing.length += length;
        at += length;
      } else {
        const { answer, end } = this.#statuses.take(bytes, at);
        at = end;
        if (!answer) continue;
        passing.status = answer;
        this.#passing = undefined;
        this.#wait({ about: 'content', passing });
      }
    }
  }

  #wait(waiting: Waiting): void {
    if (this.#waiting.length === MAX_WAITING) throw new ProtocolError('nothing is answered');
    this.#waiting.push(waiting);
  }

  #record(record: ScpRecord, us: number): void {
    switch (record.kind) {
      case 'message': {
        // Nobody answers these.
        const word = record.isFatal ? 'error' : 'warning';
        const status = { ok: false, word, message: record.text };
        this.#sink.operation({ name: word, paths: [], detail: '', status }, us);
        if (record.isFatal) this.#finish(us);
        return;
      }
      case 'times':
        this.#times = `mtime ${record.mtime}, atime ${record.atime}`;
        this.#wait({ about: 'times' });
        return;
      case 'leave':
        this.#paths.leave();
        this.#wait({ about: 'leave' });
        return;
      case 'file':
      case 'folder': {
        const path = this.#paths.pathOf(record.name);
        const isCertain = this.#paths.isCertain(record.name);
        const waiting: Announced = {
          about: 'entry',
          entry: record,
          path,
          isCertain,
          assumed: false,
        };
        this.#wait(waiting);
        if (record.kind === 'file') this.#announced = waiting;
        else this.#paths.enter(path);
      }
    }
  }

  #open(waiting: Announced, us: number): void {
    const { path, entry } = waiting;
    const file = this.#files++;
    waiting.assumed = true;
    this.#announced = undefined;
    const times = this.#takeTimes();
    const { size } = entry;
    this.#passing = { file, path, size, pieces: [], times, length: 0, status: undefined };
    this.#sink.opened(file, path, this.#direction === 'upload' ? WRITES : READS, us);
    this.#sink.sized(file, size, us);
    if (!waiting.isCertain) this.#operation('open', waiting, 'ok', us);
  }

  #takeTimes(): string {
    const times = this.#times;
    this.#times = '';
    return times;
  }

  /** Bytes of the sink. */
  #answered(bytes: Buffer, us: number): void {
    let at = 0;
    while (at < bytes.length && !this.#isOver) {
      const { answer, end } = this.#answers.take(bytes, at);
      at = end;
      if (answer) this.#answer(answer, us);
    }
  }

  #answer(answer: ScpAnswer, us: number): void {
    const waiting = this.#waiting.shift();
    if (!waiting) {
      // Older scp complain twice about one file.
      if (answer.ok) throw new ProtocolError('an answer to nothing');
      this.#complaint(answer, us);
    } else if (waiting.about === 'content') {
      this.#settle(waiting.passing, answer, us);
    } else if (waiting.about === 'entry') {
      this.#judged(waiting, answer, us);
    } else if (!answer.ok) {
      this.#complaint(answer, us);
    }
    if (answer.isFatal) this.#finish(us);
  }

  #complaint(answer: ScpAnswer, us: number): void {
    const word = answer.isFatal ? 'error' : 'warning';
    const status = { ok: false, word, message: answer.text };
    this.#sink.operation({ name: word, paths: [], detail: '', status }, us);
  }

  /** Whether a file or a folder is taken. */
  #judged(waiting: Announced, answer: ScpAnswer, us: number): void {
    const { entry } = waiting;
    const isLast = this.#waiting.length === 0 && this.#line.isEmpty;
    if (answer.ok) {
      if (entry.kind === 'folder') this.#folderTaken(waiting, us);
      else if (!waiting.assumed) this.#open(waiting, us);
      return;
    }
    this.#operation(nameOf(entry, this.#direction), waiting, 'refused', us, answer.text);
    this.#announced = undefined;
    this.#times = '';
    if (answer.isFatal) return;
    if (waiting.assumed || !isLast || this.#passing) {
      throw new ProtocolError('what was refused was sent all the same');
    }
    if (entry.kind === 'folder') this.#paths.leave();
  }

  #folderTaken(waiting: Announced, us: number): void {
    this.#times = '';
    this.#operation(nameOf(waiting.entry, this.#direction), waiting, 'ok', us);
  }

  #operation(
    name: string,
    { entry, path, isCertain }: Announced,
    word: string,
    us: number,
    message: Buffer = NO_BYTES,
  ): void {
    const size = entry.kind === 'file' ? `, size ${entry.size}` : '';
    const doubt = isCertain ? '' : ', or as the command names it';
    const detail = `mode ${entry.mode}${size}${doubt}`;
    const status = word === 'ok' ? OK : { ok: false, word, message };
    this.#sink.operation({ name, paths: [path], detail, status }, us);
  }

  /** A file has passed as a whole, and both sides have said how it went. */
  #settle(passing: Passing, answer: ScpAnswer, us: number): void {
    const { file, path, pieces, length, status, times } = passing;
    const wasRead = status?.ok === true;
    const counts = wasRead && (answer.ok || this.#direction === 'download');
    if (counts) this.#sink.moved(file, this.#direction, 0, pieces, us);
    else this.#sink.lost(file, 0, length, us);
    const message = wasRead ? answer.text : (status?.text ?? NO_BYTES);
    const word = wasRead ? 'not written' : 'not read';
    this.#sink.closed(file, wasRead && answer.ok ? OK : { ok: false, word, message }, us);
    if (counts && times !== '' && this.#direction === 'upload') {
      this.#sink.operation({ name: 'setstat', paths: [path], detail: times, status: OK }, us);
    }
  }

  /** A file without its last answer: what left the target is known, what came to it is not. */
  #leaveOpen({ file, pieces, length, status }: Passing, us: number): void {
    if (length === 0) return;
    const counts = this.#direction === 'download' && status?.ok !== false;
    if (counts) this.#sink.moved(file, this.#direction, 0, pieces, us);
    else this.#sink.lost(file, 0, length, us);
  }
}

function nameOf(entry: Entry, direction: TransferDirection): string {
  if (entry.kind === 'file') return 'open';
  return direction === 'upload' ? 'mkdir' : 'readdir';
}

/** Notes bytes of a stream; those that lie behind the last ones lengthen them. */
function addPiece(pieces: Piece[], streamOffset: number, length: number): void {
  const last = pieces.at(-1);
  if (last && last.streamOffset + last.length === streamOffset) {
    pieces[pieces.length - 1] = {
      streamOffset: last.streamOffset,
      length: last.length + length,
    };
    return;
  }
  if (pieces.length === MAX_PIECES) throw new ProtocolError('a file in too many pieces');
  pieces.push({ streamOffset, length });
}
