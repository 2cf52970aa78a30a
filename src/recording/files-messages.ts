/** What is said between a gate (`files-reader.ts`) and the thread that reads its trails for files (`files-thread.ts`). */
import type { FileMoved } from '../ops/facts.ts';

/** Marks a worker as that thread. */
export const FILES_THREAD = 'sallyport files';

export type ToThread =
  /** A channel that may move files; `key` is its name from now on. */
  | {
      readonly do: 'follow';
      readonly key: number;
      readonly connection: string;
      readonly channel: number;
      readonly path: string;
    }
  /** The trails of these have grown. */
  | { readonly do: 'read'; readonly keys: readonly number[] }
  /** No record from this ordinal on matters; without one, all that is there is all there will be. */
  | { readonly do: 'end'; readonly key: number; readonly records: number | null }
  /** The last batch was taken; the next may come. */
  | { readonly do: 'taken' };

export type FromThread =
  | {
      readonly is: 'file';
      readonly key: number;
      /** Payloads of the `file` records. */
      readonly payloads: readonly Uint8Array[];
      readonly fact: FileMoved;
    }
  | {
      readonly is: 'unknown';
      readonly key: number;
      readonly payload: Uint8Array;
      readonly why: string;
    }
  /** Everything of this channel has been told. */
  | { readonly is: 'ended'; readonly key: number };
