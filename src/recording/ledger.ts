/**
 * The ledger of one instance: which connections it recorded and what each ended in, so that a recording that is
 * missing as a whole is seen. A connection's start is in the kernel before its container exists (`whenWritten` holds
 * the container back), so a folder that no ledger knows was never ours.
 *
 * A ledger with a connection that did not get its end is not closed: it stays as after a crash, and recovery at the
 * next start brings both to their end.
 */
import { DIRECTION, FATE, KINDS } from './container.ts';
import type { ChannelDigest, LedgerName, LedgerRecovered } from './ledger-records.ts';
import { MAX_LEDGER_CHANNELS, encodeJson } from './ledger-records.ts';
import type { Storage } from './storage.ts';
import { ContainerWriter } from './writer.ts';
import type { ContainerEnd, WriterOptions } from './writer-options.ts';

export type LedgerOptions = Pick<
  WriterOptions,
  'key' | 'gate' | 'nowUs' | 'wallUs' | 'onError' | 'checkpointMs' | 'syncMs' | 'fs'
> & {
  readonly instance: string;
  readonly storage: Storage;
  /** From `ledgersBefore`. */
  readonly before: readonly LedgerName[];
  /** Anything else that its header should say: version, host. */
  readonly about?: Readonly<Record<string, unknown>>;
};

/** It says little and each word counts: what it says is signed sooner than the bytes of a session. */
const CHECKPOINT_MS = 1_000;

/** How a connection ended. A digest is empty if that container could not be closed. */
export interface ConnectionEnd {
  readonly digest: string;
  readonly channels: readonly ChannelDigest[];
  readonly reason: string;
}

export class Ledger {
  readonly instance: string;
  readonly #writer: ContainerWriter;
  readonly #unfinished = new Set<string>();
  #last = 0;
  #failed = false;
  readonly #waiting: { readonly ordinal: number; readonly go: () => void }[] = [];

  /** The folder must be there: `storage.prepareLedgers()`. */
  constructor(options: LedgerOptions) {
    const { instance, storage, before, about, onError, ...rest } = options;
    this.instance = instance;
    this.#writer = new ContainerWriter({
      checkpointMs: CHECKPOINT_MS,
      ...rest,
      path: storage.ledgerPath(instance),
      header: {
        container: 'ledger',
        instance,
        connection: '',
        channel: null,
        connectionHeader: '',
        data: { ...about, ledgers: before },
      },
      onWritten: () => this.#release(),
      onError: (error) => {
        this.#failed = true;
        onError(error);
      },
    });
  }

  /** Whether it cannot be written at present; nobody new may be let in. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Records below this ordinal are in the kernel. */
  get written(): number {
    return this.#writer.written;
  }

  /** Notes a connection before its container is made; returns the record's ordinal. */
  connectionStarted(connection: string, headerDigest: Buffer): number {
    this.#unfinished.add(connection);
    const start = { connection, header: headerDigest.toString('hex') };
    return this.#put(KINDS['ledger-start'], encodeJson(start));
  }

  /** Calls `go` once the record of this ordinal is in the kernel: at once if it is. */
  whenWritten(ordinal: number, go: () => void): void {
    if (ordinal < this.#writer.written) go();
    else this.#waiting.push({ ordinal, go });
  }

  /** Notes what a connection ended in. */
  connectionEnded(connection: string, end: ConnectionEnd): number {
    const whole = end.digest !== '' && end.channels.every(({ digest }) => digest !== '');
    if (whole) this.#unfinished.delete(connection);
    const channels = end.channels.slice(0, MAX_LEDGER_CHANNELS);
    const reason = end.reason.slice(0, 1_000);
    const record = { connection, digest: end.digest, channels, reason };
    return this.#put(KINDS['ledger-end'], encodeJson(record));
  }

  /** Notes the head of the audit log after a commit. */
  auditHead(commit: number, digest: string): number {
    return this.#put(KINDS['audit-head'], encodeJson({ commit, digest }));
  }

  /** Notes what recovery made of a connection, or of the ledger, of an instance that is gone. */
  recovered(record: LedgerRecovered): number {
    return this.#put(KINDS['ledger-recovered'], encodeJson(record));
  }

  /** Goes on after a failure. */
  retry(): void {
    this.#writer.retry();
  }

  /** Resolves when all that was noted is in the kernel. */
  flushed(): Promise<void> {
    return new Promise((resolve) => this.whenWritten(this.#last, resolve));
  }

  /** Ends the ledger; undefined if a connection has no end, for then it is left to recovery. */
  async close(reason: string): Promise<ContainerEnd | undefined> {
    if (this.#unfinished.size === 0) return this.#writer.close({ reason });
    await this.#writer.abandon();
    return undefined;
  }

  #put(kind: number, payload: Buffer): number {
    this.#last = this.#writer.put(kind, DIRECTION.none, FATE.made, 0, payload);
    return this.#last;
  }

  #release(): void {
    this.#failed = false;
    const { written } = this.#writer;
    while (this.#waiting[0] !== undefined && this.#waiting[0].ordinal < written) {
      this.#waiting.shift()?.go();
    }
  }
}
