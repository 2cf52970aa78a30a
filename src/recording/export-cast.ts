/**
 * asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/): what the user's terminal showed. Output is stdout
 * and stderr; text is UTF-8 that may be split anywhere between records, and bytes that are not become U+FFFD, as in a
 * terminal. Resizes are `r` events; how it ended is a marker, `m`, since version 2 has no event for that.
 * Times count from the opening of the channel.
 */
import { StringDecoder } from 'node:string_decoder';
import { printable } from '../wire/channel-request.ts';
import type { TrailRecord } from './block-decoder.ts';
import { FATE, KINDS } from './container.ts';
import { requestIn } from './describe-record.ts';
import { findPty, sizeOf } from './pty.ts';
import type { TrailFile } from './reader.ts';

/** A terminal larger than this is a peer's joke, and a player's undoing. */
const MAX_SIZE = { columns: 10_000, rows: 10_000 };

export interface CastOptions {
  /** Also what was typed, as `i` events; that may hold passwords. */
  readonly input?: boolean;
}

export async function* exportCast(
  file: TrailFile,
  options: CastOptions = {},
): AsyncGenerator<Buffer> {
  const header = await file.header();
  const pty = await findPty(file);
  const { columns, rows } = sizeOf(pty, MAX_SIZE);
  yield line({
    version: 2,
    width: columns,
    height: rows,
    timestamp: Math.floor(header.wallUs / 1_000_000),
    env: { TERM: pty ? printable(pty.term) : 'dumb' },
  });
  const decoders = new Map<number, Stream>([
    [KINDS.stdout, { event: 'o', decoder: new StringDecoder('utf8') }],
    [KINDS.stderr, { event: 'o', decoder: new StringDecoder('utf8') }],
  ]);
  if (options.input) {
    decoders.set(KINDS.stdin, { event: 'i', decoder: new StringDecoder('utf8') });
  }
  let start: number | undefined;
  let seconds = 0;
  for await (const record of file.records()) {
    start ??= record.us;
    seconds = (record.us - start) / 1_000_000;
    if (record.fate === FATE.withheld) continue;
    const stream = decoders.get(record.kind);
    if (stream) {
      const text = stream.decoder.write(record.payload);
      if (text !== '') yield line([seconds, stream.event, text]);
      continue;
    }
    const event = requestEvent(record);
    if (event) yield line([seconds, ...event]);
  }
  for (const { event, decoder } of decoders.values()) {
    const text = decoder.end();
    if (text !== '') yield line([seconds, event, text]);
  }
}

interface Stream {
  readonly event: 'o' | 'i';
  readonly decoder: StringDecoder;
}

/** A resize or an end; undefined for any other record. */
function requestEvent(record: TrailRecord): readonly ['r' | 'm', string] | undefined {
  const request = requestIn(record);
  if (request?.type === 'window-change') {
    const { columns, rows } = sizeOf(request, MAX_SIZE);
    return ['r', `${columns}x${rows}`];
  }
  if (request?.type === 'exit-status') return ['m', `exit ${request.status}`];
  if (request?.type === 'exit-signal') return ['m', `signal ${printable(request.name)}`];
  return undefined;
}

function line(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
