/**
 * The container: the file that holds a trail, format version 1. This document is the format; `etc/trail-reader.py`
 * reads files by it alone, and a test holds the two together. Numbers are unsigned and big-endian; `µs` is
 * microseconds on the monotonic clock of the connection, `wall µs` microseconds since 1970 UTC.
 *
 * A FILE is a sequence of blocks without gaps; nothing precedes, follows or separates them. A block is what one
 * `writev` carried: 1 to 256 records with at most 1 MiB of payload in all.
 *
 *   BLOCK                             STORAGE PART: not chained; each field follows from the rest of the file
 *     0   4  magic "SALB"
 *     4   4  CRC-32 (IEEE, as in zlib) of the bytes from 8 to the end of the record heads
 *     8   4  length of the whole block
 *    12   1  codec of the stored area: 0 plain; 1 is kept for "some records blanked" (then one byte before each
 *            record, 0: nothing follows, 1: salt and payload follow); others for compression and encryption
 *    13   3  zero
 *    16   8  position of this block in the file
 *    24   8  position of the block before it; 2^64-1: none
 *    32   8  position of the block of the checkpoint before it; 2^64-1: none
 *    40  32  SHA-256 of the stored area if the codec is not 0, else zero
 *                                     CHAINED PART, to the end of the record heads
 *    72   8  ordinal of the first record in the file, from 0
 *    80   8  µs of the first record
 *    88   8  µs of the last record; never decreases within a file
 *    96   8  bytes of `stdin` payload in the file before this block
 *   104   8  the same for `stdout`
 *   112   8  the same for `stderr`
 *   120   4  number of records n, 1 to 256
 *   124   4  zero
 *   128 48n  record heads
 *            stored area, to the end of the block; plain: for each record 16 bytes of salt, then its payload
 *
 *   RECORD HEAD
 *     0   1  kind, see KINDS
 *     1   1  direction: 0 none, 1 downstream to upstream, 2 upstream to downstream
 *     2   1  fate: 1 passed on, 2 withheld, 3 made by the gate, 4 held (recorded before upstream was there)
 *     3   1  code: why it was withheld or made, see CODES; 0 if there is nothing to say
 *     4   4  length of the payload, at most 262,144
 *     8   8  µs
 *    16  32  commitment: SHA-256(salt, payload)
 *
 *   CHAIN      c(n) = SHA-256(c(n-1), chained part of block n); before the first block c is 32 zero bytes.
 *              Salt and payload are outside the chain, so they can be compressed, encrypted or blanked later and all
 *              else still verifies. The random salt keeps a short payload from being guessed from its commitment.
 *
 *   HEADER     The first record of every file, JSON in UTF-8: `format` 1; `container` connection, channel or ledger;
 *              `instance` UUID; `connection` UUID or ""; `channel` ordinal or null; `wallUs` wall µs at µs 0; `keyId`
 *              hex id of the signing key; `connectionHeader` hex header digest of the connection's container, for a
 *              channel, else ""; `data` whatever rebuilding the rows needs. Header digest: SHA-256 of this payload.
 *
 *   CHECKPOINT The only record of its block; direction 0, fate 3, code = flag, salt zero. Payload:
 *     0  32  chain value before this block
 *    32   8  number of records before this block
 *    40   8  µs, equal to the record head's
 *    48   8  wall µs
 *    56   1  flag: 0 live, 1 final (nothing follows), 2 recovered (written after a crash; nothing follows)
 *    57   7  zero
 *    64  32  id of the key: SHA-256 of the raw 32-byte Ed25519 public key
 *    96  16  instance that signs: the header's, or for flag 2 the one that recovered
 *   112  32  header digest of this file
 *   144  24  stdin, stdout, stderr offsets, equal to the block head's
 *   168   4  length of the detail
 *   172      detail, JSON: live `{}`; final `{reason, ...}`; recovered `{reason, instance, live: {position, us} or null,
 *            recordsAfter, tailBytes, tailSha256}`: what the last live checkpoint left unsigned, and what was cut
 *         64 Ed25519 signature of "sallyport checkpoint v1", a zero byte, and all of the payload before it
 *
 * Payloads: `stdin`, `stdout`, `stderr` are the data bytes alone; requests, replies, opens, `window`, `eof`, `close`,
 * `extended-data`, `other` the whole SSH message from its message number on; `note`, `login`, `policy`, `transport`,
 * `file`, `channel-digest`, `ledger-*`, `audit-head` JSON in UTF-8. A reply is named by the direction it travels.
 *
 *   file             in a channel's container, once a file that crossed it is closed: `{file, ordinal, decoder?, path,
 *                    path64?, direction, flags, openedUs, closedUs, status, error?, size, moved, appended?, sha256 | sha256_moved,
 *                    dropped?, parts?, extents}`. `sha256` is of the whole file, else `sha256_moved` of the extents one
 *                    after the other. An extent is `[offset, length, at]` or, for `count` pieces of `length` bytes that
 *                    follow each other in the file and lie `stride` apart in the stream, `[offset, length, at, count,
 *                    stride]`; `at` counts in stdin for an upload, in stdout for a download. `{file, part, extents}`
 *                    goes on where `parts` says so; `{undecoded, us}`: what follows is not told as files
 *   channel-digest   `{channel, digest}` in a connection's container: final chain value of that channel, hexadecimal;
 *                    of several for one channel the last counts; "" if the channel could not be ended
 *   ledger-start     `{connection, header}`: header digest, noted before the connection's file is made
 *   ledger-end       `{connection, digest, channels: [{channel, digest}], reason}`
 *   ledger-recovered `{connection, instance, absent, digest, channels}` or `{ledger, digest}`, by a later instance
 *   audit-head       `{commit, digest}`: head of the audit log after a commit
 *   A ledger's header has in `data.ledgers` `[{instance, digest}]`: those before it, "" if still open at that time.
 *
 * This file is the codec of heads. It does no I/O, throws nothing but ProtocolError, and allocates nothing by a number
 * that it has not checked.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { ProtocolError } from '../base/errors.ts';

export const FORMAT_VERSION = 1;
export const MAGIC = 0x53414c42;
export const BLOCK_HEAD = 128;
export const RECORD_HEAD = 48;
export const SALT = 16;
/** Where the chained part of a block begins. */
export const CHAINED_FROM = 72;
export const MAX_RECORDS = 256;
export const MAX_PAYLOAD = 256 * 1024;
export const MAX_BLOCK_PAYLOAD = 1024 * 1024;
/** No block is longer; a reader needs no larger buffer. */
export const MAX_BLOCK = BLOCK_HEAD + MAX_RECORDS * (RECORD_HEAD + SALT) + MAX_BLOCK_PAYLOAD;
/** No head with its record heads is longer. */
export const MAX_HEADS = BLOCK_HEAD + MAX_RECORDS * RECORD_HEAD;

/** Kinds of records. Numbers are for ever; gaps are for kinds to come. */
export const KINDS = {
  header: 1,
  checkpoint: 2,
  note: 3,
  stdin: 16,
  stdout: 17,
  stderr: 18,
  'extended-data': 19,
  'forward-request': 32,
  'reverse-request': 33,
  'forward-reply': 34,
  'reverse-reply': 35,
  'forward-global-request': 40,
  'reverse-global-request': 41,
  'forward-global-reply': 42,
  'reverse-global-reply': 43,
  'forward-new-channel-request': 48,
  'reverse-new-channel-request': 49,
  'forward-new-channel-reply': 50,
  'reverse-new-channel-reply': 51,
  window: 64,
  eof: 65,
  close: 66,
  login: 80,
  policy: 81,
  transport: 82,
  file: 96,
  'channel-digest': 97,
  'ledger-start': 112,
  'ledger-end': 113,
  'ledger-recovered': 114,
  'audit-head': 115,
  other: 127,
} as const;
export type KindName = keyof typeof KINDS;

const KIND_NAMES = new Map<number, KindName>(
  (Object.keys(KINDS) as KindName[]).map((name) => [KINDS[name], name]),
);

/** The name of a kind; one that this version does not know is `kind-<number>`. */
export function kindName(kind: number): KindName | `kind-${number}` {
  return KIND_NAMES.get(kind) ?? `kind-${kind}`;
}

/** `up` is downstream to upstream, `down` the way back. */
export const DIRECTION = { none: 0, up: 1, down: 2 } as const;

export const FATE = { passed: 1, withheld: 2, made: 3, held: 4 } as const;
const FATE_NAMES = ['', 'passed', 'withheld', 'made', 'held'] as const;

export function fateName(fate: number): string {
  return FATE_NAMES[fate] ?? `fate-${fate}`;
}

/** Why a record was withheld or made. */
export const CODES = {
  none: 0,
  /** A rule, or the absence of one, refused it. */
  policy: 1,
  /** Of an unknown kind, and nothing says that it may pass. */
  unknown: 2,
  /** Over a limit of size, count or state. */
  limit: 3,
  /** Concerns one leg alone: keepalives, extensions, windows of the gate. */
  leg: 4,
  /** Made or swallowed while a session that began at the gate was joined to upstream. */
  splice: 5,
  /** Upstream could not be reached or logged in to. */
  upstream: 6,
  /** The gate itself is the other end: a jump. */
  gate: 7,
} as const;

/** Stands for "none" where a position is stored as 2^64-1. */
export const NONE = -1;

export interface BlockHead {
  readonly length: number;
  readonly codec: number;
  readonly position: number;
  /** Positions; NONE if there is no such block. */
  readonly previous: number;
  readonly previousCheckpoint: number;
  readonly firstOrdinal: number;
  readonly firstUs: number;
  readonly lastUs: number;
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
  readonly count: number;
}

export interface RecordHead {
  readonly kind: number;
  readonly direction: number;
  readonly fate: number;
  readonly code: number;
  readonly length: number;
  readonly us: number;
  readonly commitment: Buffer;
}

const TWO32 = 0x1_0000_0000;

/** Writes a number below 2^53 as 8 bytes; NONE as 2^64-1. */
export function setUint64(view: DataView, at: number, value: number): void {
  if (value === NONE) {
    view.setUint32(at, 0xffffffff);
    view.setUint32(at + 4, 0xffffffff);
  } else {
    view.setUint32(at, Math.floor(value / TWO32));
    view.setUint32(at + 4, value >>> 0);
  }
}

/** Reads 8 bytes as a number; refuses what a number cannot hold exactly. */
export function getUint64(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32BE(at) * TWO32 + bytes.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw new ProtocolError(`number too large at byte ${at}`);
  return value;
}

function getPosition(bytes: Buffer, at: number): number {
  const none = bytes.readUInt32BE(at) === 0xffffffff && bytes.readUInt32BE(at + 4) === 0xffffffff;
  return none ? NONE : getUint64(bytes, at);
}

function isZero(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** Parses the 128 bytes of a block head and checks all that can be checked without the rest of the block. */
export function readBlockHead(bytes: Buffer): BlockHead {
  if (bytes.length < BLOCK_HEAD) throw new ProtocolError('block head is cut');
  if (bytes.readUInt32BE(0) !== MAGIC) throw new ProtocolError('no block here: magic is wrong');
  const codec = bytes.readUInt8(12);
  if (codec !== 0) throw new ProtocolError(`codec ${codec} is not known to this version`);
  if (!isZero(bytes, 13, 16) || !isZero(bytes, 40, CHAINED_FROM) || !isZero(bytes, 124, 128)) {
    throw new ProtocolError('reserved bytes of a block head are not zero');
  }
  const length = bytes.readUInt32BE(8);
  const count = bytes.readUInt32BE(120);
  if (count < 1 || count > MAX_RECORDS) throw new ProtocolError(`block with ${count} records`);
  const least = BLOCK_HEAD + count * (RECORD_HEAD + SALT);
  if (length < least || length > least + MAX_BLOCK_PAYLOAD) {
    throw new ProtocolError(`block of ${length} bytes with ${count} records`);
  }
  return {
    length,
    codec,
    position: getUint64(bytes, 16),
    previous: getPosition(bytes, 24),
    previousCheckpoint: getPosition(bytes, 32),
    firstOrdinal: getUint64(bytes, 72),
    firstUs: getUint64(bytes, 80),
    lastUs: getUint64(bytes, 88),
    stdin: getUint64(bytes, 96),
    stdout: getUint64(bytes, 104),
    stderr: getUint64(bytes, 112),
    count,
  };
}

/** The length of a block's head with its record heads. */
export function headsLength(head: BlockHead): number {
  return BLOCK_HEAD + head.count * RECORD_HEAD;
}

/**
 * Parses the record heads that follow a block head and checks them against it: CRC, kinds, lengths, times. `heads`
 * holds at least `headsLength(head)` bytes from the beginning of the block; commitments are views into it.
 */
export function readRecordHeads(head: BlockHead, heads: Buffer): RecordHead[] {
  const end = headsLength(head);
  if (heads.length < end) throw new ProtocolError('record heads are cut');
  if (crc32(heads.subarray(8, end)) !== heads.readUInt32BE(4)) {
    throw new ProtocolError(`checksum of the block at ${head.position} is wrong`);
  }
  const records: RecordHead[] = [];
  let us = head.firstUs;
  let stored = 0;
  for (let at = BLOCK_HEAD; at < end; at += RECORD_HEAD) {
    const record: RecordHead = {
      kind: heads.readUInt8(at),
      direction: heads.readUInt8(at + 1),
      fate: heads.readUInt8(at + 2),
      code: heads.readUInt8(at + 3),
      length: heads.readUInt32BE(at + 4),
      us: getUint64(heads, at + 8),
      commitment: heads.subarray(at + 16, at + RECORD_HEAD),
    };
    if (record.kind === 0 || record.direction > 2 || record.fate < 1 || record.fate > 4) {
      throw new ProtocolError('kind, direction or fate of a record is out of range');
    }
    if (record.length > MAX_PAYLOAD) throw new ProtocolError(`record of ${record.length} bytes`);
    if (record.us < us) throw new ProtocolError('time runs backwards');
    us = record.us;
    stored += SALT + record.length;
    records.push(record);
  }
  if (records[0]?.us !== head.firstUs || us !== head.lastUs) {
    throw new ProtocolError('times of a block and of its records differ');
  }
  if (end + stored !== head.length) throw new ProtocolError('length of a block is not its records');
  return records;
}

/** The chain value after a block, from the value before it and the block's heads; hexadecimal, as all of them. */
export function chainOf(before: string, heads: Buffer, end: number): string {
  const hash = createHash('sha256').update(before, 'hex');
  return hash.update(heads.subarray(CHAINED_FROM, end)).digest('hex');
}

/** The chain value before the first block. */
export const EMPTY_CHAIN = '0'.repeat(64);
