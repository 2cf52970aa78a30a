/**
 * The time line of one channel, in lines: its requests in words, and its data folded into lines of text. Data of one
 * stream is gathered until a line ends, two seconds pass or 4 KiB are there, so that typing reads as what was typed.
 * Of a long stretch of output the first lines are shown and the rest is counted. Of an agent's channel it tells what was
 * asked and answered in place of the bytes. Memory is bounded for any trail.
 */
import { AgentView } from '../recording/agent-view.ts';
import type { TrailRecord } from '../recording/block-decoder.ts';
import { FATE, KINDS } from '../recording/container.ts';
import { printable } from '../wire/channel-request.ts';
import { agentText } from './agent-text.ts';
import { eventText } from './event-text.ts';
import { grouped, shorten } from './words.ts';

const MAX_PIECE = 4096;
const MAX_WAIT_US = 2_000_000;
const MAX_LINE = 200;
/** Lines shown of one stream before something else happens. */
const SHOWN = 25;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;

/** One line of the time line. */
export interface TimedText {
  readonly us: number;
  readonly text: string;
}

interface Gathering {
  readonly name: string;
  /** What ends a line: people type RETURN, programs print LINE FEED. */
  readonly ends: readonly number[];
  /** Of the first and of the last byte in hand. */
  since: number;
  us: number;
  parts: Buffer[];
  length: number;
}

/** Folds the records of a channel, in their order, into lines. */
export class ChannelTimeline {
  readonly #streams: ReadonlyMap<number, Gathering> = new Map([
    [KINDS.stdin, gathering('stdin ', [RETURN, LINE_FEED])],
    [KINDS.stdout, gathering('stdout', [LINE_FEED])],
    [KINDS.stderr, gathering('stderr', [LINE_FEED])],
  ]);
  #agent: AgentView | undefined;
  #last = '';
  #shown = 0;
  #hiddenLines = 0;
  #hiddenBytes = 0;
  #us = 0;

  /** The lines that are whole with this record. */
  *push(record: TrailRecord): Generator<TimedText> {
    this.#us = record.us;
    for (const stream of this.#waiting()) {
      if (record.us - stream.since > MAX_WAIT_US) yield* this.#flush(stream);
    }
    this.#agent ??= AgentView.of(record);
    for (const event of this.#agent?.take(record) ?? []) {
      yield* this.#other({ us: record.us, text: agentText(event) });
    }
    const stream = this.#streams.get(record.kind);
    if (stream) {
      if (this.#agent?.isDecoding) return;
      const name = record.fate === FATE.withheld ? ' (withheld)' : '';
      if (name !== '') yield* this.#other({ us: record.us, text: `${stream.name}${name}` });
      else yield* this.#gather(stream, record);
      return;
    }
    const text = eventText(record);
    if (text === undefined) return;
    for (const waiting of this.#waiting()) yield* this.#flush(waiting);
    yield* this.#other({ us: record.us, text });
  }

  /** What is left when there are no more records. */
  *end(): Generator<TimedText> {
    for (const stream of this.#waiting()) yield* this.#flush(stream);
    yield* this.#hidden();
  }

  /** Streams with something in hand, the oldest first. */
  #waiting(): Gathering[] {
    return [...this.#streams.values()]
      .filter(({ length }) => length > 0)
      .sort((a, b) => a.us - b.us);
  }

  *#gather(stream: Gathering, { us, payload }: TrailRecord): Generator<TimedText> {
    let rest = payload;
    while (rest.length > 0) {
      if (stream.length === 0) stream.since = us;
      stream.us = us;
      const end = firstOf(stream.ends, rest);
      const room = MAX_PIECE - stream.length;
      const take = Math.min(end < 0 ? rest.length : end + 1, room);
      stream.parts.push(rest.subarray(0, take));
      stream.length += take;
      rest = rest.subarray(take);
      if (take === end + 1 || stream.length >= MAX_PIECE) yield* this.#flush(stream);
    }
  }

  *#flush(stream: Gathering): Generator<TimedText> {
    const bytes = Buffer.concat(stream.parts);
    const { us, name } = stream;
    stream.parts = [];
    stream.length = 0;
    if (this.#last !== name) yield* this.#hidden();
    this.#last = name;
    if (++this.#shown > SHOWN) {
      this.#hiddenLines++;
      this.#hiddenBytes += bytes.length;
      return;
    }
    let end = bytes.length;
    while (end > 0 && (bytes[end - 1] === LINE_FEED || bytes[end - 1] === RETURN)) end--;
    // A line end alone is what pressing RETURN on an empty line gives.
    const text = end === 0 ? '(line end)' : printable(bytes.subarray(0, end));
    yield { us, text: `${name}  ${shorten(text, MAX_LINE)}` };
  }

  *#other(line: TimedText): Generator<TimedText> {
    yield* this.#hidden();
    this.#last = '';
    yield line;
  }

  /** Says what was not shown of the stretch that ends here. */
  *#hidden(): Generator<TimedText> {
    const [lines, bytes] = [this.#hiddenLines, this.#hiddenBytes];
    this.#shown = 0;
    this.#hiddenLines = 0;
    this.#hiddenBytes = 0;
    if (lines === 0) return;
    const more = `... ${grouped(lines)} more lines, ${grouped(bytes)} bytes; trail export has them`;
    yield { us: this.#us, text: `${this.#last}  ${more}` };
  }
}

/** Where the first of some bytes stands; below 0 if none does. */
function firstOf(bytes: readonly number[], text: Buffer): number {
  const found = bytes.map((byte) => text.indexOf(byte)).filter((at) => at >= 0);
  return found.length > 0 ? Math.min(...found) : -1;
}

function gathering(name: string, ends: readonly number[]): Gathering {
  return { name, ends, since: 0, us: 0, parts: [], length: 0 };
}
