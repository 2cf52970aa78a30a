/**
 * The JSON that ledgers, and the ends of connections, are made of: who started, what it ended in, what was recovered.
 * Written by `ledger.ts` and `recovery.ts`, believed by `verify.ts` and `recovery.ts` after these shapes have matched.
 */
import { z } from '../config/schema.ts';
import { ProtocolError } from '../base/errors.ts';
import { isUuid } from '../base/ids.ts';
import { parseJson } from './header.ts';
import { isChannelOrdinal, isConnectionId } from './storage.ts';

const uuid = z.string().refine(isUuid);
/** Anything else would have no place among the recordings, and stop whoever asks for it. */
const connectionId = z.string().refine(isConnectionId);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
/** Empty where a container never got its end, so that there is nothing to compare with. */
const digestOrNone = z.union([digest, z.literal('')]);
const channelDigest = z.strictObject({
  channel: z.int().refine(isChannelOrdinal),
  digest: digestOrNone,
});

const shapes = {
  /** `data` of a ledger's header: the ledgers before it that no other names yet. */
  ledgers: z.looseObject({
    ledgers: z.array(z.strictObject({ instance: uuid, digest: digestOrNone })),
  }),
  /** `ledger-start`. */
  start: z.strictObject({ connection: connectionId, header: digest }),
  /** `ledger-end`. */
  end: z.strictObject({
    connection: connectionId,
    digest: digestOrNone,
    channels: z.array(channelDigest),
    reason: z.string(),
  }),
  /** `ledger-recovered`, of a connection or of a whole ledger. */
  recovered: z.union([
    z.strictObject({
      connection: connectionId,
      instance: uuid,
      /** The container never came to be, or held no whole block. */
      absent: z.boolean(),
      digest: digestOrNone,
      channels: z.array(channelDigest),
    }),
    z.strictObject({ ledger: uuid, digest: digestOrNone }),
  ]),
  /** `channel-digest`, in a connection's container. */
  channel: channelDigest,
  /** `audit-head`. */
  audit: z.strictObject({ commit: z.int().nonnegative(), digest: z.string() }),
} as const;

type Shapes = typeof shapes;
type Shape<K extends keyof Shapes> = z.infer<Shapes[K]>;

export type ChannelDigest = Readonly<Shape<'channel'>>;
export type LedgerName = Shape<'ledgers'>['ledgers'][number];
export type LedgerStart = Readonly<Shape<'start'>>;
export type LedgerEnd = Readonly<Shape<'end'>>;
export type LedgerRecovered = Readonly<Shape<'recovered'>>;
export type AuditHead = Readonly<Shape<'audit'>>;

/** So many channels fit into one record of a ledger; the rest is in the connection's container alone. */
export const MAX_LEDGER_CHANNELS = 1_000;

/** The payload of one of these records. */
export function encodeJson(
  value: ChannelDigest | LedgerStart | LedgerEnd | LedgerRecovered | AuditHead,
): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function decode<K extends keyof Shapes>(name: K, value: unknown): Shape<K> {
  const parsed = shapes[name].safeParse(value);
  if (!parsed.success) throw new ProtocolError(`a record of type "${name}" is not valid`);
  return parsed.data as Shape<K>;
}

export function decodeLedgerNames(data: unknown): readonly LedgerName[] {
  return decode('ledgers', data).ledgers;
}

export function decodeLedgerStart(payload: Buffer): LedgerStart {
  return decode('start', parseJson(payload));
}

export function decodeLedgerEnd(payload: Buffer): LedgerEnd {
  return decode('end', parseJson(payload));
}

export function decodeLedgerRecovered(payload: Buffer): LedgerRecovered {
  return decode('recovered', parseJson(payload));
}

export function decodeChannelDigest(payload: Buffer): ChannelDigest {
  return decode('channel', parseJson(payload));
}

export function decodeAuditHead(payload: Buffer): AuditHead {
  return decode('audit', parseJson(payload));
}
