/**
 * The terminal of a channel, as its trail tells it: the one that was asked for before the first output, and how it was
 * resized. Sizes come from a peer, so they are bounded by whoever makes something of them.
 */
import type { RequestFields } from '../wire/channel-request.ts';
import { FATE, KINDS } from './container.ts';
import { requestIn } from './describe-record.ts';
import type { TrailFile } from './reader.ts';

export type PtyRequest = Extract<RequestFields, { type: 'pty-req' }>;

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** The terminal that was asked for before the first output; a trail without one has no terminal. */
export async function findPty(file: TrailFile): Promise<PtyRequest | undefined> {
  for await (const record of file.records()) {
    if (record.kind === KINDS.stdout) break;
    const request = record.fate === FATE.withheld ? undefined : requestIn(record);
    if (request?.type === 'pty-req') return request;
  }
  return undefined;
}

/** A size of which nothing is larger than `max`; 0 and nothing at all mean the usual one. */
export function sizeOf(asked: Partial<TerminalSize> | undefined, max: TerminalSize): TerminalSize {
  return {
    columns: Math.min(asked?.columns || DEFAULT_COLUMNS, max.columns),
    rows: Math.min(asked?.rows || DEFAULT_ROWS, max.rows),
  };
}
