/**
 * All containers of one connection: its own, and one for each channel. The connection is in the ledger before its file
 * exists; a container ends with its digest noted one level up (channel in connection, connection in ledger), so that
 * nothing can be taken away unseen.
 */
import { withDeadline } from '../base/async.ts';
import { AppError, reasonOf } from '../base/errors.ts';
import type { FactValue } from '../ops/facts.ts';
import { CODES, DIRECTION, FATE, KINDS } from './container.ts';
import type { FileFact } from '../ops/facts.ts';
import { ChannelFollow } from './channel-follow.ts';
import type { FilesReader } from './files-reader.ts';
import type { Ledger } from './ledger.ts';
import type { ChannelDigest } from './ledger-records.ts';
import type { SigningKey } from './seal.ts';
import type { Storage } from './storage.ts';
import { ContainerWriter } from './writer.ts';
import type { WriteGate } from './write-gate.ts';

/** What the recorders of all connections of an instance share. */
export interface RecordingServices {
  readonly instance: string;
  readonly storage: Storage;
  readonly ledger: Ledger;
  readonly key: SigningKey;
  readonly gate: WriteGate;
  /** Knows the files in trails; without it none are told. */
  readonly files?: FilesReader;
  /** Monotonic microseconds of the process. */
  readonly nowUs: () => number;
  /** Microseconds since 1970, UTC. */
  readonly wallUs: () => number;
}

export interface RecorderEvents {
  /** Some container has advanced. */
  onWritten(): void;
  /** A container cannot be written: the connection must end. */
  onError(error: AppError): void;
}

/** How long the end of a channel's trail waits for its files; what is not known by then goes to the rows alone. */
const FILES_MS = 3_000;

/** How long the end of a connection waits for a ledger that cannot be written. */
const LEDGER_MS = 10_000;

/** What a user is told; where the recordings lie, and what is wrong with them, is for the log. */
export function cannotRecord(cause?: AppError): AppError {
  const text = 'this session cannot be recorded and ends here; please tell your administrator';
  return new AppError('recording-failed', text, { cause });
}

export class ConnectionRecorder {
  readonly connection: string;
  readonly writer: ContainerWriter;
  readonly #services: RecordingServices;
  readonly #events: RecorderEvents;
  readonly #nowUs: () => number;
  readonly #digests: ChannelDigest[] = [];
  readonly #closing = new Set<Promise<void>>();
  readonly #afterHeader: (() => void)[] = [];
  readonly #heldBack: ContainerWriter[] = [];
  readonly #files = new Map<number, ChannelFollow>();

  /** `first` is the first fact of the connection; it stands in the header. */
  constructor(
    connection: string,
    first: FactValue,
    services: RecordingServices,
    events: RecorderEvents,
  ) {
    this.connection = connection;
    this.#services = services;
    this.#events = events;
    const start = services.nowUs();
    this.#nowUs = () => services.nowUs() - start;
    const opening: { go?: () => void; ready?: boolean } = {};
    this.writer = new ContainerWriter({
      ...this.#writing(),
      path: services.storage.connectionPath(connection),
      header: {
        container: 'connection',
        instance: services.instance,
        connection,
        channel: null,
        connectionHeader: '',
        data: { fact: first },
      },
      openAfter: (go) => {
        if (opening.ready) go();
        else opening.go = go;
      },
    });
    const { ledger, storage } = services;
    const ordinal = ledger.connectionStarted(connection, this.writer.headerDigest);
    ledger.whenWritten(ordinal, () => {
      storage.prepareConnection(connection).then(
        () => {
          opening.ready = true;
          opening.go?.();
        },
        (cause: unknown) => this.writer.refuse(cause),
      );
    });
  }

  #writing(): Pick<
    ConstructorParameters<typeof ContainerWriter>[0],
    'key' | 'gate' | 'nowUs' | 'wallUs' | 'onWritten' | 'onError'
  > {
    const { key, gate, wallUs } = this.#services;
    return {
      key,
      gate,
      nowUs: this.#nowUs,
      wallUs,
      onWritten: () => this.#onWritten(),
      onError: (error) => this.#onError(error),
    };
  }

  /** The container of a new channel. */
  openChannel(ordinal: number, data: Readonly<Record<string, unknown>>): ContainerWriter {
    const { storage, instance } = this.#services;
    const writer = new ContainerWriter({
      ...this.#writing(),
      path: storage.channelPath(this.connection, ordinal),
      header: {
        container: 'channel',
        instance,
        connection: this.connection,
        channel: ordinal,
        connectionHeader: this.writer.headerDigest.toString('hex'),
        data,
      },
      // The folder is there once the connection's own file is.
      openAfter: (go) => {
        if (this.writer.written > 0) go();
        else this.#afterHeader.push(go);
      },
    });
    if (this.writer.written === 0) this.#heldBack.push(writer);
    return writer;
  }

  /** The connection's own file failing, those that wait for it will never be. */
  #onError(error: AppError): void {
    this.#afterHeader.length = 0;
    for (const writer of this.#heldBack.splice(0)) writer.refuse(error);
    this.#events.onError(error);
  }

  #onWritten(): void {
    if (this.#afterHeader.length > 0 && this.writer.written > 0) {
      this.#heldBack.length = 0;
      for (const go of this.#afterHeader.splice(0)) go();
    }
    this.#events.onWritten();
  }

  /** Writes a fact where recovery and reindexing find it. */
  fact(sequence: number, value: FactValue): void {
    this.#note(KINDS.note, { sequence, fact: value });
  }

  /** Writes something of the login, the policy or a transport: JSON of a few fields. */
  note(
    kind: 'login' | 'policy' | 'transport' | 'note',
    detail: Readonly<Record<string, unknown>>,
  ): void {
    this.#note(KINDS[kind], detail);
  }

  #note(kind: number, detail: object): void {
    const payload = Buffer.from(JSON.stringify(detail));
    this.writer.put(kind, DIRECTION.none, FATE.made, CODES.none, payload);
  }

  /** From now on the files of a channel are told: to its trail, and as facts to `tell`. */
  followFiles(ordinal: number, writer: ContainerWriter, tell: (fact: FileFact) => void): void {
    const { files, storage, wallUs } = this.#services;
    if (!files || this.#files.has(ordinal)) return;
    const { connection } = this;
    this.#files.set(
      ordinal,
      new ChannelFollow({ files, storage, connection, channel: ordinal, writer, wallUs, tell }),
    );
  }

  /** Ends a channel's container, once its files are in it, and notes its digest. */
  closeChannel(ordinal: number, writer: ContainerWriter, reason: string): void {
    const follow = this.#files.get(ordinal);
    this.#files.delete(ordinal);
    const ended = follow
      ? follow.end(FILES_MS).then(() => writer.close({ reason }))
      : writer.close({ reason });
    const closing = ended.then(
      ({ digest }) => this.#channelClosed(ordinal, digest.toString('hex')),
      (error: unknown) => {
        this.#channelClosed(ordinal, '');
        this.#events.onError(
          error instanceof AppError
            ? error
            : new AppError('recording-failed', reasonOf(error), { cause: error }),
        );
      },
    );
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }

  #channelClosed(channel: number, digest: string): void {
    this.#digests.push({ channel, digest });
    this.#note(KINDS['channel-digest'], { channel, digest });
  }

  /** Ends the connection's container once its channels have ended; settles when the ledger knows it. */
  async close(reason: string): Promise<void> {
    await Promise.all(this.#closing);
    const { ledger } = this.#services;
    let digest = '';
    try {
      digest = (await this.writer.close({ reason })).digest.toString('hex');
    } finally {
      ledger.connectionEnded(this.connection, { digest, channels: this.#digests, reason });
      await withDeadline(ledger.flushed(), LEDGER_MS, () => {
        return new AppError('recording-failed', 'the ledger did not take the end in time');
      });
    }
  }
}
