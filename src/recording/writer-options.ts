/** What the maker of a container gives to its writer. */
import type { AppError } from '../base/errors.ts';
import type { HeaderFields } from './header.ts';
import type { SigningKey } from './seal.ts';
import type { TrailFs } from './trail-fs.ts';
import type { WriteGate } from './write-gate.ts';

export interface WriterOptions {
  readonly path: string;
  readonly header: HeaderFields;
  readonly key: SigningKey;
  readonly gate: WriteGate;
  /** Microseconds, monotonic, of the connection. */
  readonly nowUs: () => number;
  /** Microseconds since 1970, UTC. */
  readonly wallUs: () => number;
  /** `written` has advanced. */
  readonly onWritten: () => void;
  /** Nothing is written any more, until `retry`; called once per failure. */
  readonly onError: (error: AppError) => void;
  /** Holds the file back: it is made only after `go` was called. Records are taken at once all the same. */
  readonly openAfter?: (go: () => void) => void;
  /** A checkpoint comes this long after the first record behind the last one; 10 s if absent. */
  readonly checkpointMs?: number;
  /** Data is synced this long after the first write behind the last sync; 1 s if absent, 0: at the end only. */
  readonly syncMs?: number;
  readonly fs?: TrailFs;
}

/** What a closed container ends in. */
export interface ContainerEnd {
  /** The chain value behind the last block: one digest for the whole file. */
  readonly digest: Buffer;
  readonly records: number;
}
