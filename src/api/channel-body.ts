/**
 * The body of one channel of a session (SPS contract, section 10), from its row. Times are UNIX seconds here, as the
 * contract has them.
 *
 *   session exec             command
 *   session exec scp         scp_path, command
 *   session subsystem ...    subsystem_name
 *   local forward and the others that lead somewhere    originator, connected {ip, name, port}; or socket_path
 */
import { isIP } from 'node:net';
import { z } from '../config/schema.ts';
import type { ChannelRow } from '../store/connections.ts';
import { printedBytes } from '../wire/channel-request.ts';
import { toolOf } from '../wire/tool-command.ts';
import { typeOfKind } from './channel-types.ts';

const place = z.object({
  ip: z.string().nullable(),
  name: z.string().nullable(),
  port: z.int().nonnegative().nullable(),
});

export const channelShape = z.object({
  type: z.string(),
  verdict: z.enum(['accept', 'reject']),
  start_time: z.int(),
  end_time: z.int().nullable(),
  /** Seconds; so far, while it is open. */
  duration: z.int().nonnegative(),
  command: z.string().optional(),
  scp_path: z.string().optional(),
  subsystem_name: z.string().optional(),
  originator: place.optional(),
  connected: place.optional(),
  socket_path: z.string().optional(),
  gate: z.object({
    id: z.int().nonnegative(),
    kind: z.string(),
    protocol: z.string(),
    result: z.string().nullable(),
    bytes_in: z.int().nonnegative(),
    bytes_out: z.int().nonnegative(),
  }),
});

export type ChannelBody = z.output<typeof channelShape>;

const SECOND = 1_000_000;

/** Whether a channel was let through, by the gate and by its other end. */
export function isAccepted({ result }: Pick<ChannelRow, 'result'>): boolean {
  return result === null || !result.startsWith('refused');
}

/** `now` is microseconds UTC. */
export function channelBody(row: ChannelRow, now: number): ChannelBody {
  const { kind, openedAt, endedAt } = row;
  return {
    type: typeOfKind(kind),
    verdict: isAccepted(row) ? 'accept' : 'reject',
    start_time: Math.floor(openedAt / SECOND),
    end_time: endedAt === null ? null : Math.floor(endedAt / SECOND),
    duration: Math.max(0, Math.floor(((endedAt ?? now) - openedAt) / SECOND)),
    ...requested(row),
    ...led(row),
    gate: {
      id: row.ordinal,
      kind,
      protocol: row.protocol,
      result: row.result,
      bytes_in: row.bytesIn,
      bytes_out: row.bytesOut,
    },
  };
}

/** What was asked for in a session. */
function requested({ kind, command }: ChannelRow): Partial<ChannelBody> {
  if (kind === 'exec') return { command };
  if (kind === 'scp') {
    const path = toolOf(printedBytes(command))?.paths.join(' ');
    return { command, ...(path === undefined ? {} : { scp_path: path }) };
  }
  if (kind === 'sftp') return { subsystem_name: 'sftp' };
  const [, name] = /^subsystem:(.*)$/s.exec(kind) ?? [];
  return name === undefined ? {} : { subsystem_name: name };
}

/** Where it leads, and where it comes from. */
function led({ kind, destination, originator }: ChannelRow): Partial<ChannelBody> {
  const isSocket = kind === 'streamlocal';
  return {
    ...(originator === '' ? {} : { originator: placeOf(originator) }),
    ...(destination === '' || isSocket ? {} : { connected: placeOf(destination) }),
    ...(isSocket && destination !== '' ? { socket_path: destination } : {}),
  };
}

/** `host:port` or `[address]:port` taken apart; anything else is all name. */
function placeOf(text: string): z.output<typeof place> {
  const [, inner, outer, port] = /^(?:\[(.*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const name = inner ?? outer;
  if (name === undefined) return { ip: null, name: text, port: null };
  return { ip: isIP(name) > 0 ? name : null, name, port: Number(port) };
}
