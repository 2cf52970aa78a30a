/**
 * Follows the blocks of one container from the first on and checks that each is the one that must come next: place,
 * ordinals, offsets, times, commitments, chain, and the signature of every checkpoint. Verifier and recovery stand on
 * it; what it accepted is what a writer wrote, as far as the last checkpoint says. It does no I/O.
 */
import { hash } from 'node:crypto';
import { ProtocolError } from '../base/errors.ts';
import type { ContainerState } from './block-builder.ts';
import { emptyState } from './block-builder.ts';
import type { Block } from './block-decoder.ts';
import { saltedOf } from './block-decoder.ts';
import type { Checkpoint } from './checkpoint.ts';
import { FLAG, readCheckpoint } from './checkpoint.ts';
import { KINDS, SALT, chainOf, headsLength } from './container.ts';
import type { TrailHeader } from './header.ts';
import { decodeHeader, headerDigest } from './header.ts';
import type { PublicKeys } from './seal.ts';

/** A checkpoint and where it stands. */
export interface PlacedCheckpoint {
  readonly position: number;
  readonly ordinal: number;
  readonly checkpoint: Checkpoint;
}

export class BlockFollower {
  /** Where the next block must be, and what it must say. */
  readonly state: ContainerState = emptyState();
  header: TrailHeader | undefined;
  headerDigest: Buffer = Buffer.alloc(0);
  /** Of the last record. */
  lastUs = 0;
  lastLive: PlacedCheckpoint | undefined;
  /** The final or recovered checkpoint: nothing may follow it. */
  end: PlacedCheckpoint | undefined;
  readonly #keys: PublicKeys;

  constructor(keys: PublicKeys) {
    this.#keys = keys;
  }

  /** Records that no live checkpoint vouches for. */
  get recordsAfterLastLive(): number {
    const last = this.end?.ordinal ?? this.state.ordinal;
    return last - (this.lastLive === undefined ? 0 : this.lastLive.ordinal + 1);
  }

  /** Takes the next block or throws; after a throw the state is that of the block before. */
  accept(block: Block): void {
    const { state } = this;
    const { head, records } = block;
    const where = `block at ${state.position}`;
    if (this.end !== undefined) throw new ProtocolError(`${where} follows the end of the trail`);
    const continues =
      head.position === state.position &&
      head.previous === state.previous &&
      head.previousCheckpoint === state.previousCheckpoint &&
      head.firstOrdinal === state.ordinal &&
      head.stdin === state.stdin &&
      head.stdout === state.stdout &&
      head.stderr === state.stderr &&
      head.firstUs >= this.lastUs;
    if (!continues) throw new ProtocolError(`${where} does not continue the one before it`);
    const salted = saltedOf(block);
    for (const [i, record] of records.entries()) {
      const ordinal = head.firstOrdinal + i;
      if ((record.kind === KINDS.header) !== (ordinal === 0)) {
        throw new ProtocolError(
          `record ${ordinal} should${ordinal === 0 ? '' : ' not'} be a header`,
        );
      }
      if (record.kind === KINDS.checkpoint && records.length !== 1) {
        throw new ProtocolError(`checkpoint ${ordinal} is not alone in its block`);
      }
      const bytes = salted[i] ?? Buffer.alloc(0);
      if (hash('sha256', bytes, 'binary') !== record.commitment.toString('latin1')) {
        throw new ProtocolError(`payload of record ${ordinal} is not what was recorded`);
      }
    }
    if (head.firstOrdinal === 0) this.#begin((salted[0] ?? Buffer.alloc(0)).subarray(SALT));
    const checkpoint = this.#checkpoint(block, salted[0] ?? Buffer.alloc(0));
    this.#advance(block);
    if (checkpoint === undefined) return;
    state.previousCheckpoint = checkpoint.position;
    if (checkpoint.checkpoint.flag === FLAG.live) this.lastLive = checkpoint;
    else this.end = checkpoint;
  }

  #begin(payload: Buffer): void {
    const header = decodeHeader(payload);
    if (!this.#keys.has(header.keyId)) {
      throw new ProtocolError(`the trail names a signing key that is unknown here`);
    }
    this.header = header;
    this.headerDigest = headerDigest(payload);
  }

  #checkpoint(block: Block, salted: Buffer): PlacedCheckpoint | undefined {
    const { head } = block;
    const record = block.records[0];
    if (record?.kind !== KINDS.checkpoint) return undefined;
    const checkpoint = readCheckpoint(
      salted.subarray(SALT),
      {
        head,
        record,
        salt: salted.subarray(0, SALT),
        chain: this.state.chain,
        headerDigest: this.headerDigest,
      },
      this.#keys,
    );
    const byOther = checkpoint.instance !== this.header?.instance;
    if (byOther && checkpoint.flag !== FLAG.recovered) {
      throw new ProtocolError(`checkpoint at ${head.position} is of another instance`);
    }
    // Views into a block must not outlive it.
    const kept = {
      ...checkpoint,
      headerDigest: Buffer.from(checkpoint.headerDigest),
    };
    return { position: head.position, ordinal: head.firstOrdinal, checkpoint: kept };
  }

  #advance(block: Block): void {
    const { state } = this;
    const { head } = block;
    for (const { kind, length } of block.records) {
      if (kind === KINDS.stdin) state.stdin += length;
      else if (kind === KINDS.stdout) state.stdout += length;
      else if (kind === KINDS.stderr) state.stderr += length;
    }
    state.chain = chainOf(state.chain, block.heads, headsLength(head));
    state.previous = head.position;
    state.position += head.length;
    state.ordinal += head.count;
    this.lastUs = head.lastUs;
  }
}
