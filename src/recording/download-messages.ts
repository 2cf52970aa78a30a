/** What is said between a gate (`downloads.ts`) and the thread that reads trails for others (`download-thread.ts`). */

/** Marks a worker as that thread. */
export const DOWNLOAD_THREAD = 'sallyport downloads';

/** A container and the name it gets in an archive. */
export interface ContainerPlace {
  readonly path: string;
  readonly name: string;
  /** It is being written. */
  readonly live: boolean;
}

/** A range as it was asked for, before anybody knows how long the content is: the last `suffix` bytes, or from `first`. */
export type AskedRange =
  | { readonly suffix: number }
  | {
      readonly first: number;
      /** Included; undefined: to the end. */
      readonly last: number | undefined;
    };

/** The bytes from `from` to before `to`. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** What is wanted. */
export type Wanted =
  | { readonly what: 'container'; readonly place: ContainerPlace }
  | { readonly what: 'archive'; readonly places: readonly ContainerPlace[] }
  | { readonly what: 'export'; readonly path: string; readonly format: string }
  | {
      readonly what: 'file';
      readonly path: string;
      readonly connection: string;
      readonly channel: number;
      readonly live: boolean;
      readonly file: string;
      /** Of the content; all of it without. */
      readonly range: AskedRange | undefined;
      /** Zeros where nothing crossed; else a file with holes is refused. */
      readonly holes: boolean;
    };

export type ToDownloads =
  | { readonly do: 'begin'; readonly key: number; readonly wanted: Wanted }
  | { readonly do: 'next'; readonly key: number }
  | { readonly do: 'drop'; readonly key: number };

export type FromDownloads =
  | {
      /** There it is. */
      readonly is: 'ready';
      readonly key: number;
      /** Bytes of all of it, if that is known before it is read. */
      readonly size: number | undefined;
      /** The bytes that come, where a range was asked for; empty if none of them is there. */
      readonly range: ByteRange | undefined;
    }
  | { readonly is: 'piece'; readonly key: number; readonly bytes: Uint8Array }
  | { readonly is: 'end'; readonly key: number }
  | {
      readonly is: 'failed';
      readonly key: number;
      /** A code of `base/errors.ts`. */
      readonly code: string;
      readonly text: string;
    };
