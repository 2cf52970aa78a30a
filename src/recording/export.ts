/**
 * Trails in the formats of others. Each is a generator of buffers that holds one block at a time, so that a trail of
 * any size is exported in flat memory, and a slow taker slows the reading.
 *
 *   jsonl        one object per record: `ts` (RFC 3339), `us`, `ordinal`, `type`, `direction`, `fate`, `code`,
 *                `data` (base64 of the exact payload), and `fields` where it has any; of an agent's channel `agent`:
 *                what is decoded with this record
 *   hex          for people: a line per record, its fields, and a dump with offsets; streams count through
 *   raw-*        the bytes of one stream as they were delivered: all but what was withheld
 *   cast         asciicast v2, see `export-cast.ts`
 *   text         what the terminal showed, see `export-text.ts`
 */
import { AppError } from '../base/errors.ts';
import { rfc3339 } from '../base/time.ts';
import { AgentView } from './agent-view.ts';
import type { TrailRecord } from './block-decoder.ts';
import { FATE, KINDS, fateName, kindName } from './container.ts';
import { describeRecord } from './describe-record.ts';
import { exportCast } from './export-cast.ts';
import { exportText } from './export-text.ts';
import type { TrailFile } from './reader.ts';

export const EXPORT_FORMATS = [
  'jsonl',
  'hex',
  'raw-stdin',
  'raw-stdout',
  'raw-stderr',
  'cast',
  'text',
] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** Exports a trail; throws `usage` for a format that is not known. */
export function exportTrail(file: TrailFile, format: string): AsyncGenerator<Buffer> {
  switch (format) {
    case 'jsonl':
      return exportJsonl(file);
    case 'hex':
      return exportHex(file);
    case 'raw-stdin':
      return exportRaw(file, KINDS.stdin);
    case 'raw-stdout':
      return exportRaw(file, KINDS.stdout);
    case 'raw-stderr':
      return exportRaw(file, KINDS.stderr);
    case 'cast':
      return exportCast(file);
    case 'text':
      return exportText(file);
    default:
      throw new AppError('usage', `unknown format, use one of ${EXPORT_FORMATS.join(', ')}`);
  }
}

const DIRECTIONS = ['none', 'up', 'down'] as const;

async function* exportJsonl(file: TrailFile): AsyncGenerator<Buffer> {
  const { wallUs } = await file.header();
  let view: AgentView | undefined;
  for await (const record of file.records()) {
    const { us, ordinal, code, payload } = record;
    view ??= AgentView.of(record);
    const agent = view?.take(record) ?? [];
    const fields = describeRecord(record);
    const line = {
      ts: rfc3339(wallUs + us),
      us,
      ordinal,
      type: kindName(record.kind),
      direction: DIRECTIONS[record.direction],
      fate: fateName(record.fate),
      code,
      data: payload.toString('base64'),
      ...(Object.keys(fields).length > 0 ? { fields } : {}),
      ...(agent.length > 0 ? { agent } : {}),
    };
    yield Buffer.from(`${JSON.stringify(line)}\n`);
  }
}

async function* exportHex(file: TrailFile): AsyncGenerator<Buffer> {
  const { wallUs } = await file.header();
  const offsets = new Map(
    [KINDS.stdin, KINDS.stdout, KINDS.stderr].map((kind) => [kind as number, 0]),
  );
  for await (const record of file.records()) {
    const { kind, ordinal, us, payload } = record;
    const offset = offsets.get(kind) ?? 0;
    const arrow = { none: '--', up: '->', down: '<-' }[DIRECTIONS[record.direction] ?? 'none'];
    const code = record.code === 0 ? '' : ` code ${record.code}`;
    const what = `${kindName(kind)} ${fateName(record.fate)}${code}, ${payload.length} bytes`;
    yield Buffer.from(`#${ordinal} ${rfc3339(wallUs + us)} ${arrow} ${what}${fieldText(record)}\n`);
    for (let at = 0; at < payload.length; at += DUMP_PIECE) {
      yield dump(payload.subarray(at, at + DUMP_PIECE), offset + at);
    }
    if (offsets.has(kind)) offsets.set(kind, offset + payload.length);
  }
}

function fieldText(record: TrailRecord): string {
  const fields = describeRecord(record);
  return Object.keys(fields).length > 0 ? ` ${asciiJson(fields)}` : '';
}

/** JSON whose every character is printable ASCII: for terminals. */
function asciiJson(value: unknown): string {
  const escape = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(/[^\x20-\x7e]/g, escape);
}

const DUMP_PIECE = 16 * 1024;
const DUMP_LINE = 16;

/** `00000010  68 65 6c 6c 6f 0a        |hello.|`, sixteen bytes a line. */
function dump(bytes: Buffer, offset: number): Buffer {
  let text = '';
  for (let at = 0; at < bytes.length; at += DUMP_LINE) {
    const line = bytes.subarray(at, at + DUMP_LINE);
    const hex = line
      .toString('hex')
      .replace(/../g, '$& ')
      .padEnd(DUMP_LINE * 3);
    const place = (offset + at).toString(16).padStart(8, '0');
    text += `${place}  ${hex} |${line.toString('latin1').replace(/[^\x20-\x7e]/g, '.')}|\n`;
  }
  return Buffer.from(text);
}

async function* exportRaw(file: TrailFile, kind: number): AsyncGenerator<Buffer> {
  for await (const record of file.records()) {
    if (record.kind === kind && record.fate !== FATE.withheld) yield record.payload;
  }
}
