/**
 * A channel as a person would have read it. With a terminal: what its screen showed (`screen.ts`), resizes included.
 * Without one: the lines of stdout as they are and those of stderr marked. The text holds printable characters and line
 * feeds alone, whatever was sent; what was typed is in it as far as it was echoed.
 */
import { StringDecoder } from 'node:string_decoder';
import type { TrailRecord } from './block-decoder.ts';
import { FATE, KINDS } from './container.ts';
import { requestIn } from './describe-record.ts';
import { findPty, sizeOf } from './pty.ts';
import type { PtyRequest } from './pty.ts';
import type { TrailFile } from './reader.ts';
import { MAX_SCREEN, Screen, harmless } from './screen.ts';

const STDERR = 'stderr: ';
/** A line that is longer is told in pieces. */
const MAX_LINE = 64 * 1024;
const TAB = 8;

export async function* exportText(file: TrailFile): AsyncGenerator<Buffer> {
  const pty = await findPty(file);
  const text = pty ? terminalText(file, pty) : plainText(file);
  for await (const piece of text) if (piece !== '') yield Buffer.from(piece);
}

async function* terminalText(file: TrailFile, pty: PtyRequest): AsyncGenerator<string> {
  const screen = new Screen(sizeOf(pty, MAX_SCREEN));
  const decoders = new Map([KINDS.stdout, KINDS.stderr].map((kind) => [kind as number, decoder()]));
  for await (const record of file.records()) {
    if (record.fate === FATE.withheld) continue;
    const stream = decoders.get(record.kind);
    if (stream) yield* screen.write(stream.write(record.payload));
    const request = requestIn(record);
    if (request?.type === 'window-change') screen.resize(sizeOf(request, MAX_SCREEN));
  }
  yield screen.end();
}

function decoder(): StringDecoder {
  return new StringDecoder('utf8');
}

async function* plainText(file: TrailFile): AsyncGenerator<string> {
  const streams = new Map<number, Lines>([
    [KINDS.stdout, new Lines('')],
    [KINDS.stderr, new Lines(STDERR)],
  ]);
  for await (const record of file.records()) {
    if (record.fate !== FATE.withheld) yield linesOf(streams.get(record.kind), record);
  }
  for (const stream of streams.values()) yield stream.end();
}

function linesOf(stream: Lines | undefined, record: TrailRecord): string {
  return stream?.push(record.payload) ?? '';
}

/** The lines of one stream, each with its mark. */
class Lines {
  readonly #mark: string;
  readonly #decoder = decoder();
  #rest = '';

  constructor(mark: string) {
    this.#mark = mark;
  }

  /** The lines that are whole with these bytes. */
  push(bytes: Buffer): string {
    const lines = (this.#rest + this.#decoder.write(bytes)).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE) {
      lines.push(this.#rest);
      this.#rest = '';
    }
    return lines.map((line) => this.#line(line)).join('');
  }

  end(): string {
    const rest = this.#rest + this.#decoder.end();
    return rest === '' ? '' : this.#line(rest);
  }

  #line(line: string): string {
    return `${this.#mark}${harmless(untabbed(line.replace(/\r$/, '')))}\n`;
  }
}

/** Tabs as the blanks that a terminal would show. */
function untabbed(line: string): string {
  if (!line.includes('\t')) return line;
  let text = '';
  for (const part of line.split(/(\t)/)) {
    text += part === '\t' ? ' '.repeat(TAB - (text.length % TAB)) : part;
  }
  return text;
}
