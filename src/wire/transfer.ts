/**
 * What stands between the decoders of file transfers (`sftp.ts`, `scp.ts`) and whoever makes files of what they see
 * (`recording/files.ts`). A decoder is passive: it takes a copy of both streams of a channel in the order of the trail,
 * in any split, keeps positions rather than bytes, and never throws: when it has lost the thread it says `undecoded`
 * once and then nothing more.
 *
 * Paths are bytes, as the peer sent them. Times are microseconds of the connection. Offsets in a stream count from the
 * beginning of that stream in its container, so that content can be read back from there.
 */

/** `upload` crosses on stdin, from downstream to upstream; `download` on stdout, the way back. */
export type TransferDirection = 'upload' | 'download';

/** How a file was opened; for scp what its receiver does: write, create, truncate. */
export interface OpenFlags {
  readonly read: boolean;
  readonly write: boolean;
  /** Each write goes to the end, whatever offset it names. */
  readonly append: boolean;
  readonly create: boolean;
  readonly truncate: boolean;
  /** Opening fails if the file is there. */
  readonly exclusive: boolean;
}

/** The offset of a write to the end of a file that was opened with `append`. */
export const AT_END = -1;

/** Bytes of a file that lie together in a stream. Several are one message that did not cross in one piece. */
export interface Piece {
  readonly streamOffset: number;
  readonly length: number;
}

/** How an operation or a file ended, as the target said it. */
export interface TransferStatus {
  readonly ok: boolean;
  /** `ok`, `no such file`, `permission denied`, ...: the protocol's word, never a peer's text. */
  readonly word: string;
  /** What the peer said beside it, as bytes; may be empty. At most a few hundred bytes are kept. */
  readonly message: Buffer;
}

/** Something that moved no data: a rename, a refused open, a warning of scp. */
export interface TransferOperation {
  /** `rename`, `remove`, `mkdir`, `setstat`, `open`, `extended`, ... */
  readonly name: string;
  /** What it was about, in the order of the request. */
  readonly paths: readonly Buffer[];
  /** More of the request in the protocol's own words: `size 100`, `mode 644`, the name of an extension. */
  readonly detail: string;
  readonly status: TransferStatus;
}

/**
 * Hears what happens to files. `file` is a number that the decoder gives to each opening, never twice in a channel.
 * A file is told of in this order: `opened`, any of the others, `closed`.
 */
export interface TransferSink {
  opened(file: number, path: Buffer, flags: OpenFlags, us: number): void;

  /**
   * Bytes of a file pass by, in the order of their stream; whether they count is told later by `moved` or `lost`. The
   * bytes are a view that is good until this returns. `offset` is in the file, or AT_END.
   */
  passing(file: number, direction: TransferDirection, offset: number, bytes: Buffer): void;

  /** These bytes are now content of the file from `offset` on (upload: the target confirmed), or were read from there. */
  moved(
    file: number,
    direction: TransferDirection,
    offset: number,
    pieces: readonly Piece[],
    us: number,
  ): void;

  /**
   * What the file holds from `offset` on (AT_END: behind its end), for `length` bytes (Infinity: to any end), is not
   * known any more: a write failed or was never answered, another handle wrote there, or the target copied something.
   */
  lost(file: number, offset: number, length: number, us: number): void;

  /** The file was cut or extended to this size by the user. */
  resized(file: number, size: number, us: number): void;

  /** The target told the size of the file: by its attributes, or by a header of scp. */
  sized(file: number, size: number, us: number): void;

  /** A read from this offset met the end of the file: it is no longer than that. */
  ended(file: number, offset: number, us: number): void;

  /** Nothing more comes of this file. Files that are open when the channel ends are not closed: the sink knows. */
  closed(file: number, status: TransferStatus, us: number): void;

  operation(operation: TransferOperation, us: number): void;

  /** The decoder has lost the thread, or a limit; nothing follows. `why` is ours, on one line, without a peer's text. */
  undecoded(why: string, us: number): void;
}

/** The decoder of one channel. */
export interface TransferDecoder {
  /**
   * Takes bytes of one stream. `streamOffset` is where the first one stands in that stream of the container; it skips
   * what was recorded and not delivered.
   */
  push(stream: 'stdin' | 'stdout', bytes: Buffer, streamOffset: number, us: number): void;

  /** The channel has ended: what is unanswered will never be. */
  end(us: number): void;
}
