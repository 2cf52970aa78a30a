/**
 * Verifies one container with public keys alone: no database, no network, no clock. The answer is one of five states.
 *
 *   complete   ends with a final checkpoint; everything before it is signed
 *   recovered  the process died; recovery ended the file and says how much lies after the last live signature
 *   open       is being written, and the caller says that its writer lives
 *   cut        has signatures, but neither an end nor a living writer
 *   bad        something is not as it was written, or nothing vouches for it
 */
import { z } from '../config/schema.ts';
import { ProtocolError } from '../base/errors.ts';
import type { TrailRecord } from './block-decoder.ts';
import { recordsOf } from './block-decoder.ts';
import type { PlacedCheckpoint } from './block-follower.ts';
import { BlockFollower } from './block-follower.ts';
import { FLAG } from './checkpoint.ts';
import type { TrailHeader } from './header.ts';
import { TrailFile } from './reader.ts';
import type { PublicKeys } from './seal.ts';

export type TrailState = 'complete' | 'recovered' | 'open' | 'cut' | 'bad';

export interface TrailReport {
  readonly path: string;
  readonly state: TrailState;
  /** Why it is bad or cut, or how it ended; one line. */
  readonly reason: string;
  /** Undefined if the first block was not there or not valid. */
  readonly header: TrailHeader | undefined;
  /** Hexadecimal, empty without a header. */
  readonly headerDigest: string;
  /** The chain value behind the last whole block, hexadecimal: what ledgers name. */
  readonly digest: string;
  readonly records: number;
  /** Bytes in whole blocks, and behind them. */
  readonly bytes: number;
  readonly tailBytes: number;
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
  /** Of the last record. */
  readonly lastUs: number;
  readonly lastCheckpoint: PlacedCheckpoint | undefined;
  readonly recordsAfterLastLive: number;
}

export interface VerifyOptions {
  /** Its writer lives, so that it may lack an end. */
  readonly live?: boolean;
  /** Sees each record of the blocks that were accepted. */
  readonly onRecord?: (record: TrailRecord) => void;
  /** Bytes done, once per block. */
  readonly onProgress?: (bytes: number) => void;
}

/** What the detail of a `recovered` checkpoint says; see `container.ts`. */
export const recoveredDetail = z.looseObject({
  reason: z.string(),
  live: z.union([z.null(), z.strictObject({ position: z.int(), us: z.int() })]),
  recordsAfter: z.int().nonnegative(),
  tailBytes: z.int().nonnegative(),
  tailSha256: z.string(),
});

/** How the bytes behind the last good block look. */
export type Tail =
  { readonly kind: 'none' | 'torn' } | { readonly kind: 'damaged'; readonly reason: string };

/** Feeds a file's blocks to a follower until they end, or one is not as it must be. */
export async function followTrail(
  file: TrailFile,
  follower: BlockFollower,
  options: Pick<VerifyOptions, 'onRecord' | 'onProgress'> = {},
): Promise<Tail> {
  const { onRecord, onProgress } = options;
  try {
    for await (const block of file.blocks()) {
      follower.accept(block);
      if (onRecord) for (const record of recordsOf(block)) onRecord(record);
      onProgress?.(follower.state.position);
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { kind: 'damaged', reason: error.message };
  }
  return { kind: (await file.size()) > follower.state.position ? 'torn' : 'none' };
}

/** Verifies one file; throws only if it cannot be read at all. */
export async function verifyTrail(
  path: string,
  keys: PublicKeys,
  options: VerifyOptions = {},
): Promise<TrailReport> {
  const file = await TrailFile.open(path);
  try {
    const follower = new BlockFollower(keys);
    const tail = await followTrail(file, follower, options);
    const { state } = follower;
    return {
      path,
      ...judge(follower, tail, options.live ?? false),
      header: follower.header,
      headerDigest: follower.headerDigest.toString('hex'),
      digest: state.chain,
      records: state.ordinal,
      bytes: state.position,
      tailBytes: Math.max(0, (await file.size()) - state.position),
      stdin: state.stdin,
      stdout: state.stdout,
      stderr: state.stderr,
      lastUs: follower.lastUs,
      lastCheckpoint: follower.end ?? follower.lastLive,
      recordsAfterLastLive: follower.recordsAfterLastLive,
    };
  } finally {
    await file.close();
  }
}

type Verdict = Pick<TrailReport, 'state' | 'reason'>;

function judge(follower: BlockFollower, tail: Tail, live: boolean): Verdict {
  const { end, lastLive, header } = follower;
  if (tail.kind === 'damaged') return { state: 'bad', reason: tail.reason };
  if (end !== undefined) {
    if (tail.kind !== 'none') return { state: 'bad', reason: 'bytes follow the end of the trail' };
    return end.checkpoint.flag === FLAG.final
      ? { state: 'complete', reason: reasonIn(end) }
      : judgeRecovered(follower, end);
  }
  if (live) return { state: 'open', reason: 'still being written' };
  if (header === undefined) return { state: 'bad', reason: 'nothing whole is in it' };
  if (lastLive === undefined) return { state: 'bad', reason: 'unsigned: it has no checkpoint' };
  return {
    state: 'cut',
    reason: `it has no end; ${follower.recordsAfterLastLive} records unsigned`,
  };
}

/** A recovered checkpoint must tell the truth about what it found. */
function judgeRecovered(follower: BlockFollower, end: PlacedCheckpoint): Verdict {
  const detail = recoveredDetail.safeParse(end.checkpoint.detail);
  const { lastLive, recordsAfterLastLive } = follower;
  const truthful =
    detail.success &&
    detail.data.recordsAfter === recordsAfterLastLive &&
    (detail.data.live?.position ?? -1) === (lastLive?.position ?? -1) &&
    (detail.data.live?.us ?? -1) === (lastLive?.checkpoint.us ?? -1);
  if (!truthful) return { state: 'bad', reason: 'the recovered checkpoint does not fit the trail' };
  return { state: 'recovered', reason: reasonIn(end) };
}

function reasonIn(end: PlacedCheckpoint): string {
  const detail = z.looseObject({ reason: z.string() }).safeParse(end.checkpoint.detail);
  return detail.success ? detail.data.reason : '';
}
