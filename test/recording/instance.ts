/** Instances and connections for tests of whole folders: real ledgers and containers, without SSH. */
import { newUuid } from '../../src/base/ids.ts';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { Ledger } from '../../src/recording/ledger.ts';
import { ledgersBefore } from '../../src/recording/recovery.ts';
import type { Storage } from '../../src/recording/storage.ts';
import { verifyDirectory } from '../../src/recording/verify.ts';
import type { TrailReport } from '../../src/recording/verify-trail.ts';
import type { TrailFs } from '../../src/recording/trail-fs.ts';
import { WriteGate } from '../../src/recording/write-gate.ts';
import type { ContainerWriter } from '../../src/recording/writer.ts';
import { mustNotCall } from '../support/must-call.ts';
import { key, keys, writerAt } from './sample.ts';

export const wallUs = (): number => 1_800_000_000_000_000;

/** An instance with its ledger, as far as a test needs one. */
export async function startInstance(storage: Storage, fs?: TrailFs): Promise<Ledger> {
  await storage.prepareLedgers();
  let us = 0;
  return new Ledger({
    instance: newUuid(Date.now()),
    storage,
    before: await ledgersBefore(storage),
    key,
    gate: new WriteGate(),
    nowUs: () => (us += 1_000),
    wallUs,
    onError: mustNotCall('onError'),
    ...(fs ? { fs } : {}),
  });
}

export interface Live {
  readonly id: string;
  readonly writer: ContainerWriter & { whenWritten(ordinal: number): Promise<void> };
  readonly channels: (ContainerWriter & { whenWritten(ordinal: number): Promise<void> })[];
}

export async function startConnection(
  storage: Storage,
  ledger: Ledger,
  channels: number,
): Promise<Live> {
  const id = newUuid(Date.now());
  const { instance } = ledger;
  await storage.prepareConnection(id);
  const writer = writerAt(storage.connectionPath(id), {
    header: {
      container: 'connection',
      instance,
      connection: id,
      channel: null,
      connectionHeader: '',
      data: {},
    },
    openAfter: (go) =>
      void setImmediate(() =>
        ledger.whenWritten(ledger.connectionStarted(id, writer.headerDigest), go),
      ),
  });
  await writer.whenWritten(0);
  const connectionHeader = writer.headerDigest.toString('hex');
  const own = Array.from({ length: channels }, (_, channel) =>
    writerAt(storage.channelPath(id, channel), {
      header: {
        container: 'channel',
        instance,
        connection: id,
        channel,
        connectionHeader,
        data: {},
      },
    }),
  );
  for (const channel of own) {
    await channel.whenWritten(
      channel.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, Buffer.from('some output\n')),
    );
  }
  return { id, writer, channels: own };
}

export async function endConnection(ledger: Ledger, { id, writer, channels }: Live): Promise<void> {
  const digests = [];
  for (const [channel, own] of channels.entries()) {
    const digest = (await own.close({ reason: 'exit 0' })).digest.toString('hex');
    digests.push({ channel, digest });
    const payload = Buffer.from(JSON.stringify({ channel, digest }));
    writer.put(KINDS['channel-digest'], DIRECTION.none, FATE.made, 0, payload);
  }
  const { digest } = await writer.close({ reason: 'closed' });
  ledger.connectionEnded(id, {
    digest: digest.toString('hex'),
    channels: digests,
    reason: 'closed',
  });
  await ledger.flushed();
}

export async function verdicts(storage: Storage, live: readonly string[]): Promise<TrailReport[]> {
  const reports: TrailReport[] = [];
  await verifyDirectory(storage, {
    keys,
    live: new Set(live),
    onReport: (report) => reports.push(report),
  });
  return reports;
}
