/**
 * Builds the blocks of one container and knows what the next one must say: position, ordinal, offsets, chain. It does
 * no I/O. This is the hottest code of the recorder: no closure, no copy beside the one into the block, and digests as
 * `latin1` strings, which cost a third of a Buffer.
 */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { encodeCheckpoint } from './checkpoint.ts';
import {
  BLOCK_HEAD,
  CHAINED_FROM,
  EMPTY_CHAIN,
  FATE,
  KINDS,
  MAGIC,
  NONE,
  RECORD_HEAD,
  SALT,
  setUint64,
} from './container.ts';
import type { SigningKey } from './seal.ts';
import type { Scratch, WriteGate } from './write-gate.ts';

/** A record that waits to be written. A checkpoint's payload is its detail, its code the flag. */
export interface Pending {
  readonly kind: number;
  readonly direction: number;
  readonly fate: number;
  readonly code: number;
  readonly us: number;
  readonly payload: Buffer;
}

/** Where a container stands: all that the next block depends on. */
export interface ContainerState {
  position: number;
  previous: number;
  previousCheckpoint: number;
  ordinal: number;
  stdin: number;
  stdout: number;
  stderr: number;
  chain: string;
}

/** What a container's checkpoints say beside its state. */
export interface Signer {
  readonly key: SigningKey;
  readonly instance: string;
  readonly headerDigest: Buffer;
  readonly wallUs: () => number;
}

export function emptyState(): ContainerState {
  return {
    position: 0,
    previous: NONE,
    previousCheckpoint: NONE,
    ordinal: 0,
    stdin: 0,
    stdout: 0,
    stderr: 0,
    chain: EMPTY_CHAIN,
  };
}

/** Bytes 40 to 72 are zero in a plain block; while it is built the chain value before it stands there, so that one
 * contiguous range is hashed. */
const CHAIN_AT = CHAINED_FROM - 32;

/**
 * Builds one block from `records[from..to)` in the scratch and advances the state; returns its length. The caller has
 * seen to it that the records fit, and that a checkpoint comes alone.
 */
export function buildBlock(
  state: ContainerState,
  records: readonly Pending[],
  from: number,
  to: number,
  scratch: Scratch,
  gate: WriteGate,
): number {
  const { bytes, view } = scratch;
  const count = to - from;
  const heads = BLOCK_HEAD + count * RECORD_HEAD;
  bytes.fill(0, 0, BLOCK_HEAD);
  startHead(state, view, count);
  let head = BLOCK_HEAD;
  let at = heads;
  let us = 0;
  for (let i = from; i < to; i++) {
    const record = records[i];
    if (record === undefined) break;
    const { kind, payload } = record;
    const { length } = payload;
    us = record.us;
    if (i === from) setUint64(view, 80, us);
    if (kind === KINDS.checkpoint) bytes.fill(0, at, at + SALT);
    else gate.salt(bytes, at);
    payload.copy(bytes, at + SALT);
    const end = at + SALT + length;
    bytes[head] = kind;
    bytes[head + 1] = record.direction;
    bytes[head + 2] = record.fate;
    bytes[head + 3] = record.code;
    view.setUint32(head + 4, length);
    setUint64(view, head + 8, us);
    bytes.write(hash('sha256', bytes.subarray(at, end), 'binary'), head + 16, 32, 'latin1');
    if (kind === KINDS.stdout) state.stdout += length;
    else if (kind === KINDS.stdin) state.stdin += length;
    else if (kind === KINDS.stderr) state.stderr += length;
    head += RECORD_HEAD;
    at = end;
  }
  setUint64(view, 88, us);
  view.setUint32(8, at);
  bytes.write(state.chain, CHAIN_AT, 32, 'hex');
  state.chain = hash('sha256', bytes.subarray(CHAIN_AT, heads));
  bytes.fill(0, CHAIN_AT, CHAINED_FROM);
  view.setUint32(4, crc32(bytes.subarray(8, heads)));
  state.previous = state.position;
  if (records[from]?.kind === KINDS.checkpoint) state.previousCheckpoint = state.position;
  state.position += at;
  state.ordinal += count;
  return at;
}

/** Builds a block of one signed checkpoint; `pending` has its flag and detail. */
export function buildCheckpoint(
  state: ContainerState,
  pending: Pending,
  signer: Signer,
  scratch: Scratch,
  gate: WriteGate,
): number {
  const payload = encodeCheckpoint(
    {
      chain: state.chain,
      records: state.ordinal,
      us: pending.us,
      wallUs: signer.wallUs(),
      flag: pending.code,
      instance: signer.instance,
      headerDigest: signer.headerDigest,
      stdin: state.stdin,
      stdout: state.stdout,
      stderr: state.stderr,
    },
    pending.payload,
    signer.key,
  );
  const record = { ...pending, direction: 0, fate: FATE.made, payload };
  return buildBlock(state, [record], 0, 1, scratch, gate);
}

function startHead(state: ContainerState, view: DataView, count: number): void {
  view.setUint32(0, MAGIC);
  setUint64(view, 16, state.position);
  setUint64(view, 24, state.previous);
  setUint64(view, 32, state.previousCheckpoint);
  setUint64(view, 72, state.ordinal);
  setUint64(view, 96, state.stdin);
  setUint64(view, 104, state.stdout);
  setUint64(view, 112, state.stderr);
  view.setUint32(120, count);
}
