/**
 * Ends one container whose writer is gone. What is whole and fits is kept, the torn tail is cut, and a `recovered`
 * checkpoint says what the last live one had signed and what the cut bytes were (their digest), so that nobody takes
 * recovery's signature for the word of the writer.
 *
 * It never cuts what somebody signed: if anything behind the damage carries a good signature for this file, or the
 * file has an end that does not fit, the file stays as it is, and the verifier calls it bad. Doing it twice, or after a
 * crash in the middle, is as good as doing it once.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, unlink } from 'node:fs/promises';
import { ProtocolError } from '../base/errors.ts';
import type { Pending } from './block-builder.ts';
import { buildBlock, buildCheckpoint } from './block-builder.ts';
import type { TrailRecord } from './block-decoder.ts';
import { BlockDecoder, saltedOf } from './block-decoder.ts';
import { BlockFollower } from './block-follower.ts';
import { FLAG, readCheckpoint } from './checkpoint.ts';
import { DIRECTION, FATE, KINDS, MAX_BLOCK, MAX_RECORDS, SALT } from './container.ts';
import type { TrailHeader } from './header.ts';
import { TrailFile } from './reader.ts';
import type { PublicKeys, SigningKey } from './seal.ts';
import { followTrail } from './verify-trail.ts';
import type { WriteGate } from './write-gate.ts';

export interface RecoverOptions {
  readonly path: string;
  readonly keys: PublicKeys;
  readonly key: SigningKey;
  /** The instance that recovers, which signs. */
  readonly instance: string;
  /** Microseconds since 1970, UTC. */
  readonly wallUs: () => number;
  /** Lends the buffer in which the end is built. */
  readonly gate: WriteGate;
  /** Goes into the detail of the checkpoint. */
  readonly reason: string;
  /** Whether the header is the one that belongs here; recovery signs no other. */
  readonly expect: (header: TrailHeader) => boolean;
  /** The header's digest, hexadecimal, where it is known. */
  readonly headerDigest?: string;
  readonly onRecord?: (record: TrailRecord) => void;
  /** Records to add before the end is signed; asked only if the container had no end. */
  readonly add?: () => readonly { readonly kind: number; readonly payload: Buffer }[];
}

/**
 * `recovered` now or before, `complete` (it had its end), `absent` (there was no whole block; the file is removed), or
 * `damaged` (left alone).
 */
export interface RecoveredContainer {
  readonly outcome: 'recovered' | 'complete' | 'absent' | 'damaged';
  /** Hexadecimal; empty unless it has an end. */
  readonly digest: string;
  /** What was followed: header, offsets, times. */
  readonly follower: BlockFollower;
}

export async function recoverContainer(options: RecoverOptions): Promise<RecoveredContainer> {
  const { path, keys } = options;
  const follower = new BlockFollower(keys);
  let file: TrailFile;
  try {
    file = await TrailFile.open(path);
  } catch (error) {
    if (!(error instanceof Error && isCode(error.cause, 'ENOENT'))) throw error;
    return { outcome: 'absent', digest: '', follower };
  }
  try {
    const tail = await followTrail(file, follower, options);
    const from = follower.state.position;
    if (follower.end !== undefined) {
      const recovered = follower.end.checkpoint.flag === FLAG.recovered;
      // A crash between writing the end and cutting what was longer than it.
      if (tail.kind !== 'none' && recovered) await truncate(path, from);
      else if (tail.kind !== 'none') return { outcome: 'damaged', digest: '', follower };
      const outcome = recovered ? 'recovered' : 'complete';
      return { outcome, digest: follower.state.chain, follower };
    }
    if (follower.header === undefined) {
      // No record was whole, so nothing was delivered. Bytes that never were ours are not removed, though.
      if (tail.kind === 'damaged') return { outcome: 'damaged', digest: '', follower };
      await unlink(path);
      return { outcome: 'absent', digest: '', follower };
    }
    const known = options.headerDigest ?? follower.headerDigest.toString('hex');
    const own = options.expect(follower.header) && known === follower.headerDigest.toString('hex');
    if (!own) return { outcome: 'damaged', digest: '', follower };
    if (tail.kind === 'damaged' && (await signedBeyond(file, from, follower, keys))) {
      return { outcome: 'damaged', digest: '', follower };
    }
    await append(options, file, follower);
    return { outcome: 'recovered', digest: follower.state.chain, follower };
  } finally {
    await file.close();
  }
}

/** Writes the end over the torn tail and cuts what of it is longer. */
async function append(
  options: RecoverOptions,
  file: TrailFile,
  follower: BlockFollower,
): Promise<void> {
  const { state, lastLive } = follower;
  const from = state.position;
  const tail = await digestFrom(file, from);
  const us = follower.lastUs;
  const made = { direction: DIRECTION.none, fate: FATE.made, code: 0, us };
  const added: Pending[] = (options.add?.() ?? []).map((record) => ({ ...made, ...record }));
  const { gate } = options;
  const scratch = gate.takeScratch();
  const blocks: Buffer[] = [];
  for (let i = 0; i < added.length; i += MAX_RECORDS) {
    const to = Math.min(added.length, i + MAX_RECORDS);
    const length = buildBlock(state, added, i, to, scratch, gate);
    blocks.push(Buffer.from(scratch.bytes.subarray(0, length)));
  }
  const detail = {
    reason: options.reason,
    instance: options.instance,
    live: lastLive ? { position: lastLive.position, us: lastLive.checkpoint.us } : null,
    recordsAfter: follower.recordsAfterLastLive,
    tailBytes: tail.bytes,
    tailSha256: tail.sha256,
  };
  const end: Pending = {
    ...made,
    kind: KINDS.checkpoint,
    code: FLAG.recovered,
    payload: Buffer.from(JSON.stringify(detail)),
  };
  const { headerDigest } = follower;
  const signer = { key: options.key, instance: options.instance, headerDigest };
  const length = buildCheckpoint(state, end, { ...signer, wallUs: options.wallUs }, scratch, gate);
  blocks.push(Buffer.from(scratch.bytes.subarray(0, length)));
  gate.giveScratch(scratch);
  const writable = await openToWrite(options.path);
  try {
    await writeAll(writable, Buffer.concat(blocks), from);
    await writable.truncate(state.position);
    await writable.datasync();
  } finally {
    await writable.close();
  }
}

function openToWrite(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_NOFOLLOW);
}

async function truncate(path: string, length: number): Promise<void> {
  const file = await openToWrite(path);
  try {
    await file.truncate(length);
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw new Error('nothing was written');
    done += bytesWritten;
  }
}

async function digestFrom(
  file: TrailFile,
  from: number,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let at = from;
  for (;;) {
    const bytes = await file.read(at, MAX_BLOCK);
    if (bytes.length === 0) return { bytes: at - from, sha256: hash.digest('hex') };
    hash.update(bytes);
    at += bytes.length;
  }
}

/** Live checkpoints are far shorter than this. */
const OVERLAP = 64 * 1024;

/** Whether a checkpoint of this very file, with a good signature, stands anywhere behind `from`. */
async function signedBeyond(
  file: TrailFile,
  from: number,
  follower: BlockFollower,
  keys: PublicKeys,
): Promise<boolean> {
  for (let at = from; ; at += MAX_BLOCK) {
    const window = await file.read(at, MAX_BLOCK + OVERLAP);
    for (let i = window.indexOf('SALB'); i >= 0; i = window.indexOf('SALB', i + 1)) {
      if (i < MAX_BLOCK && isSigned(window.subarray(i), at + i, follower, keys)) return true;
    }
    if (window.length < MAX_BLOCK + OVERLAP) return false;
  }
}

function isSigned(
  bytes: Buffer,
  position: number,
  follower: BlockFollower,
  keys: PublicKeys,
): boolean {
  try {
    const decoder = new BlockDecoder();
    decoder.push(bytes);
    const block = decoder.next();
    const record = block?.records[0];
    const salted = block && saltedOf(block)[0];
    if (!block || !record || !salted || block.head.position !== position) return false;
    const payload = salted.subarray(SALT);
    // What its chain should be cannot be known across the damage; its own word stands in.
    const chain = payload.toString('hex', 0, 32);
    const place = { head: block.head, record, salt: salted.subarray(0, SALT), chain };
    readCheckpoint(payload, { ...place, headerDigest: follower.headerDigest }, keys);
    return true;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
