/**
 * The gate's side of the thread that reads trails for others (`download-thread.ts`): a stream for each download, which
 * asks for the next piece when its taker has taken the last. So many at a time; one more is refused as busy. The thread
 * is started with the first.
 */
import { Readable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { AppError, ERRORS, reasonOf } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { DOWNLOAD_THREAD } from './download-messages.ts';
import type { ByteRange, FromDownloads, ToDownloads, Wanted } from './download-messages.ts';

const MAX_DOWNLOADS = 128;

export interface OpenDownload {
  /** Bytes of all of it, if that is known; of a range of a file, those of the file. */
  readonly size: number | undefined;
  /** The bytes that come, where a range was asked for; empty if none of them is there. */
  readonly range: ByteRange | undefined;
  readonly stream: Readable;
}

interface Under {
  readonly ready: (message: Extract<FromDownloads, { is: 'ready' }>) => void;
  readonly failed: (error: AppError) => void;
  readonly stream: Readable;
}

export class Downloads {
  readonly #under = new Map<number, Under>();
  #thread: Worker | undefined;
  #keys = 0;

  /** Opens what is wanted; rejects if it is not there or cannot be given. */
  open(wanted: Wanted): Promise<OpenDownload> {
    if (this.#under.size >= MAX_DOWNLOADS) {
      return Promise.reject(new AppError('busy', 'too many downloads at once; try again later'));
    }
    const key = this.#keys++;
    const stream = new Readable({
      highWaterMark: 1,
      read: () => this.#post({ do: 'next', key }),
      destroy: (error, callback) => {
        if (this.#under.delete(key)) this.#post({ do: 'drop', key });
        callback(error);
      },
    });
    return new Promise((resolve, reject) => {
      this.#under.set(key, {
        stream,
        ready: ({ size, range }) => resolve({ size, range, stream }),
        failed: (error) => {
          reject(error);
          // Once it is being read its taker is told by the stream; before that nobody listens to it.
          if (stream.listenerCount('error') === 0) stream.on('error', () => undefined);
          stream.destroy(error);
        },
      });
      this.#post({ do: 'begin', key, wanted });
    });
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.terminate();
    this.#allFail('the gate is shutting down');
  }

  #post(message: ToDownloads): void {
    this.#thread ??= this.#start();
    this.#thread.postMessage(message);
  }

  #start(): Worker {
    const thread = new Worker(new URL('./download-thread.ts', import.meta.url), {
      workerData: DOWNLOAD_THREAD,
      name: 'downloads',
    });
    thread.on('message', (message: FromDownloads) => this.#onMessage(message));
    thread.on('error', (error) => this.#onDeath(thread, reasonOf(error)));
    thread.on('exit', () => this.#onDeath(thread, 'it ended'));
    thread.unref();
    return thread;
  }

  #onMessage(message: FromDownloads): void {
    const under = this.#under.get(message.key);
    if (!under) return;
    switch (message.is) {
      case 'ready':
        under.ready(message);
        return;
      case 'piece': {
        const { buffer, byteOffset, byteLength } = message.bytes;
        under.stream.push(Buffer.from(buffer, byteOffset, byteLength));
        return;
      }
      case 'end':
        this.#under.delete(message.key);
        under.stream.push(null);
        return;
      case 'failed': {
        this.#under.delete(message.key);
        const code = message.code in ERRORS ? (message.code as ErrorCode) : 'internal';
        under.failed(new AppError(code, message.text));
      }
    }
  }

  #onDeath(thread: Worker, why: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    this.#allFail(`the thread that reads trails has died: ${why}`);
  }

  #allFail(why: string): void {
    const all = [...this.#under.values()];
    this.#under.clear();
    for (const { failed } of all) failed(new AppError('internal', why));
  }
}
