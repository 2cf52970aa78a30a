/**
 * Brings the recordings of instances that are gone to their end: every connection that their ledgers call started and
 * not ended, and then the ledgers themselves. It touches nothing of an instance that may live.
 *
 * The order makes a crash at any point harmless: channels, then their connection, then the caller's rows, then the note
 * in the new ledger, and only when all that is done the end of the old ledger. While an old ledger has no end the next
 * start does it all again, and each step done before is found done.
 */
import { ProtocolError } from '../base/errors.ts';
import type { TrailRecord } from './block-decoder.ts';
import { KINDS } from './container.ts';
import type { TrailHeader } from './header.ts';
import { decodeHeader } from './header.ts';
import type { Ledger } from './ledger.ts';
import type { ChannelDigest, LedgerName } from './ledger-records.ts';
import {
  MAX_LEDGER_CHANNELS,
  decodeChannelDigest,
  decodeLedgerEnd,
  decodeLedgerNames,
  decodeLedgerStart,
  encodeJson,
} from './ledger-records.ts';
import { TrailFile } from './reader.ts';
import type { RecoverOptions, RecoveredContainer } from './recover-container.ts';
import { recoverContainer } from './recover-container.ts';
import type { PublicKeys, SigningKey } from './seal.ts';
import type { Storage } from './storage.ts';
import { WriteGate } from './write-gate.ts';

/** What is known of a container after recovery. */
export interface RecoveredTrail {
  readonly outcome: 'recovered' | 'complete' | 'absent' | 'damaged';
  /** Undefined if there was no whole block. */
  readonly header: TrailHeader | undefined;
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
  /** Of the last record, monotonic of the connection; with `header.wallUs` the time of day. */
  readonly lastUs: number;
}

export interface RecoveredChannel extends RecoveredTrail {
  readonly channel: number;
}

/** What the rows of one connection need. */
export interface RecoveredConnection extends RecoveredTrail {
  readonly connection: string;
  /** The instance that is gone. */
  readonly instance: string;
  readonly reason: 'crashed';
  readonly channels: readonly RecoveredChannel[];
}

export interface RecoveryOptions {
  readonly storage: Storage;
  readonly keys: PublicKeys;
  readonly key: SigningKey;
  /** Of the present instance. */
  readonly ledger: Ledger;
  readonly wallUs: () => number;
  /** Whether an instance is known to be gone; in doubt it is not. */
  readonly isGone: (instance: string) => boolean;
  /** Ends the rows; may be called again for the same connection. Awaited before the old ledger is ended. */
  readonly onConnection: (connection: RecoveredConnection) => void | Promise<void>;
  /** Sees each record of the recovered containers: `channel` is null for the connection's own. */
  readonly onRecord?: (connection: string, channel: number | null, record: TrailRecord) => void;
}

/** One buffer for all blocks that recovery adds. */
type Running = RecoveryOptions & { readonly gate: WriteGate };

const REASON = 'crashed';

/** Recovers all instances that are gone; returns how many connections were brought to an end. */
export async function recover(options: RecoveryOptions): Promise<number> {
  const { storage, ledger, isGone } = options;
  const gate = new WriteGate(1);
  let count = 0;
  for (const instance of await storage.ledgers()) {
    if (instance === ledger.instance || !isGone(instance)) continue;
    if ((await endDigest(storage.ledgerPath(instance))) === '') {
      count += await recoverInstance(instance, { ...options, gate });
    }
  }
  return count;
}

/**
 * The ledgers that a new one must name in its header: those that no other names with its final digest. Make the list
 * before the new ledger; one that is still open is named without a digest, which recovery notes later.
 */
export async function ledgersBefore(storage: Storage): Promise<LedgerName[]> {
  const named = new Set<string>();
  const readable: string[] = [];
  for (const instance of await storage.ledgers()) {
    const before = await namesIn(storage.ledgerPath(instance));
    if (before === undefined) continue;
    readable.push(instance);
    for (const name of before) if (name.digest !== '') named.add(name.instance);
  }
  const names: LedgerName[] = [];
  for (const instance of readable.filter((id) => !named.has(id))) {
    names.push({ instance, digest: await endDigest(storage.ledgerPath(instance)) });
  }
  return names;
}

async function recoverInstance(instance: string, options: Running): Promise<number> {
  const { storage, ledger } = options;
  const path = storage.ledgerPath(instance);
  const unfinished = await unfinishedIn(path);
  for (const [connection, header] of unfinished) {
    await recoverConnection(connection, instance, header, options);
  }
  // All notes are in the kernel before the old ledger says that nothing is left to do.
  await ledger.flushed();
  const { digest, outcome } = await recoverContainer({
    ...containerOptions(path, options),
    expect: (found) => found.container === 'ledger' && found.instance === instance,
  });
  if (outcome !== 'absent') ledger.recovered({ ledger: instance, digest });
  await ledger.flushed();
  return unfinished.size;
}

async function recoverConnection(
  connection: string,
  instance: string,
  headerDigest: string,
  options: Running,
): Promise<void> {
  const { storage, ledger, onRecord } = options;
  const channels: RecoveredChannel[] = [];
  const digests: ChannelDigest[] = [];
  for (const channel of await storage.channels(connection)) {
    const recovered = await recoverContainer({
      ...containerOptions(storage.channelPath(connection, channel), options),
      onRecord: (record) => onRecord?.(connection, channel, record),
      expect: (found) =>
        found.connection === connection &&
        found.channel === channel &&
        found.instance === instance &&
        found.connectionHeader === headerDigest,
    });
    channels.push({ channel, ...trailOf(recovered) });
    digests.push({ channel, digest: recovered.digest });
  }
  const noted = new Map<number, string>();
  const recovered = await recoverContainer({
    ...containerOptions(storage.connectionPath(connection), options),
    onRecord: (record) => {
      if (record.kind === KINDS['channel-digest']) {
        const { channel, digest } = decodeChannelDigest(record.payload);
        noted.set(channel, digest);
      }
      onRecord?.(connection, null, record);
    },
    expect: (found) => found.container === 'connection' && found.connection === connection,
    headerDigest,
    add: () =>
      digests
        .filter(({ channel, digest }) => noted.get(channel) !== digest)
        .map((digest) => ({ kind: KINDS['channel-digest'], payload: encodeJson(digest) })),
  });
  await options.onConnection({
    connection,
    instance,
    reason: REASON,
    channels,
    ...trailOf(recovered),
  });
  ledger.recovered({
    connection,
    instance,
    absent: recovered.outcome === 'absent',
    digest: recovered.digest,
    channels: digests.slice(0, MAX_LEDGER_CHANNELS),
  });
}

function containerOptions(
  path: string,
  { keys, key, gate, ledger, wallUs }: Running,
): Omit<RecoverOptions, 'expect'> {
  return { path, keys, key, gate, wallUs, instance: ledger.instance, reason: REASON };
}

function trailOf({ outcome, follower }: RecoveredContainer): RecoveredTrail {
  const { header, lastUs, state } = follower;
  const { stdin, stdout, stderr } = state;
  return { outcome, header, stdin, stdout, stderr, lastUs };
}

/** Connections that a ledger calls started and not wholly ended, with their header digests. */
async function unfinishedIn(path: string): Promise<Map<string, string>> {
  const unfinished = new Map<string, string>();
  await readAsFarAsPossible(path, (record) => {
    if (record.kind === KINDS['ledger-start']) {
      const { connection, header } = decodeLedgerStart(record.payload);
      unfinished.set(connection, header);
    } else if (record.kind === KINDS['ledger-end']) {
      const { connection, digest, channels } = decodeLedgerEnd(record.payload);
      const whole = digest !== '' && channels.every((channel) => channel.digest !== '');
      if (whole) unfinished.delete(connection);
    }
    return true;
  });
  return unfinished;
}

/** The ledgers that a ledger's header names; undefined if it has no header. */
async function namesIn(path: string): Promise<readonly LedgerName[] | undefined> {
  let names: readonly LedgerName[] | undefined;
  await readAsFarAsPossible(path, (record) => {
    names = decodeLedgerNames(decodeHeader(record.payload).data);
    return false;
  });
  return names;
}

/** Reads records until the end, damage, or `visit` says no; damage is the verifier's to report. */
async function readAsFarAsPossible(
  path: string,
  visit: (record: TrailRecord) => boolean,
): Promise<void> {
  const file = await TrailFile.open(path);
  try {
    for await (const record of file.records()) if (!visit(record)) break;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  } finally {
    await file.close();
  }
}

async function endDigest(path: string): Promise<string> {
  const file = await TrailFile.open(path);
  try {
    return await file.endDigest();
  } finally {
    await file.close();
  }
}
