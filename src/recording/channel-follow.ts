/**
 * The files of one live channel on their way into its trail and to the rows. When the channel has ended its trail waits
 * a bounded time for the rest of them; what comes later goes to the rows alone, and the trail says that it is not whole
 * in this.
 */
import { AppError } from '../base/errors.ts';
import { withDeadline } from '../base/async.ts';
import type { FileFact } from '../ops/facts.ts';
import { CODES, DIRECTION, FATE, KINDS } from './container.ts';
import { unknownFact } from './file-fact.ts';
import { encodeUndecoded } from './file-record.ts';
import type { FilesReader } from './files-reader.ts';
import type { Storage } from './storage.ts';
import type { ContainerWriter } from './writer.ts';

export interface ChannelFollowOptions {
  readonly files: FilesReader;
  readonly storage: Storage;
  readonly connection: string;
  readonly channel: number;
  readonly writer: ContainerWriter;
  readonly wallUs: () => number;
  readonly tell: (fact: FileFact) => void;
}

const LATE = 'not all files were known when the channel ended';

export class ChannelFollow {
  readonly #options: ChannelFollowOptions;
  readonly #key: number;
  /** The trail takes no more. */
  #closed = false;

  constructor(options: ChannelFollowOptions) {
    this.#options = options;
    const { files, storage, connection, channel, writer, tell } = options;
    this.#key = files.follow({
      connection,
      channel,
      path: storage.channelPath(connection, channel),
      written: () => writer.written,
      owner: {
        onFile: (payloads, fact) => {
          for (const payload of payloads) this.#put(payload);
          tell(fact);
        },
        onUnknown: (payload, why) => {
          this.#put(payload);
          this.#unknown(why);
        },
      },
    });
  }

  /** Settles when all files are told, or after so many milliseconds. The trail may be closed then. */
  async end(ms: number): Promise<void> {
    const { files, writer } = this.#options;
    try {
      await withDeadline(files.end(this.#key, writer.records), ms, () => {
        return new AppError('recording-failed', LATE);
      });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#put(encodeUndecoded({ undecoded: LATE, us: 0 }));
      this.#unknown(LATE);
    } finally {
      this.#closed = true;
    }
  }

  #put(payload: Buffer): void {
    if (this.#closed) return;
    this.#options.writer.put(KINDS.file, DIRECTION.none, FATE.made, CODES.none, payload);
  }

  #unknown(why: string): void {
    const { connection, channel, wallUs, tell } = this.#options;
    tell(unknownFact(connection, channel, why, wallUs()));
  }
}
