/**
 * The gate's side of the thread that knows files (`files-thread.ts`). The hot path gives it nothing: ten times a second
 * it looks how far each followed trail has been written and tells the thread in one message. What comes back is handed
 * to the channel's owner in batches, and the next batch is asked for when the rows have room.
 *
 * The thread is started with the first channel that may move files. If it dies, the files of the channels that it
 * followed are unknown, their trails are not harmed, and the next channel starts another.
 */
import { Worker } from 'node:worker_threads';
import { reasonOf } from '../base/errors.ts';
import type { FileMoved } from '../ops/facts.ts';
import { encodeUndecoded } from './file-record.ts';
import { FILES_THREAD } from './files-messages.ts';
import type { FromThread, ToThread } from './files-messages.ts';

const LOOK_MS = 100;
const LOOK_ENDING_MS = 10;
const PACE_MS = 20;

/** Hears of the files of one channel. */
export interface FilesOwner {
  /** A file, with the payloads of its records for the trail. */
  onFile(payloads: readonly Buffer[], fact: FileMoved): void;
  /** The files, or the rest of them, are not known. */
  onUnknown(payload: Buffer, why: string): void;
}

/** A trail that is followed. */
export interface FollowOptions {
  readonly connection: string;
  readonly channel: number;
  readonly path: string;
  /** Records below this ordinal are written; undefined: all that will be. */
  readonly written: (() => number) | undefined;
  readonly owner: FilesOwner;
}

interface Followed {
  readonly key: number;
  readonly options: FollowOptions;
  told: number;
  /** Records that matter, once the channel has ended. */
  records: number | undefined;
  endTold: boolean;
  readonly ended: { readonly promise: Promise<void>; readonly resolve: () => void };
}

export interface FilesReaderOptions {
  /** Whether more files may be told now; asked again soon when not. */
  readonly hasRoom: () => boolean;
  readonly onTrouble: (text: string) => void;
}

export class FilesReader {
  readonly #options: FilesReaderOptions;
  readonly #followed = new Map<number, Followed>();
  #thread: Worker | undefined;
  #keys = 0;
  #timer: NodeJS.Timeout | undefined;
  #pace: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: FilesReaderOptions) {
    this.#options = options;
  }

  /** Begins to follow a channel; the number returned is its name here. */
  follow(options: FollowOptions): number {
    const key = this.#keys++;
    const ended: Followed['ended'] = Promise.withResolvers();
    this.#followed.set(key, {
      key,
      options,
      told: 0,
      records: undefined,
      endTold: false,
      ended,
    });
    const { connection, channel, path } = options;
    this.#post({ do: 'follow', key, connection, channel, path });
    this.#look();
    return key;
  }

  /**
   * No record from `records` on matters. Settles when all files before it have been told, or it is known that they will
   * not be; how long to wait for that is the caller's to say.
   */
  end(key: number, records: number): Promise<void> {
    const followed = this.#followed.get(key);
    if (!followed) return Promise.resolve();
    followed.records = records;
    this.#look();
    return followed.ended.promise;
  }

  /** Ends the thread; what it has not told is left to whoever reads the trails again. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#pace);
    for (const { ended } of this.#followed.values()) ended.resolve();
    this.#followed.clear();
    await this.#thread?.terminate();
    this.#thread = undefined;
  }

  #post(message: ToThread): void {
    if (this.#closed) return;
    this.#thread ??= this.#start();
    this.#thread.postMessage(message);
  }

  #start(): Worker {
    const thread = new Worker(new URL('./files-thread.ts', import.meta.url), {
      workerData: FILES_THREAD,
      name: 'files',
    });
    thread.on('message', (batch: readonly FromThread[]) => this.#onBatch(thread, batch));
    thread.on('error', (error) => this.#onDeath(thread, reasonOf(error)));
    thread.on('exit', () => this.#onDeath(thread, 'it ended'));
    thread.unref();
    return thread;
  }

  /** Tells the thread which trails have grown, and which are at their end. */
  #look(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const keys: number[] = [];
    let ending = false;
    for (const followed of this.#followed.values()) {
      const { key, options, records } = followed;
      const written = options.written?.();
      if (written !== undefined && written > followed.told) keys.push(key);
      followed.told = written ?? 0;
      if (followed.endTold) continue;
      if (written === undefined) {
        followed.endTold = true;
        this.#post({ do: 'end', key, records: null });
      } else if (records !== undefined) {
        ending = true;
        if (written < records) continue;
        followed.endTold = true;
        this.#post({ do: 'end', key, records });
      }
    }
    if (keys.length > 0) this.#post({ do: 'read', keys });
    if (this.#followed.size === 0 || this.#closed) return;
    this.#timer = setTimeout(() => this.#look(), ending ? LOOK_ENDING_MS : LOOK_MS);
    this.#timer.unref();
  }

  #onBatch(thread: Worker, batch: readonly FromThread[]): void {
    for (const message of batch) {
      const followed = this.#followed.get(message.key);
      if (!followed) continue;
      const { owner } = followed.options;
      if (message.is === 'file') {
        owner.onFile(message.payloads.map(asBuffer), message.fact);
      } else if (message.is === 'unknown') {
        owner.onUnknown(asBuffer(message.payload), message.why);
      } else {
        this.#followed.delete(message.key);
        followed.ended.resolve();
      }
    }
    this.#askForMore(thread);
  }

  #askForMore(thread: Worker): void {
    if (this.#thread !== thread || this.#closed) return;
    if (this.#options.hasRoom()) {
      thread.postMessage({ do: 'taken' } satisfies ToThread);
      return;
    }
    this.#pace = setTimeout(() => this.#askForMore(thread), PACE_MS);
    this.#pace.unref();
  }

  #onDeath(thread: Worker, why: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    if (this.#closed) return;
    this.#options.onTrouble(`the thread that reads files has died: ${why}`);
    const payload = encodeUndecoded({ undecoded: 'the reader of files has died', us: 0 });
    for (const { options, ended } of this.#followed.values()) {
      options.owner.onUnknown(payload, 'the reader of files has died');
      ended.resolve();
    }
    this.#followed.clear();
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
