/**
 * The files of one channel, from the records of its container in their order: live behind a writer, after a crash, or in
 * a command that reads the trail. Given the same records it tells the same files with the same ids.
 */
import type { TransferDecoder, TransferOperation } from '../wire/transfer.ts';
import type { TrailRecord } from './block-decoder.ts';
import { FATE, KINDS } from './container.ts';
import { requestIn } from './describe-record.ts';
import type { FileRecord, FilesUndecoded } from './file-record.ts';
import { fileId } from './file-record.ts';
import { FileView } from './file-view.ts';
import { decodeHeader } from './header.ts';
import { decoderOf } from './transfer-decoders.ts';

export interface ChannelFilesEvents {
  /** `hashed`: its hash is known, or there is none to be had; else its content must be read (`hashContent`). */
  onFile(record: FileRecord, hashed: boolean): void;
  onOperation?(operation: TransferOperation, us: number): void;
  onUndecoded(event: FilesUndecoded): void;
}

export class ChannelFiles {
  readonly #view: FileView;
  #decoder: TransferDecoder | undefined;
  #stdin = 0;
  #stdout = 0;
  #us = 0;
  #wallUs = 0;

  constructor(connection: string, channel: number, events: ChannelFilesEvents) {
    let ordinal = 0;
    this.#view = new FileView({
      onFile: (draft, hashed) => {
        const file = fileId(connection, channel, ordinal);
        events.onFile({ ...draft, file, ordinal: ordinal++ }, hashed);
      },
      onOperation: (operation, us) => events.onOperation?.(operation, us),
      onUndecoded: (event) => events.onUndecoded(event),
    });
  }

  /** Whether a decoder follows the channel. */
  get isFollowed(): boolean {
    return this.#decoder !== undefined;
  }

  /** Microseconds since 1970 at 0 of the trail's clock, once its header was there. */
  get wallUs(): number {
    return this.#wallUs;
  }

  /** Of the last record. */
  get us(): number {
    return this.#us;
  }

  /** Takes the next record. */
  take(record: TrailRecord): void {
    const { kind, fate, payload, us } = record;
    this.#us = us;
    if (kind === KINDS.stdin) {
      if (fate !== FATE.withheld) this.#decoder?.push('stdin', payload, this.#stdin, us);
      this.#stdin += payload.length;
    } else if (kind === KINDS.stdout) {
      if (fate !== FATE.withheld) this.#decoder?.push('stdout', payload, this.#stdout, us);
      this.#stdout += payload.length;
    } else if (kind === KINDS['forward-request'] && fate !== FATE.withheld) {
      const request = requestIn(record);
      const begun = this.#stdin + this.#stdout > 0;
      // A request that was refused may be followed by another; once data flows the channel is what it is.
      if (request && !begun) this.#decoder = decoderOf(request, this.#view) ?? this.#decoder;
    } else if (kind === KINDS.header) {
      this.#wallUs = decodeHeader(payload).wallUs;
    }
  }

  /** There are no more records. */
  end(): void {
    this.#decoder?.end(this.#us);
    this.#view.end(this.#us);
  }
}
