/**
 * Facts: what a session tells about itself, on its way to the rows (DESIGN part 5). A session writes no rows; it emits
 * facts, each with its connection and a sequence number, and the one writer applies them in order, any number of times
 * with the same result. Emitting never waits.
 */

export type ConnectionStatus = 'CONNECTED' | 'DISCONNECTED' | 'TERMINATED' | 'CRASHED';

/**
 * What a connection is for: `gate` is one that named no target and is answered by the gate itself (a jump, the list),
 * `target` one that has a target or named one.
 */
export type ConnectionKind = 'gate' | 'target';

/** All that is known of a connection when its user has logged in. Times are UTC in microseconds. */
export interface ConnectionStarted {
  readonly kind: 'connection-started';
  readonly instance: string;
  readonly userId: string;
  readonly user: string;
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly clientVersion: string;
  /** `publickey`, `password` or `keyboard-interactive`. */
  readonly authMethod: string;
  /** SHA-256 fingerprint of the key that signed, or empty. */
  readonly keyFingerprint: string;
  readonly loginName: string;
  readonly startedAt: number;
  /** Left out by gates of before, where it was always `target`. */
  readonly connectionKind?: ConnectionKind;
  /** The connection that this one came through; left out where it came to the port. */
  readonly parent?: string;
}

/** Where it goes, once that is decided. */
export interface DestinationChosen {
  readonly kind: 'destination-chosen';
  readonly targetId: string;
  readonly target: string;
  readonly accountId: string;
  readonly account: string;
  readonly address: string;
  readonly port: number;
  readonly rule: string;
}

/** What the two ends of a leg agreed on in their first key exchange; names as in RFC 4253 section 7.1. */
export interface LegAlgorithms {
  readonly kex: string;
  /** The signature by which the server's side proved its host key. */
  readonly hostKey: string;
  readonly clientToServer: CipherAndMac;
  readonly serverToClient: CipherAndMac;
}

export interface CipherAndMac {
  readonly cipher: string;
  /** Empty for a cipher that needs none. */
  readonly mac: string;
}

/** The keys of a leg are agreed on. */
export interface LegNegotiated {
  readonly kind: 'leg-negotiated';
  readonly leg: 'downstream' | 'upstream';
  readonly algorithms: LegAlgorithms;
}

export interface ChannelOpened {
  readonly kind: 'channel-opened';
  readonly channel: number;
  /** `session` until a request makes it `shell`, `exec`, `sftp`, ... */
  readonly type: string;
  readonly openedAt: number;
}

/** A later word on a channel: its kind and command once requested. */
export interface ChannelChanged {
  readonly kind: 'channel-changed';
  readonly channel: number;
  readonly type: string;
  /** Command or subsystem as text; bytes that are not UTF-8 are escaped as `\xNN`. */
  readonly command: string;
}

/** A channel that leads elsewhere, known with its open. */
export interface ChannelForwards {
  readonly kind: 'channel-forwards';
  readonly channel: number;
  /** `local-forward`, `remote-forward`, `streamlocal`, `x11`, `agent`, `tun`. */
  readonly type: string;
  /** As the target sees it: `host:port` or a path; escaped as `\xNN` where it is not UTF-8. */
  readonly destination: string;
  readonly originator: string;
}

/** The first bytes of a forward have said what it carries. */
export interface ChannelCarries {
  readonly kind: 'channel-carries';
  readonly channel: number;
  /** `ssh`, `tls`, `http`, `postgres` or `other`. */
  readonly protocol: string;
}

export interface ChannelEnded {
  readonly kind: 'channel-ended';
  readonly channel: number;
  readonly endedAt: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** `exit 0`, `signal TERM`, `refused: <why>`, `closed`, ... */
  readonly end: string;
}

export interface ConnectionEnded {
  readonly kind: 'connection-ended';
  readonly status: Exclude<ConnectionStatus, 'CONNECTED'>;
  readonly reason: string;
  readonly endedAt: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** `accept-new` saw the first key of a target: to be pinned as a commit of its own. */
export interface HostKeyLearned {
  readonly kind: 'host-key-learned';
  readonly targetId: string;
  readonly target: string;
  /** `type base64`. */
  readonly hostKey: string;
}

/** A file that crossed, known when it was closed. It is one row by its id, however often it is told. */
export interface FileMoved {
  readonly kind: 'file-moved';
  readonly file: string;
  readonly channel: number;
  readonly ordinal: number;
  /** As printable text; bytes that are none are escaped as `\xNN`. */
  readonly path: string;
  readonly direction: 'upload' | 'download';
  readonly flags: string;
  readonly size: number | null;
  readonly moved: number;
  readonly whole: boolean;
  /** Of the whole file, or of what crossed of it; null if that cannot be read any more. */
  readonly sha256: string | null;
  /** `ok`, `failed`, `interrupted`, `undecoded`. */
  readonly status: string;
  readonly error: string;
  readonly openedAt: number;
  readonly closedAt: number;
}

/** The files of a channel are not all known, and why. */
export interface FilesUnknown {
  readonly kind: 'files-unknown';
  /** The id of the row that says so. */
  readonly file: string;
  readonly channel: number;
  readonly why: string;
  readonly at: number;
}

/** What is told of the files of a channel. */
export type FileFact = FileMoved | FilesUnknown;

export type FactValue =
  | ConnectionStarted
  | DestinationChosen
  | LegNegotiated
  | ChannelOpened
  | ChannelChanged
  | ChannelForwards
  | ChannelCarries
  | ChannelEnded
  | ConnectionEnded
  | HostKeyLearned
  | FileFact;

/** Facts that stand in a channel's trail, not in the connection's: they have no place in its sequence. */
export const UNNUMBERED = -1;

export interface Fact {
  readonly connection: string;
  /** From 0, without a gap, per connection; UNNUMBERED for files. */
  readonly sequence: number;
  readonly value: FactValue;
}

/** Where sessions put their facts. `emit` returns at once and keeps the order. */
export interface FactSink {
  /** So many wait that nobody new should be let in. */
  readonly full: boolean;
  /** How many wait to become rows. */
  readonly pending: number;
  emit(fact: Fact): void;
}
