/**
 * Writes one container. `put` is synchronous and only queues; blocks are built when the gate gives a turn, one write
 * is in flight at a time, and `written` follows the kernel: a record below it has been taken by `write`. So a message
 * delivered when `written` has passed its ordinal is recorded before it is delivered.
 *
 * A block goes to one offset for ever: after a short or failed write the same bytes are written there again, and
 * nothing is appended behind a torn block. An idle writer holds no buffer.
 *
 *   opening -> idle <-> queued (asked for a turn) -> writing -> idle
 *   any of them -> failed (told once through onError; `retry` goes on) ; idle -> closed, after the final checkpoint
 */
import { constants } from 'node:fs';
import { AppError, reasonOf } from '../base/errors.ts';
import type { ContainerState, Pending, Signer } from './block-builder.ts';
import { buildBlock, buildCheckpoint, emptyState } from './block-builder.ts';
import { FLAG, MAX_DETAIL } from './checkpoint.ts';
import { DIRECTION, FATE, FORMAT_VERSION, KINDS, MAX_PAYLOAD, MAX_RECORDS } from './container.ts';
import { encodeHeader, headerDigest } from './header.ts';
import type { TrailFs } from './trail-fs.ts';
import { diskFs } from './trail-fs.ts';
import type { GateUser, Scratch, WriteGate } from './write-gate.ts';
import type { ContainerEnd, WriterOptions } from './writer-options.ts';

interface Closing {
  readonly resolve: (end: ContainerEnd) => void;
  readonly reject: (error: AppError) => void;
}

const OPEN_FLAGS = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_WRONLY;
/** Payload in one block of ours: half of what the format allows, so that block and sources stay in a core's cache. */
const BATCH = 512 * 1024;
const NOT_OPEN = -1;
const NO_DETAIL = Buffer.from('{}');

function enterGate(writer: ContainerWriter, gate: WriteGate): void {
  gate.enter(writer);
}

export class ContainerWriter implements GateUser {
  /** SHA-256 of the header record's payload, known before the file exists. */
  readonly headerDigest: Buffer;
  readonly #options: Omit<WriterOptions, 'header'>;
  readonly #fs: TrailFs;
  readonly #signer: Signer;
  readonly #state: ContainerState = emptyState();
  #fd = NOT_OPEN;
  #pending: Pending[] = [];
  /** The first of `#pending` that is in no block yet. */
  #next = 0;
  #put = 0;
  #written = 0;
  #pendingBytes = 0;
  #lastUs = 0;
  #queued = false;
  #turn = false;
  #failed: AppError | undefined;
  #workingSince = 0;
  // The block that is being written.
  #block: Buffer | undefined;
  #blockScratch: Scratch | undefined;
  #blockAt = 0;
  #blockDone = 0;
  #blockLength = 0;
  #blockBytes = 0;
  #checkpointTimer: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #syncing = false;
  #closing: Closing | undefined;
  #closed = false;
  /** A sync failed, after which the kernel may have dropped what it had taken: no end is signed any more. */
  #lost = false;
  readonly #wrote = (error: NodeJS.ErrnoException | null, count: number): void =>
    this.#afterWrite(error, count);

  constructor(options: WriterOptions) {
    this.#fs = options.fs ?? diskFs;
    // The header is written at once and then of no more use to a writer that may live for days.
    const { header, ...rest } = options;
    const { key, wallUs, nowUs } = rest;
    this.#options = rest;
    this.#lastUs = Math.floor(nowUs());
    const payload = encodeHeader({
      format: FORMAT_VERSION,
      ...header,
      wallUs: Math.floor(wallUs()) - this.#lastUs,
      keyId: key.id,
    });
    this.headerDigest = headerDigest(payload);
    this.#signer = { key, instance: header.instance, headerDigest: this.headerDigest, wallUs };
    // With this set nobody asks for a turn, so the file is not made before it may be.
    this.#queued = options.openAfter !== undefined;
    this.#add(KINDS.header, DIRECTION.none, FATE.made, 0, payload);
    if (options.openAfter !== undefined) {
      this.#watch();
      options.openAfter(() => this.#wake());
    }
  }

  /** Records that were put (`records`); those below `written` are in the kernel. */
  get written(): number {
    return this.#written;
  }

  get records(): number {
    return this.#put;
  }

  /** Payload bytes that were put and are not written. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get workingSince(): number {
    return this.#workingSince;
  }

  /**
   * Adds a record, with the time of now, and returns its ordinal. The payload must not change until it is written.
   */
  put(kind: number, direction: number, fate: number, code: number, payload: Buffer): number {
    if (this.#closing !== undefined) {
      throw new AppError('internal', `trail ${this.#options.path} is closed`);
    }
    if (payload.length > MAX_PAYLOAD) {
      throw new AppError('internal', `record of ${payload.length} bytes is too large for a trail`);
    }
    const ordinal = this.#add(kind, direction, fate, code, payload);
    if (this.#checkpointTimer === undefined) this.#armCheckpoint();
    return ordinal;
  }

  /** Fails because what `openAfter` waits for will not come. */
  refuse(error: unknown): void {
    this.#queued = false;
    this.#fail(error);
  }

  /** Tries the block that failed again, and all behind it. */
  retry(): void {
    if (this.#failed === undefined || this.#closed || this.#lost) return;
    this.#failed = undefined;
    if (this.#turn || this.#queued) this.#watch();
    else this.#wake();
  }

  /**
   * Writes what is pending and the final checkpoint, syncs, and closes. Rejects if that fails, after one more try of a
   * block that had failed before; the file is then as after a crash, and recovery ends it.
   */
  close(detail: Readonly<Record<string, unknown>>): Promise<ContainerEnd> {
    return this.#end(FLAG.final, Buffer.from(JSON.stringify(detail)));
  }

  /** Closes without an end, as far as the volume lets it: the file stays open for recovery to finish. */
  async abandon(): Promise<void> {
    await this.#end(FLAG.live, NO_DETAIL).catch(() => undefined);
  }

  /** The gate's: a turn to open the file or to write a block. */
  granted(): void {
    this.#queued = false;
    this.#turn = true;
    if (this.#fd === NOT_OPEN) this.#open();
    else this.#write();
  }

  /** The gate's: the work under way takes too long. */
  overdue(): void {
    this.#fail(new Error('the volume does not answer'));
  }

  #add(kind: number, direction: number, fate: number, code: number, payload: Buffer): number {
    const us = Math.max(Math.floor(this.#options.nowUs()), this.#lastUs);
    this.#lastUs = us;
    this.#pending.push({ kind, direction, fate, code, us, payload });
    this.#pendingBytes += payload.length;
    if (!this.#turn && !this.#queued && this.#failed === undefined) this.#wake();
    return this.#put++;
  }

  #end(flag: number, detail: Buffer): Promise<ContainerEnd> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined || detail.length > MAX_DETAIL) {
        reject(new AppError('internal', `trail ${this.#options.path} cannot be closed so`));
        return;
      }
      this.#stopTimers();
      this.#closing = { resolve, reject };
      if (this.#lost && this.#failed !== undefined) {
        reject(this.#failed);
        if (!this.#turn && !this.#queued) this.#release();
        return;
      }
      this.retry();
      this.#add(KINDS.checkpoint, DIRECTION.none, FATE.made, flag, detail);
    });
  }

  /** Asks for a turn behind the present tick, so that all that is put in it goes in one block. */
  #wake(): void {
    this.#queued = true;
    this.#watch();
    process.nextTick(enterGate, this, this.#options.gate);
  }

  #watch(): void {
    this.#workingSince = this.#options.gate.nowMs();
    this.#options.gate.work(this);
  }

  #open(): void {
    this.#fs.open(this.#options.path, OPEN_FLAGS, 0o600, (error, fd) => {
      if (error) {
        if (error.code === 'EINTR') this.#open();
        else this.#writeFailed(error);
      } else {
        this.#fd = fd;
        this.#write();
      }
    });
  }

  #write(): void {
    const block = this.#block ?? this.#build();
    const done = this.#blockDone;
    const left = this.#blockLength - done;
    this.#fs.write(this.#fd, block, done, left, this.#blockAt + done, this.#wrote);
  }

  #build(): Buffer {
    const { gate } = this.#options;
    const scratch = gate.takeScratch();
    const first = this.#pending[this.#next];
    this.#blockAt = this.#state.position;
    this.#blockDone = 0;
    this.#blockBytes = first?.payload.length ?? 0;
    let to = this.#next + 1;
    if (first?.kind === KINDS.checkpoint) {
      this.#blockLength = buildCheckpoint(this.#state, first, this.#signer, scratch, gate);
    } else {
      const limit = Math.min(this.#pending.length, this.#next + MAX_RECORDS);
      for (; to < limit; to++) {
        const record = this.#pending[to];
        if (record === undefined || record.kind === KINDS.checkpoint) break;
        if (this.#blockBytes + record.payload.length > BATCH) break;
        this.#blockBytes += record.payload.length;
      }
      this.#blockLength = buildBlock(this.#state, this.#pending, this.#next, to, scratch, gate);
    }
    this.#next = to;
    this.#block = scratch.bytes;
    this.#blockScratch = scratch;
    return scratch.bytes;
  }

  #afterWrite(error: NodeJS.ErrnoException | null, count: number): void {
    if (error) {
      if (error.code === 'EINTR' || error.code === 'EAGAIN') this.#write();
      else this.#writeFailed(error);
      return;
    }
    this.#blockDone += count;
    if (this.#blockDone < this.#blockLength) {
      if (count > 0) this.#write();
      else this.#writeFailed(new Error('nothing was written'));
      return;
    }
    this.#blockWritten();
  }

  #blockWritten(): void {
    const { gate, onWritten } = this.#options;
    if (this.#blockScratch !== undefined) gate.giveScratch(this.#blockScratch);
    this.#block = undefined;
    this.#blockScratch = undefined;
    this.#written = this.#state.ordinal;
    this.#pendingBytes -= this.#blockBytes;
    if (this.#next === this.#pending.length) {
      this.#pending = [];
      this.#next = 0;
    } else if (this.#next >= 4_096) {
      this.#pending.splice(0, this.#next);
      this.#next = 0;
    }
    // A write that was late has come back after all; the trail goes on.
    if (!this.#lost) this.#failed = undefined;
    onWritten();
    this.#turn = false;
    const more = this.#next < this.#pending.length;
    this.#queued = more;
    gate.leave();
    if (more) {
      this.#watch();
      gate.enter(this);
    } else {
      gate.rest(this);
      this.#settle();
    }
  }

  #writeFailed(error: Error): void {
    const { gate } = this.#options;
    // The block leaves the shared buffer: others need it, and these very bytes must go to this place later.
    if (this.#blockScratch !== undefined) {
      this.#block = Buffer.from(this.#blockScratch.bytes.subarray(0, this.#blockLength));
      gate.giveScratch(this.#blockScratch);
      this.#blockScratch = undefined;
    }
    this.#turn = false;
    gate.leave();
    this.#fail(error);
  }

  #fail(cause: unknown): void {
    const first = this.#failed === undefined;
    const text = `cannot write the trail ${this.#options.path}: ${reasonOf(cause)}`;
    const error = new AppError('recording-failed', text, { cause });
    this.#failed = error;
    this.#options.gate.rest(this);
    this.#stopTimers();
    if (this.#closing === undefined) {
      if (first) this.#options.onError(error);
      return;
    }
    this.#closing.reject(error);
    if (!this.#turn && !this.#queued && !this.#syncing) this.#release();
  }

  /** Nothing is pending: closes if that was asked for, else sees to it that the data will be synced. */
  #settle(): void {
    if (this.#syncing) return;
    const ms = this.#options.syncMs ?? 1_000;
    if (this.#closing !== undefined) {
      this.#watch();
      this.#sync();
    } else if (ms > 0 && this.#syncTimer === undefined) {
      this.#syncTimer = setTimeout(() => this.#sync(), ms);
      this.#syncTimer.unref();
    }
  }

  #sync(): void {
    const { gate } = this.#options;
    const closing = this.#closing;
    this.#syncTimer = undefined;
    this.#syncing = true;
    gate.enterSync(() => {
      this.#fs.fdatasync(this.#fd, (error) => {
        gate.leaveSync();
        this.#syncing = false;
        if (closing !== undefined) gate.rest(this);
        if (error) {
          this.#lost = true;
          this.#fail(error);
        } else if (closing !== undefined) this.#finish(closing);
        else if (this.#closing !== undefined && !this.#turn && !this.#queued) this.#settle();
      });
    });
  }

  #finish(closing: Closing): void {
    this.#closed = true;
    this.#fs.close(this.#fd, (error) => {
      if (error) {
        closing.reject(
          new AppError(
            'recording-failed',
            `cannot close ${this.#options.path}: ${reasonOf(error)}`,
          ),
        );
      } else {
        closing.resolve({ digest: Buffer.from(this.#state.chain, 'hex'), records: this.#written });
      }
    });
  }

  /** Gives the descriptor back after a failure at the end; nothing is written after it. */
  #release(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = [];
    this.#block = undefined;
    if (this.#fd !== NOT_OPEN) this.#fs.close(this.#fd, () => undefined);
  }

  #armCheckpoint(): void {
    this.#checkpointTimer = setTimeout(() => {
      this.#checkpointTimer = undefined;
      this.#add(KINDS.checkpoint, DIRECTION.none, FATE.made, FLAG.live, NO_DETAIL);
    }, this.#options.checkpointMs ?? 10_000);
    this.#checkpointTimer.unref();
  }

  #stopTimers(): void {
    clearTimeout(this.#checkpointTimer);
    clearTimeout(this.#syncTimer);
    this.#checkpointTimer = undefined;
    this.#syncTimer = undefined;
  }
}
