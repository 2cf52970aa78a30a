/**
 * The files of channels that a crash left: read from their trails once the gate serves again, for the rows alone. No
 * record of them goes into a trail: its writer is gone, and recovery does not vouch for what it did not see. If this is
 * interrupted the trails still tell them (`sallyport files`), and reindexing makes the rows.
 */
import { UNNUMBERED } from '../ops/facts.ts';
import type { FactSink, FileFact } from '../ops/facts.ts';
import { unknownFact } from './file-fact.ts';
import type { FilesReader } from './files-reader.ts';
import type { Storage } from './storage.ts';

export interface RecoverFilesOptions {
  readonly files: FilesReader;
  readonly storage: Storage;
  readonly facts: FactSink;
  readonly wallUs: () => number;
}

/** Has the files of these channels told to the rows; returns at once. */
export function recoverFiles(
  channels: readonly { readonly connection: string; readonly channel: number }[],
  { files, storage, facts, wallUs }: RecoverFilesOptions,
): void {
  for (const { connection, channel } of channels) {
    const emit = (value: FileFact): void => facts.emit({ connection, sequence: UNNUMBERED, value });
    files.follow({
      connection,
      channel,
      path: storage.channelPath(connection, channel),
      written: undefined,
      owner: {
        onFile: (_payloads, fact) => emit(fact),
        onUnknown: (_payload, why) => emit(unknownFact(connection, channel, why, wallUs())),
      },
    });
  }
}
