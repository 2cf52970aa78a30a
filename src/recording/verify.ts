/**
 * Verifies what belongs together: all ledgers and recordings of a folder, or some files by themselves. Each trail is
 * verified alone first (`verify-trail.ts`); here they are held against each other, so that one that is missing,
 * renamed, moved, exchanged or brought in from elsewhere is seen. Memory grows with the number of connections by some
 * bytes each, never with their size.
 */
import { AppError } from '../base/errors.ts';
import { KINDS } from './container.ts';
import type { FileClaim } from './files-check.ts';
import type { ChannelDigest, LedgerEnd, LedgerRecovered } from './ledger-records.ts';
import {
  decodeChannelDigest,
  decodeLedgerEnd,
  decodeLedgerNames,
  decodeLedgerRecovered,
  decodeLedgerStart,
} from './ledger-records.ts';
import type { TrailRecord } from './block-decoder.ts';
import { TrailFile } from './reader.ts';
import type { PublicKeys } from './seal.ts';
import type { Storage } from './storage.ts';
import { bad, verifyChannel } from './verify-channel.ts';
import type { TrailReport, TrailState } from './verify-trail.ts';
import { verifyTrail } from './verify-trail.ts';

export interface DirectoryOptions {
  readonly keys: PublicKeys;
  /** Instances that run now: their trails may be open. */
  readonly live: ReadonlySet<string>;
  /** Only this connection, and the ledgers. */
  readonly connection?: string;
  /** Sees each report, also the good ones, as it is made. */
  readonly onReport?: (report: TrailReport) => void;
  /** Rows of the files of a connection, to be held against its trails. */
  readonly fileRows?: (connection: string) => Promise<readonly FileClaim[]>;
}

export interface Summary {
  /** Nothing is cut or bad. */
  readonly ok: boolean;
  readonly counts: Readonly<Record<TrailState, number>>;
}

/** What a ledger says of one connection. */
interface Entry {
  readonly header: string;
  end: LedgerEnd | undefined;
}

type RecoveredConnection = Extract<LedgerRecovered, { connection: string }>;

/** Verifies a folder of recordings against its ledgers. */
export async function verifyDirectory(
  storage: Storage,
  options: DirectoryOptions,
): Promise<Summary> {
  return new DirectoryCheck(storage, options).run();
}

/** Verifies files without their folder; channels are held against their connection if that is among them. */
export async function verifyFiles(
  paths: readonly string[],
  keys: PublicKeys,
  options: { allowOpen?: boolean; onReport?: (report: TrailReport) => void } = {},
): Promise<Summary> {
  const tally = new Tally(options.onReport);
  const connections = new Map<string, { header: string; channels: Map<number, string> }>();
  const reports: TrailReport[] = [];
  for (const path of paths) {
    const channels = new Map<number, string>();
    const report = await verifyTrail(path, keys, {
      live: options.allowOpen ?? false,
      onRecord: (record) => noteChannel(channels, record),
    });
    reports.push(report);
    const { header } = report;
    if (header?.container === 'connection') {
      connections.set(header.connection, { header: report.headerDigest, channels });
    }
  }
  for (const report of reports) {
    const { header } = report;
    const own = header?.container === 'channel' ? connections.get(header.connection) : undefined;
    if (!own || !header) {
      tally.add(report);
      continue;
    }
    const expected = own.channels.get(header.channel ?? -1) ?? '';
    if (header.connectionHeader !== own.header) tally.add(bad(report, 'of another connection'));
    else tally.add(against(report, [expected]));
  }
  return tally.summary();
}

class Tally {
  readonly #counts: Record<TrailState, number> = {
    complete: 0,
    recovered: 0,
    open: 0,
    cut: 0,
    bad: 0,
  };
  readonly #onReport: ((report: TrailReport) => void) | undefined;

  constructor(onReport: ((report: TrailReport) => void) | undefined) {
    this.#onReport = onReport;
  }

  add(report: TrailReport): TrailReport {
    this.#counts[report.state]++;
    this.#onReport?.(report);
    return report;
  }

  summary(): Summary {
    return { ok: this.#counts.cut === 0 && this.#counts.bad === 0, counts: this.#counts };
  }
}

class DirectoryCheck {
  readonly #storage: Storage;
  readonly #options: DirectoryOptions;
  readonly #tally: Tally;
  /** Digests by which a ledger is named in others. */
  readonly #named = new Map<string, Set<string>>();
  readonly #recovered = new Map<string, RecoveredConnection>();
  readonly #seen = new Set<string>();

  constructor(storage: Storage, options: DirectoryOptions) {
    this.#storage = storage;
    this.#options = options;
    this.#tally = new Tally(options.onReport);
  }

  async run(): Promise<Summary> {
    const ledgers = await this.#storage.ledgers();
    await this.#ledgers(ledgers);
    for (const instance of ledgers) await this.#connectionsOf(instance);
    if (this.#options.connection === undefined) {
      await this.#unlisted(ledgers);
    } else if (!this.#seen.has(this.#options.connection)) {
      const known = await this.#storage.hasConnection(this.#options.connection);
      if (!known) throw new AppError('not-found', `no connection ${this.#options.connection}`);
      this.#missing(this.#storage.connectionFolder(this.#options.connection), IN_NO_LEDGER);
    }
    return this.#tally.summary();
  }

  async #ledgers(ledgers: readonly string[]): Promise<void> {
    const reports = new Map<string, TrailReport>();
    for (const instance of ledgers) {
      const report = await verifyTrail(this.#storage.ledgerPath(instance), this.#options.keys, {
        live: this.#options.live.has(instance),
        onRecord: (record) => this.#noteRecovered(record),
      });
      reports.set(instance, report);
      if (report.header?.container !== 'ledger') continue;
      for (const { instance: other, digest } of decodeLedgerNames(report.header.data)) {
        this.#name(other, digest);
      }
    }
    for (const [instance, report] of reports) {
      const { header } = report;
      const misplaced = header && (header.container !== 'ledger' || header.instance !== instance);
      const digests = [...(this.#named.get(instance) ?? [])];
      this.#tally.add(
        misplaced ? bad(report, 'not the ledger it is named') : against(report, digests),
      );
    }
    for (const other of this.#named.keys()) {
      if (!reports.has(other)) this.#missing(this.#storage.ledgerPath(other), 'ledger is missing');
    }
  }

  #name(instance: string, digest: string): void {
    const digests = this.#named.get(instance) ?? new Set();
    digests.add(digest);
    this.#named.set(instance, digests);
  }

  #noteRecovered(record: TrailRecord): void {
    if (record.kind !== KINDS['ledger-recovered']) return;
    const recovered = decodeLedgerRecovered(record.payload);
    if ('ledger' in recovered) this.#name(recovered.ledger, recovered.digest);
    else this.#recovered.set(recovered.connection, recovered);
  }

  async #connectionsOf(instance: string): Promise<void> {
    const { connection: only } = this.#options;
    for (const [id, entry] of await readEntries(this.#storage.ledgerPath(instance))) {
      if (only !== undefined && id !== only) continue;
      this.#seen.add(id);
      await this.#connection(id, instance, entry);
    }
  }

  async #connection(id: string, instance: string, entry: Entry): Promise<void> {
    const live = this.#options.live.has(instance);
    const recovered = this.#recovered.get(id);
    const path = this.#storage.connectionPath(id);
    if (!(await exists(path))) {
      const excused = recovered?.absent === true || (live && entry.end === undefined);
      if (!excused || (await this.#storage.hasConnection(id))) {
        this.#missing(path, 'recording is missing');
      }
      return;
    }
    const digests = new Map<number, string>();
    const report = await verifyTrail(path, this.#options.keys, {
      live,
      onRecord: (record) => noteChannel(digests, record),
    });
    const { header } = report;
    const own =
      header?.container === 'connection' &&
      header.connection === id &&
      header.instance === instance &&
      report.headerDigest === entry.header;
    const expected = [entry.end?.digest ?? '', recovered?.digest ?? ''];
    const ended = entry.end !== undefined && entry.end.digest !== '';
    const judged = !header || own ? against(report, expected) : bad(report, NOT_ITS_OWN);
    this.#tally.add(ended && judged.state === 'open' ? cut(judged) : judged);
    for (const name of await this.#storage.strangersOf(id)) {
      this.#missing(`${this.#storage.connectionFolder(id)}/${name}`, 'is no trail of ours');
    }
    const known = [...(entry.end?.channels ?? []), ...(recovered?.channels ?? [])];
    await this.#channels(id, report, digests, known);
  }

  async #channels(
    id: string,
    connection: TrailReport,
    digests: ReadonlyMap<number, string>,
    known: readonly ChannelDigest[],
  ): Promise<void> {
    const instance = connection.header?.instance ?? '';
    const live = this.#options.live.has(instance);
    const ended = connection.state === 'complete' || connection.state === 'recovered';
    const there = new Set(await this.#storage.channels(id));
    // A channel whose file could never be written has no digest, and either recovery or a living writer says so.
    const excused = (channel: number): boolean => {
      const named = known.filter((k) => k.channel === channel);
      const all = [digests.get(channel) ?? '', ...named.map((k) => k.digest)];
      return all.every((digest) => digest === '') && (live || this.#recovered.has(id));
    };
    for (const channel of new Set([...digests.keys(), ...known.map((k) => k.channel)])) {
      if (!there.has(channel) && !excused(channel)) {
        this.#missing(this.#storage.channelPath(id, channel), 'recording is missing');
      }
    }
    const claims = (await this.#options.fileRows?.(id)) ?? [];
    for (const channel of there) {
      const path = this.#storage.channelPath(id, channel);
      const report = await this.#channel(path, { id, channel }, live, claims);
      if (!report) continue;
      const { header } = report;
      const own =
        header?.container === 'channel' &&
        header.connection === id &&
        header.channel === channel &&
        header.instance === instance &&
        header.connectionHeader === connection.headerDigest;
      const expected = known.filter((k) => k.channel === channel).map((k) => k.digest);
      const inConnection = digests.get(channel);
      if (header && !own) {
        this.#tally.add(bad(report, NOT_ITS_OWN));
      } else if (ended && inConnection === undefined && expected.length === 0) {
        this.#tally.add(bad(report, 'its connection does not account for it'));
      } else {
        const judged = against(report, [inConnection ?? '', ...expected]);
        this.#tally.add(ended && judged.state === 'open' ? cut(judged) : judged);
      }
    }
  }

  /** Verifies the trail of a channel; one that cannot be opened is bad, and the others are verified all the same. */
  async #channel(
    path: string,
    of: { readonly id: string; readonly channel: number },
    live: boolean,
    claims: readonly FileClaim[],
  ): Promise<TrailReport | undefined> {
    try {
      return await verifyChannel(path, this.#options.keys, { live }, of, claims);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'not-found') throw error;
      this.#missing(path, 'recording cannot be read, or is a link');
      return undefined;
    }
  }

  /** Folders that no ledger knows. A live instance may have begun one since its ledger was read. */
  async #unlisted(ledgers: readonly string[]): Promise<void> {
    const suspects: string[] = [];
    for await (const id of this.#storage.connections()) {
      if (!this.#seen.has(id) && (await this.#storage.hasConnection(id))) suspects.push(id);
    }
    for (const instance of suspects.length > 0 ? ledgers : []) {
      if (!this.#options.live.has(instance)) continue;
      const entries = await readEntries(this.#storage.ledgerPath(instance));
      for (const id of suspects) {
        const entry = entries.get(id);
        if (!entry) continue;
        this.#seen.add(id);
        await this.#connection(id, instance, entry);
      }
    }
    for (const id of suspects) {
      if (!this.#seen.has(id)) this.#missing(this.#storage.connectionFolder(id), IN_NO_LEDGER);
    }
    for await (const path of this.#storage.strangers()) this.#missing(path, 'is no trail of ours');
  }

  #missing(path: string, reason: string): void {
    this.#tally.add({ ...NOTHING, path, reason });
  }
}

const NOT_ITS_OWN = 'not the recording that belongs here';
const IN_NO_LEDGER = 'no ledger knows this recording';

const NOTHING: Omit<TrailReport, 'path' | 'reason'> = {
  state: 'bad',
  header: undefined,
  headerDigest: '',
  digest: '',
  records: 0,
  bytes: 0,
  tailBytes: 0,
  stdin: 0,
  stdout: 0,
  stderr: 0,
  lastUs: 0,
  lastCheckpoint: undefined,
  recordsAfterLastLive: 0,
};

function cut(report: TrailReport): TrailReport {
  return { ...report, state: 'cut', reason: 'it is known to have ended, but its end is not there' };
}

/** Holds a report against the digests that others name for it; empty ones say nothing. */
function against(report: TrailReport, digests: readonly string[]): TrailReport {
  const named = digests.filter((digest) => digest !== '');
  if (named.length === 0) return report;
  if (report.state === 'open') return cut(report);
  const same = named.every((digest) => digest === report.digest);
  return same || report.state === 'cut' ? report : bad(report, 'differs from the digest on record');
}

function noteChannel(digests: Map<number, string>, record: TrailRecord): void {
  if (record.kind !== KINDS['channel-digest']) return;
  const { channel, digest } = decodeChannelDigest(record.payload);
  digests.set(channel, digest);
}

/** The connections of one ledger; what cannot be read there was reported when the ledger was verified. */
async function readEntries(path: string): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const file = await TrailFile.open(path);
  try {
    for await (const record of file.records()) {
      if (record.kind === KINDS['ledger-start']) {
        const { connection, header } = decodeLedgerStart(record.payload);
        entries.set(connection, { header, end: undefined });
      } else if (record.kind === KINDS['ledger-end']) {
        const end = decodeLedgerEnd(record.payload);
        const entry = entries.get(end.connection);
        if (entry) entry.end = end;
      }
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
  } finally {
    await file.close();
  }
  return entries;
}

async function exists(path: string): Promise<boolean> {
  try {
    await (await TrailFile.open(path)).close();
    return true;
  } catch {
    return false;
  }
}
