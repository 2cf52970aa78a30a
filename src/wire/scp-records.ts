/**
 * What the sides of the old rcp protocol say to each other, each a line but for the byte that means yes. There is no
 * document of it; this is what OpenSSH's scp.c writes and reads. The source, which has the files, says:
 *
 *   C<mode> <size> <name>\n     a file of that many bytes; they follow once the sink has agreed, and then a status
 *   D<mode> 0 <name>\n          a folder: what follows is in it, until E\n
 *   T<mtime> <µs> <atime> <µs>\n  the times of the next C or D
 *   \x01<text>\n                a warning: something was left out;  \x02<text>\n  an error, and the end
 *
 * The sink answers each of C, D, E, T and each file's end, and says once at the start that it is there: \x00 yes,
 * \x01<text>\n no, \x02<text>\n no, and the end. A status is the same from the source: \x00 if it could read the file.
 */
import { ProtocolError } from '../base/errors.ts';

/** OpenSSH's buffer for a line. */
const MAX_LINE = 16_384;
/** Of what a peer says beside a status. */
const MAX_MESSAGE = 300;
const LINE_FEED = 0x0a;
const NO_BYTES = Buffer.alloc(0);

export type ScpRecord =
  | {
      readonly kind: 'file' | 'folder';
      readonly mode: string;
      readonly size: number;
      readonly name: Buffer;
    }
  | { readonly kind: 'leave' }
  | { readonly kind: 'times'; readonly mtime: number; readonly atime: number }
  | { readonly kind: 'message'; readonly isFatal: boolean; readonly text: Buffer };

/** Parses a line of the source, without its line feed. */
export function parseRecord(line: Buffer): ScpRecord {
  // Latin-1 keeps one character per byte: names are bytes.
  const text = line.toString('latin1');
  const first = text.charAt(0);
  if (first === '\x01' || first === '\x02') {
    return { kind: 'message', isFatal: first === '\x02', text: shortened(line.subarray(1)) };
  }
  if (text === 'E') return { kind: 'leave' };
  const times = /^T(\d{1,15}) \d{1,6} (\d{1,15}) \d{1,6}$/.exec(text);
  if (times) return { kind: 'times', mtime: Number(times[1]), atime: Number(times[2]) };
  const entry = /^([CD])([0-7]{4}) (\d{1,16}) ([^/\0]+)$/s.exec(text);
  const size = Number(entry?.[3]);
  const name = entry?.[4] ?? '';
  if (!entry || name === '.' || name === '..') {
    throw new ProtocolError('a line that is none of the scp protocol');
  }
  if (!Number.isSafeInteger(size)) throw new ProtocolError('a size beyond all files');
  return {
    kind: entry[1] === 'C' ? 'file' : 'folder',
    mode: entry[2] ?? '',
    size,
    name: Buffer.from(name, 'latin1'),
  };
}

function shortened(text: Buffer): Buffer {
  return Buffer.from(text.subarray(0, MAX_MESSAGE));
}

/** What is there of a line, in any split. */
export class ScpLine {
  #held: Buffer = NO_BYTES;

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  /** Takes bytes up to the end of the line; the line if it is whole, and where the bytes go on. */
  take(bytes: Buffer, from: number): { readonly line: Buffer | undefined; readonly end: number } {
    const found = bytes.indexOf(LINE_FEED, from);
    const to = found < 0 ? bytes.length : found;
    if (this.#held.length + to - from > MAX_LINE) throw new ProtocolError('a line without an end');
    const line = Buffer.concat([this.#held, bytes.subarray(from, to)]);
    this.#held = found < 0 ? line : NO_BYTES;
    return { line: found < 0 ? undefined : line, end: found < 0 ? to : to + 1 };
  }
}

/** A yes or no, from the sink, or from the source behind a file. */
export interface ScpAnswer {
  readonly ok: boolean;
  /** Whoever said it goes no further. */
  readonly isFatal: boolean;
  readonly text: Buffer;
}

const YES: ScpAnswer = { ok: true, isFatal: false, text: NO_BYTES };

/** Reads answers, in any split. */
export class ScpAnswers {
  readonly #line = new ScpLine();

  /** One answer if it is whole, and where the bytes go on. */
  take(bytes: Buffer, from: number): { answer: ScpAnswer | undefined; end: number } {
    if (this.#line.isEmpty && bytes[from] === 0) return { answer: YES, end: from + 1 };
    const { line, end } = this.#line.take(bytes, from);
    if (!line) return { answer: undefined, end };
    // What is neither yes nor no, a greeting of the shell say, ends OpenSSH's scp too.
    const isMarked = line[0] === 1 || line[0] === 2;
    const text = shortened(isMarked ? line.subarray(1) : line);
    return { answer: { ok: false, isFatal: line[0] !== 1, text }, end };
  }
}
