/**
 * `sallyport connections`: who was where, newest first, as a table for people or one JSON object per line for scripts.
 * Everything in it that a peer chose is printed with its control characters escaped.
 */
import { AppError } from '../base/errors.ts';
import { z } from '../config/schema.ts';
import { connectionJson, connections } from '../store/connections.ts';
import { withConfiguration } from './configuration.ts';
import type { Output } from './output.ts';
import { table } from './table.ts';

export interface ConnectionsOptions {
  readonly dir: string;
  readonly json?: boolean;
  readonly limit?: number;
}

const ALL = 100_000;
/** Rows of the table, unless more are asked for. */
const SCREEN = 100;

export async function listConnections(options: ConnectionsOptions, output: Output): Promise<void> {
  const { dir, json = false, limit = json ? ALL : SCREEN } = options;
  const rows = await withConfiguration<unknown[]>(dir, {
    running: async (gate) => {
      const items: unknown[] = [];
      for await (const item of gate.items('connections', { limit })) items.push(item);
      return items;
    },
    offline: async (db) => (await connections(db, { limit })).map(connectionJson),
  });
  if (json) {
    for (const row of rows) await output.line(JSON.stringify(row));
    return;
  }
  if (rows.length === 0) {
    await output.line('no connections yet');
    return;
  }
  await output.write(
    table(
      HEADINGS,
      rows.map((row) => cells(row)),
    ),
  );
}

const HEADINGS = ['ID', 'STARTED', 'USER', 'FROM', 'TO', 'STATUS', 'CHANNELS', 'REASON'];

const shape = z.looseObject({
  id: z.string(),
  kind: z.string(),
  parent: z.string().nullable(),
  user: z.string(),
  source_address: z.string(),
  target: z.string().nullable(),
  account: z.string().nullable(),
  status: z.string(),
  reason: z.string().nullable(),
  started: z.string(),
  channels: z.array(z.looseObject({ kind: z.string() })),
});

function cells(row: unknown): string[] {
  const parsed = shape.safeParse(row);
  if (!parsed.success) throw new AppError('internal', 'a connection has an unknown form');
  const { id, started, user, target, account, status, kind, parent } = parsed.data;
  // A connection through another one is shown as such; its source is that one's.
  const from = `${parsed.data.source_address}${parent === null ? '' : ' (jump)'}`;
  const none = kind === 'gate' ? 'the gate' : '-';
  const to = target === null || target === '' ? none : `${account ?? ''}@${target}`;
  const kinds = Object.entries(Object.groupBy(parsed.data.channels, ({ kind }) => kind));
  const channels = kinds.map(([kind, all = []]) =>
    all.length > 1 ? `${kind} x${all.length}` : kind,
  );
  const when = `${started.slice(0, 10)} ${started.slice(11, 19)}Z`;
  const reason = parsed.data.reason ?? '';
  return [id, when, user, from, to, status, channels.join(' ') || '-', reason];
}
