/**
 * What a start owes to the instances before it: their trails are brought to an end, and the rows of their connections
 * with them, from the facts that each connection noted in its own trail (P3). A fact that is not well formed is left
 * out: the rows are an index of the trails, not the other way round.
 */
import { reasonOf } from '../base/errors.ts';
import type { Fact, FactValue } from '../ops/facts.ts';
import type { Database } from '../store/database.ts';
import { endCrashed } from '../store/trails.ts';
import type { TrailRecord } from './block-decoder.ts';
import { KINDS } from './container.ts';
import { parseJson } from './header.ts';
import type { Ledger } from './ledger.ts';
import { recover } from './recovery.ts';
import type { RecoveredConnection } from './recovery.ts';
import type { PublicKeys, SigningKey } from './seal.ts';
import type { Storage } from './storage.ts';

const REASON = 'the gate stopped without ending this connection';

export interface RecoverRowsOptions {
  readonly db: Database;
  readonly storage: Storage;
  readonly keys: PublicKeys;
  readonly key: SigningKey;
  /** Of the present instance; every other one is gone, since this one holds the lock. */
  readonly ledger: Ledger;
  readonly wallUs: () => number;
  readonly onTrouble: (text: string) => void;
  /** A channel whose trail was brought to an end; its files can be read from it when there is time. */
  readonly onChannel?: (connection: string, channel: number) => void;
}

/** Recovers trails and rows of dead instances; returns how many connections were ended. */
export async function recoverRows(options: RecoverRowsOptions): Promise<number> {
  const { db, ledger, wallUs, onTrouble } = options;
  const living = [ledger.instance];
  let facts: Fact[] = [];
  const count = await recover({
    ...options,
    isGone: (instance) => instance !== ledger.instance,
    onRecord: (connection, channel, record) => {
      if (channel !== null || (record.kind !== KINDS.note && record.kind !== KINDS.header)) return;
      const fact = factIn(connection, record);
      if (fact) facts.push(fact);
    },
    onConnection: async (found) => {
      const { connection, header, lastUs } = found;
      for (const { channel, header: own } of found.channels) {
        if (own) options.onChannel?.(connection, channel);
      }
      const noted = facts.filter((fact) => fact.connection === connection);
      facts = [];
      const endedAt = header ? header.wallUs + lastUs : wallUs();
      noted.push(...endsOf(found, noted));
      // One that had not even a header was never told to anybody: it has no row to end.
      const recovered = noted.length > 0 ? [{ connection, facts: noted, endedAt }] : [];
      try {
        await endCrashed(db, { reason: REASON, endedAt, recovered });
      } catch (error) {
        // The row, if there is one, is ended below all the same.
        onTrouble(`the facts of connection ${connection} are not usable: ${reasonOf(error)}`);
      }
    },
  });
  await endCrashed(db, { living, reason: REASON, endedAt: wallUs() });
  return count;
}

/** Ends of the channels that were open: when, and after how many bytes, is what their own trails say. */
function endsOf(found: RecoveredConnection, noted: readonly Fact[]): Fact[] {
  const open = new Set<number>();
  let sequence = 0;
  for (const fact of noted) {
    sequence = Math.max(sequence, fact.sequence);
    if (fact.value.kind === 'channel-opened') open.add(fact.value.channel);
    if (fact.value.kind === 'channel-ended') open.delete(fact.value.channel);
  }
  return found.channels
    .filter(({ channel, header }) => header !== undefined && open.has(channel))
    .map(({ channel, header, lastUs, stdin, stdout, stderr }): Fact => {
      const endedAt = (header?.wallUs ?? 0) + lastUs;
      const bytes = { bytesIn: stdin, bytesOut: stdout + stderr };
      const value = { kind: 'channel-ended', channel, endedAt, ...bytes, end: REASON } as const;
      return { connection: found.connection, sequence: ++sequence, value };
    });
}

/** The fact in a record: the first stands in the header, the others in notes with their number. */
function factIn(connection: string, record: TrailRecord): Fact | undefined {
  let content: unknown;
  try {
    content = parseJson(record.payload);
  } catch {
    return undefined;
  }
  if (record.kind === KINDS.header) content = field(content, 'data');
  const value = field(content, 'fact');
  const sequence = record.kind === KINDS.header ? 0 : field(content, 'sequence');
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 0)
    return undefined;
  if (typeof field(value, 'kind') !== 'string') return undefined;
  return { connection, sequence, value: value as FactValue };
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
