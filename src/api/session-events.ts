/**
 * What happened in a session besides data: its login, the opens, requests and refusals, notes of policy, files, the end.
 * It is read from the trails, whose records `describe-record.ts` tells in fields; the rows know less.
 *
 * A trail may be as long as its session was busy, and its events stand between the data. So the reading has a budget of
 * bytes over all trails of a session, and says when there was more: nobody can occupy the gate with a large recording.
 */
import { AppError, ProtocolError } from '../base/errors.ts';
import { rfc3339 } from '../base/time.ts';
import { z } from '../config/schema.ts';
import { DIRECTION, FATE, KINDS, fateName, kindName } from '../recording/container.ts';
import { describeRecord } from '../recording/describe-record.ts';
import { recordsOf } from '../recording/block-decoder.ts';
import type { TrailRecord } from '../recording/block-decoder.ts';
import { TrailFile } from '../recording/reader.ts';
import type { Storage } from '../recording/storage.ts';

export const eventShape = z.object({
  time: z.string(),
  /** The record's kind: `forward-request`, `policy`, `file`, ... */
  type: z.string(),
  /** Null for what belongs to no channel. */
  channel: z.int().nonnegative().nullable(),
  /** `downstream` is the user. */
  from: z.enum(['downstream', 'upstream', 'gate']),
  fate: z.string(),
  details: z.record(z.string(), z.unknown()),
});

export type EventBody = z.output<typeof eventShape>;

/** An event by the place of its record: `connection:7`, or `2:15` of channel 2. */
export interface SessionEvent {
  readonly key: string;
  readonly body: EventBody;
}

export interface SessionEvents {
  /** In the order in which they happened. */
  readonly events: readonly SessionEvent[];
  /** False when the budget ended before the trails did. */
  readonly isComplete: boolean;
}

export interface EventBudget {
  /** Bytes read of all trails; 32 MiB. */
  readonly bytes?: number;
  /** Events kept; 10,000. */
  readonly events?: number;
}

const MAX_BYTES = 32 * 1024 * 1024;
const MAX_EVENTS = 10_000;

/** Data, and what only keeps it flowing or the trail in order. */
const SILENT: ReadonlySet<number> = new Set([
  KINDS.header,
  KINDS.checkpoint,
  KINDS.stdin,
  KINDS.stdout,
  KINDS.stderr,
  KINDS['extended-data'],
  KINDS.window,
  KINDS.eof,
  KINDS['channel-digest'],
]);

/** The events of a connection; none if nothing of it is there any more. */
export async function sessionEvents(
  storage: Storage,
  connection: string,
  budget: EventBudget = {},
): Promise<SessionEvents> {
  const left = { bytes: budget.bytes ?? MAX_BYTES, events: budget.events ?? MAX_EVENTS };
  const found: (SessionEvent & { readonly us: number })[] = [];
  let isComplete = true;
  for (const channel of [null, ...(await storage.channels(connection))]) {
    const path =
      channel === null
        ? storage.connectionPath(connection)
        : storage.channelPath(connection, channel);
    const file = await openTrail(path);
    if (!file) continue;
    try {
      isComplete = (await take(file, channel, left, found)) && isComplete;
    } finally {
      await file.close();
    }
  }
  found.sort((a, b) => a.us - b.us);
  return { events: found.map(({ key, body }) => ({ key, body })), isComplete };
}

/** A trail that retention or an operator has taken away is no failure here: its events are gone with it. */
async function openTrail(path: string): Promise<TrailFile | undefined> {
  try {
    return await TrailFile.open(path);
  } catch (error) {
    if (error instanceof AppError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** Adds the events of one trail; false if there is more of it than is left of the budget. */
async function take(
  file: TrailFile,
  channel: number | null,
  left: { bytes: number; events: number },
  found: (SessionEvent & { readonly us: number })[],
): Promise<boolean> {
  try {
    const { wallUs } = await file.header();
    for await (const block of file.blocks()) {
      left.bytes -= block.head.length;
      if (left.bytes < 0) return false;
      for (const record of recordsOf(block)) {
        if (SILENT.has(record.kind)) continue;
        if (left.events-- <= 0) return false;
        const us = wallUs + record.us;
        const key = `${channel ?? 'connection'}:${record.ordinal}`;
        found.push({ us, key, body: bodyOf(record, channel, us) });
      }
    }
    return true;
  } catch (error) {
    // What cannot be read is for `trail verify` to judge; what could be is told.
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

function bodyOf(record: TrailRecord, channel: number | null, us: number): EventBody {
  const { kind, direction, fate } = record;
  const isMade = fate === FATE.made || direction === DIRECTION.none;
  const from = isMade ? 'gate' : direction === DIRECTION.up ? 'downstream' : 'upstream';
  return {
    time: rfc3339(us),
    type: kindName(kind),
    channel,
    from,
    fate: fateName(fate),
    details: { ...describeRecord(record) },
  };
}
