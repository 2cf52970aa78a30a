/**
 * The thread that reads trails behind their writers and tells the files in them, off the relay's path. It holds of each
 * channel what its decoder holds, reads in slices, one channel after the other, and stops reading when what it tells is
 * not taken. Whatever happens here, the relay goes on: a channel that cannot be read is told as unknown.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { reasonOf } from '../base/errors.ts';
import type { TrailRecord } from './block-decoder.ts';
import { ChannelFiles } from './channel-files.ts';
import { ContentReader } from './file-content.ts';
import { fileFact } from './file-fact.ts';
import type { FileRecord } from './file-record.ts';
import { encodeFileRecord, encodeUndecoded } from './file-record.ts';
import { FILES_THREAD } from './files-messages.ts';
import type { FromThread, ToThread } from './files-messages.ts';
import { hashSteps } from './hash-content.ts';
import { TailBuffer, TrailTail } from './trail-tail.ts';

/** How long a channel is worked on before others, and messages, have their turn. */
const SLICE_MS = 20;
const BATCH = 256;
/** So much may wait to be taken before no more is read. */
const MAX_WAITING = 1_000;

type Tell = (message: FromThread) => void;

class FollowedChannel {
  readonly key: number;
  readonly #path: string;
  readonly #tell: Tell;
  readonly #files: ChannelFiles;
  /** Files whose content is to be read back for their hash. */
  readonly #unhashed: FileRecord[] = [];
  #hashing: Generator<void, FileRecord> | undefined;
  #tail: TrailTail | undefined;
  #content: ContentReader | undefined;
  #end: number | null | undefined;
  #atEnd = false;
  readonly #take = (record: TrailRecord): void => this.#onRecord(record);

  constructor(key: number, connection: string, channel: number, path: string, tell: Tell) {
    this.key = key;
    this.#path = path;
    this.#tell = tell;
    this.#files = new ChannelFiles(connection, channel, {
      onFile: (record, hashed) => {
        if (hashed && this.#unhashed.length === 0) this.#known(record, channel);
        else this.#unhashed.push(record);
      },
      onUndecoded: (event) => {
        const payload = encodeUndecoded(event);
        tell({ is: 'unknown', key, payload, why: event.undecoded });
      },
    });
    this.#channel = channel;
  }

  readonly #channel: number;

  end(records: number | null): void {
    this.#end = records;
  }

  /** Does a piece of what is to be done; false when there is nothing to do now. */
  step(buffer: TailBuffer): boolean {
    if (this.#hashing || this.#unhashed.length > 0) {
      this.#hash();
      return true;
    }
    if (this.#atEnd) return false;
    this.#tail ??= new TrailTail(this.#path, buffer);
    const more = !this.#isRead() && this.#tail.advance(this.#take);
    if (more || this.#end === undefined) return more;
    if (this.#end !== null && !this.#isRead()) return false;
    this.#atEnd = true;
    this.#files.end();
    return true;
  }

  /** Whether all of it has been told. */
  get done(): boolean {
    return this.#atEnd && !this.#hashing && this.#unhashed.length === 0;
  }

  close(): void {
    this.#tail?.close();
    this.#content?.close();
  }

  #isRead(): boolean {
    return typeof this.#end === 'number' && (this.#tail?.ordinal ?? 0) >= this.#end;
  }

  #onRecord(record: TrailRecord): void {
    // What a trail ends in is no part of what crossed.
    if (typeof this.#end !== 'number' || record.ordinal < this.#end) this.#files.take(record);
  }

  #hash(): void {
    if (!this.#hashing) {
      const [next] = this.#unhashed;
      if (!next) return;
      if (next.sha256 !== null || next.dropped > 0) {
        this.#unhashed.shift();
        this.#known(next, this.#channel);
        return;
      }
      this.#content ??= new ContentReader(this.#path);
      this.#hashing = hashSteps(next, this.#content);
    }
    const step = this.#hashing.next();
    if (!step.done) return;
    this.#hashing = undefined;
    this.#unhashed.shift();
    this.#known(step.value, this.#channel);
  }

  #known(record: FileRecord, channel: number): void {
    this.#tell({
      is: 'file',
      key: this.key,
      payloads: encodeFileRecord(record),
      fact: fileFact(record, channel, this.#files.wallUs),
    });
  }
}

/** The thread's own loop, on a port to the gate. */
export class FilesThread {
  readonly #port: MessagePort;
  readonly #buffer = new TailBuffer();
  readonly #channels = new Map<number, FollowedChannel>();
  /** Those with something to do, the longest waiting first. */
  readonly #ready = new Set<FollowedChannel>();
  #out: FromThread[] = [];
  #inFlight = false;
  #scheduled = false;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: ToThread) => this.#onMessage(message));
  }

  #onMessage(message: ToThread): void {
    switch (message.do) {
      case 'follow': {
        const { key, connection, channel, path } = message;
        const tell: Tell = (event) => this.#out.push(event);
        this.#channels.set(key, new FollowedChannel(key, connection, channel, path, tell));
        return;
      }
      case 'read':
        for (const key of message.keys) this.#wake(key);
        return;
      case 'end':
        this.#channels.get(message.key)?.end(message.records);
        this.#wake(message.key);
        return;
      case 'taken':
        this.#inFlight = false;
        this.#flush();
        this.#schedule();
    }
  }

  #wake(key: number): void {
    const channel = this.#channels.get(key);
    if (channel) this.#ready.add(channel);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#ready.size === 0 || this.#out.length >= MAX_WAITING) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#work();
      this.#flush();
      this.#schedule();
    });
  }

  #work(): void {
    for (const channel of this.#ready) {
      this.#ready.delete(channel);
      const until = performance.now() + SLICE_MS;
      let more = true;
      try {
        while (more && performance.now() < until && this.#out.length < MAX_WAITING) {
          more = channel.step(this.#buffer);
        }
        if (channel.done) this.#drop(channel);
      } catch (error) {
        const why = reasonOf(error);
        const payload = encodeUndecoded({ undecoded: 'the trail could not be read', us: 0 });
        this.#out.push({ is: 'unknown', key: channel.key, payload, why });
        this.#drop(channel);
        return;
      }
      if (more && !channel.done) this.#ready.add(channel);
      return;
    }
  }

  #drop(channel: FollowedChannel): void {
    this.#channels.delete(channel.key);
    this.#ready.delete(channel);
    channel.close();
    this.#out.push({ is: 'ended', key: channel.key });
  }

  #flush(): void {
    if (this.#inFlight || this.#out.length === 0) return;
    this.#inFlight = true;
    const batch = this.#out.slice(0, BATCH);
    this.#out = this.#out.slice(BATCH);
    this.#port.postMessage(batch);
  }
}

// Only a worker that was made to be this thread is one.
if (!isMainThread && parentPort && workerData === FILES_THREAD) new FilesThread(parentPort);
