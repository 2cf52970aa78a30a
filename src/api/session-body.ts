/**
 * The body of one session (SPS contract, section 10), from its row: what the contract names, `null` or empty where the
 * gate has nothing to say, and under `gate` what the contract has no place for. The shape is also the list of fields that
 * `fields` may name.
 */
import { rfc3339 } from '../base/time.ts';
import { z } from '../config/schema.ts';
import { connectionJson } from '../store/connections.ts';
import type { ConnectionRow } from '../store/connections.ts';
import { isAccepted } from './channel-body.ts';
import { sessionIdOf } from './session-id.ts';

const text = z.string();
const maybe = z.string().nullable();
const time = z.string();
const whole = z.int().nonnegative();
const place = z.object({ ip: maybe, name: maybe, port: whole.nullable() });
const link = z.object({ href: text });
const leg = z.object({ cipher: text, mac: text });
const algorithms = z
  .object({ kex: text, host_key: text, client_to_server: leg, server_to_client: leg })
  .nullable();

export const sessionShape = z.object({
  active: z.boolean(),
  protocol: z.literal('SSH'),
  creation_time: time,
  start_time: time,
  end_time: time.nullable(),
  /** Seconds; so far, while it runs. */
  duration: whole,
  client: place,
  server: place,
  user: z.object({ name: text, gateway_username: text, server_username: maybe }),
  verdict: z.enum(['ACCEPT', 'REJECT']),
  node_id: text,
  origin: z.literal('RECORDING'),
  phantom: z.boolean(),
  hidden: z.boolean(),
  channels: link,
  events: link,
  alerts: link,
  indexing: link,
  files: link,
  analytics: z.object({
    interesting_events: z.array(z.unknown()),
    scripted: z.boolean().nullable(),
    scripted_results: z.array(z.unknown()),
    similar_sessions: z.array(z.unknown()),
    tags: z.array(z.unknown()),
  }),
  recording: z.object({
    session_id: text,
    audit_trail: z.object({ archive: maybe, download: link }),
    archived: z.boolean(),
    auth_method: text,
    channel_policy: maybe,
    command_extracted: z.boolean(),
    connection_policy: maybe,
    connection_policy_id: maybe,
    content_reference_id: maybe,
    has_accepted_channel: z.boolean(),
    index_status: z.enum(['CHANNEL_OPEN', 'NOT_INDEXED']),
    server_local: place,
    target: place,
  }),
  gate: z.object({
    id: text,
    kind: text,
    parent: maybe,
    instance: text,
    status: text,
    reason: maybe,
    login_name: text,
    client_version: text,
    key_fingerprint: text,
    algorithms: z.object({ downstream: algorithms, upstream: algorithms }),
    bytes_in: whole,
    bytes_out: whole,
  }),
});

export type SessionBody = z.output<typeof sessionShape>;

/** What a body is made with beside the row. */
export interface SessionContext {
  readonly nodeId: string;
  /** Microseconds UTC. */
  readonly now: number;
  /** The id of a rule that there is now; undefined for any other. */
  readonly ruleId: (name: string) => string | undefined;
}

export const SESSIONS_PATH = '/api/audit/sessions';

/** A connection was let to a target, or asked for none: `search-fields.ts` says the same of rows. */
function verdictOf({ kind, target, status }: ConnectionRow): SessionBody['verdict'] {
  return kind === 'target' && target === null && status !== 'CONNECTED' ? 'REJECT' : 'ACCEPT';
}

export function sessionBody(row: ConnectionRow, context: SessionContext): SessionBody {
  const href = `${SESSIONS_PATH}/${row.shortId}`;
  const below = (name: string): { href: string } => ({ href: `${href}/${name}` });
  const { status, rule, startedAt, endedAt } = row;
  const active = status === 'CONNECTED';
  const target = { ip: row.address, name: row.target, port: row.port };
  const known = connectionJson(row);
  return {
    active,
    protocol: 'SSH',
    creation_time: rfc3339(startedAt),
    start_time: rfc3339(startedAt),
    end_time: endedAt === null ? null : rfc3339(endedAt),
    duration: Math.max(0, Math.floor(((endedAt ?? context.now) - startedAt) / 1_000_000)),
    client: { ip: row.sourceAddress, name: row.sourceAddress, port: row.sourcePort },
    server: target,
    user: { name: row.user, gateway_username: row.user, server_username: row.account },
    verdict: verdictOf(row),
    node_id: context.nodeId,
    origin: 'RECORDING',
    phantom: false,
    hidden: false,
    channels: below('channels'),
    events: below('events'),
    alerts: below('alerts'),
    indexing: below('indexing'),
    files: below('files'),
    // Nobody judges sessions yet.
    analytics: {
      interesting_events: [],
      scripted: null,
      scripted_results: [],
      similar_sessions: [],
      tags: [],
    },
    recording: {
      session_id: sessionIdOf(row),
      audit_trail: { archive: null, download: below('audit_trail') },
      archived: false,
      auth_method: row.authMethod,
      channel_policy: rule,
      command_extracted: false,
      connection_policy: rule,
      connection_policy_id: (rule === null ? undefined : context.ruleId(rule)) ?? null,
      content_reference_id: null,
      has_accepted_channel: row.channels.some(isAccepted),
      index_status: active ? 'CHANNEL_OPEN' : 'NOT_INDEXED',
      // The address that the gate itself came to the target from is not kept.
      server_local: { ip: null, name: null, port: null },
      target,
    },
    gate: {
      id: row.id,
      kind: row.kind,
      parent: row.parentId,
      instance: row.instance,
      status,
      reason: row.reason,
      login_name: row.loginName,
      client_version: row.clientVersion,
      key_fingerprint: row.keyFingerprint,
      algorithms: known.algorithms,
      bytes_in: row.bytesIn,
      bytes_out: row.bytesOut,
    },
  };
}
