/**
 * The evidence of one connection in a folder that needs no Sallyport: its trails and the ledgers that know it, as they
 * are; the public keys; an independent reader; and views for people. Everything is streamed, block by block, whatever
 * its size. The trails are the evidence, all else is for reading.
 *
 *   trails/connection.trail, trails/<channel>.trail     ledgers/<instance>.trail     keys/<key id>.pub
 *   files/<file id>, listed in files.jsonl
 *   jsonl/<as the trails>.jsonl     text/<channel>.txt, cast/<channel>.cast   of shells and commands
 */
import { basename, join } from 'node:path';
import { AppError, ProtocolError } from '../base/errors.ts';
import type { FileFact } from '../ops/facts.ts';
import { toolOf } from '../wire/tool-command.ts';
import { writeChannelFiles } from './bundle-files.ts';
import type { BundleFolder } from './bundle-folder.ts';
import { KINDS } from './container.ts';
import { requestIn } from './describe-record.ts';
import { exportTrail } from './export.ts';
import { knownFact } from './file-fact.ts';
import { parseJson } from './header.ts';
import { TrailFile } from './reader.ts';
import type { PublicKeyFile, PublicKeys } from './seal.ts';
import type { Storage } from './storage.ts';
import { lengthOf, trailBytes } from './trail-bytes.ts';
import { verifyDirectory } from './verify.ts';
import type { TrailReport } from './verify-trail.ts';
import { verifyTrail } from './verify-trail.ts';

export interface BundleSource {
  readonly storage: Storage;
  readonly keys: PublicKeys;
  readonly keyFiles: readonly PublicKeyFile[];
  readonly connection: string;
  /** The instance that runs now, whose trails may be open. */
  readonly instance: string | undefined;
  /** `etc/trail-reader.py` and what checks a bundle with it, by name. */
  readonly programs: ReadonlyMap<string, Buffer>;
  /** The fields of a file in the list of files. */
  readonly fieldsOf: (fact: FileFact) => object;
  /** Bytes written since the last call. */
  readonly onProgress: (bytes: number) => void;
}

/** One file of the bundle, for its README. */
export interface BundleEntry {
  readonly name: string;
  readonly about: string;
}

export interface BundleContents {
  readonly entries: readonly BundleEntry[];
  /** Transferred files whose content is in it; they are no entries, for there may be many. */
  readonly moved: number;
  /** Of the trails and the ledgers, in the order of the bundle, by name. */
  readonly reports: readonly BundleReport[];
}

/** What was found when a trail or ledger was verified; one that is not there at all is bad. */
export interface BundleReport extends Pick<TrailReport, 'state' | 'reason' | 'records'> {
  readonly name: string;
}

/** Writes all but the README and the sums. */
export async function writeBundle(
  folder: BundleFolder,
  source: BundleSource,
): Promise<BundleContents> {
  return new Bundle(folder, source).write();
}

/** What a channel's trail in the bundle is a copy of. */
interface CopyOf {
  readonly live: boolean;
  /** The time of day at 0 of its clock. */
  readonly wallUs: number;
}

class Bundle {
  readonly #folder: BundleFolder;
  readonly #source: BundleSource;
  readonly #entries: BundleEntry[] = [];
  readonly #reports: BundleReport[] = [];
  /** What verification found, by path, and is not told yet. */
  readonly #found = new Map<string, TrailReport>();
  #moved = 0;
  readonly #copied: (CopyOf & { readonly channel: number })[] = [];

  constructor(folder: BundleFolder, source: BundleSource) {
    this.#folder = folder;
    this.#source = source;
  }

  async write(): Promise<BundleContents> {
    const { storage, connection, keyFiles, programs } = this.#source;
    await this.#holdTogether();
    await this.#trail(storage.connectionPath(connection), 'connection', 'what is in no channel');
    for (const channel of await storage.channels(connection)) {
      const path = storage.channelPath(connection, channel);
      const copied = await this.#trail(path, `${channel}`, `channel ${channel}`);
      if (copied) this.#copied.push({ channel, ...copied });
    }
    await this.#put(
      'files.jsonl',
      this.#fileLines(),
      'the files in files/, a JSON object for each',
    );
    for (const instance of await storage.ledgers()) await this.#ledger(instance);
    this.#rest();
    for (const { id, pem } of keyFiles) {
      await this.#put(`keys/${id}.pub`, [pem], 'public key for signatures');
    }
    for (const [name, text] of programs) {
      await this.#put(name, [text], 'verifies and reads without Sallyport');
    }
    return { entries: this.#entries, moved: this.#moved, reports: this.#reports };
  }

  async #put(
    name: string,
    pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
    about: string,
  ): Promise<void> {
    const { length } = await this.#folder.write(name, pieces, this.#source.onProgress);
    this.#entries.push({ name, about: `${about}, ${length} bytes` });
  }

  /** A view of a trail; of one that is damaged as far as it can be read. */
  async #view(name: string, pieces: AsyncIterable<Buffer>, about: string): Promise<void> {
    const state = { isCut: false };
    await this.#put(name, readable(pieces, state), about);
    if (state.isCut) this.#entries.push({ name, about: 'ends where the trail cannot be read' });
  }

  /** A trail that should be there; undefined if it is not, which is noted. */
  async #open(path: string, name: string): Promise<TrailFile | undefined> {
    try {
      return await TrailFile.open(path);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'not-found') throw error;
      this.#reports.push({ name, state: 'bad', reason: 'it is missing', records: 0 });
      return undefined;
    }
  }

  /** A trail as it is, and its views; resolves to what the copy is of, undefined if there is none. */
  async #trail(path: string, name: string, about: string): Promise<CopyOf | undefined> {
    const file = await this.#open(path, `trails/${name}.trail`);
    if (!file) return undefined;
    try {
      const report = await this.#verified(path, `trails/${name}.trail`);
      const live = report.state === 'open';
      await this.#put(`trails/${name}.trail`, trailBytes(file, await lengthOf(file, live)), about);
      await this.#view(`jsonl/${name}.jsonl`, exportTrail(file, 'jsonl'), `${about}, by record`);
      const copied = { live, wallUs: report.header?.wallUs ?? 0 };
      if (name === 'connection' || !(await isForPeople(file))) return copied;
      await this.#view(`text/${name}.txt`, exportTrail(file, 'text'), `${about}, as it was read`);
      await this.#view(`cast/${name}.cast`, exportTrail(file, 'cast'), `${about}, to play back`);
      return copied;
    } finally {
      await file.close();
    }
  }

  /** Writes the content of the files of all channels; a line for each. */
  async *#fileLines(): AsyncGenerator<Buffer> {
    const { connection, fieldsOf, onProgress } = this.#source;
    for (const { channel, live, wallUs } of this.#copied) {
      const path = join(this.#folder.path, 'trails', `${channel}.trail`);
      const trail = { path, connection, channel, live };
      for await (const file of writeChannelFiles(this.#folder, trail, onProgress)) {
        const { known, name, wrong } = file;
        if (name !== undefined) this.#moved++;
        if (name !== undefined && wrong !== '') {
          this.#reports.push({ name, state: 'bad', reason: wrong, records: 0 });
        }
        const places = 'file' in known ? { appended: known.appended, extents: known.extents } : {};
        const fields = fieldsOf(knownFact(known, connection, channel, wallUs));
        yield Buffer.from(`${JSON.stringify({ name: name ?? null, ...fields, ...places })}\n`);
      }
    }
  }

  /** A ledger, if it says something of the connection. */
  async #ledger(instance: string): Promise<void> {
    const { storage, connection } = this.#source;
    const path = storage.ledgerPath(instance);
    const file = await TrailFile.open(path);
    try {
      if (!(await knows(file, connection))) return;
      const name = `ledgers/${instance}.trail`;
      const { state } = await this.#verified(path, name);
      const length = await lengthOf(file, state === 'open');
      await this.#put(name, trailBytes(file, length), 'what a gate began and how it ended');
    } finally {
      await file.close();
    }
  }

  /** What was found when all was held together; of what no ledger knows, what it is by itself. */
  async #verified(path: string, name: string): Promise<TrailReport> {
    const { keys } = this.#source;
    const report = this.#found.get(path) ?? (await verifyTrail(path, keys));
    this.#found.delete(path);
    const { state, reason, records } = report;
    this.#reports.push({ name, state, reason, records });
    return report;
  }

  /** Verifies the trails and ledgers against each other: that one is exchanged or missing, none tells by itself. */
  async #holdTogether(): Promise<void> {
    const { storage, keys, connection, instance } = this.#source;
    await verifyDirectory(storage, {
      keys,
      live: new Set(instance === undefined ? [] : [instance]),
      connection,
      onReport: (report) => this.#found.set(report.path, report),
    });
  }

  /** Tells of what should be there and is not, or is there and should not. */
  #rest(): void {
    const { storage, connection } = this.#source;
    const folder = storage.connectionFolder(connection);
    for (const { path, state, reason, records } of this.#found.values()) {
      if (!path.startsWith(folder)) continue;
      const name = path === folder ? 'trails' : `trails/${basename(path)}`;
      if (this.#reports.every((report) => report.name !== name)) {
        this.#reports.push({ name, state, reason, records });
      }
    }
  }
}

const KNOWING: ReadonlySet<number> = new Set([
  KINDS['ledger-start'],
  KINDS['ledger-end'],
  KINDS['ledger-recovered'],
]);

/** Whether a ledger says something of a connection; one that cannot be read might. */
async function knows(file: TrailFile, connection: string): Promise<boolean> {
  try {
    for await (const { kind, payload } of file.records()) {
      if (!KNOWING.has(kind) || !payload.includes(connection)) continue;
      const said = parseJson(payload);
      const isAbout = typeof said === 'object' && said !== null && 'connection' in said;
      if (isAbout && said.connection === connection) return true;
    }
    return false;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return true;
  }
}

async function* readable(
  pieces: AsyncIterable<Buffer>,
  state: { isCut: boolean },
): AsyncGenerator<Buffer> {
  try {
    yield* pieces;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    state.isCut = true;
  }
}

/** Whether a channel is a shell or a command that does not move files: something that a person has read. */
async function isForPeople(file: TrailFile): Promise<boolean> {
  try {
    for await (const record of file.records()) {
      if (record.kind === KINDS.stdout) return false;
      const request = requestIn(record);
      if (request?.type === 'shell') return true;
      if (request?.type === 'exec') return toolOf(request.command) === undefined;
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
  return false;
}
