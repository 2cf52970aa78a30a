/**
 * The two ways through the gate: from each leg a message is recorded and then leaves for the other one, with its fate
 * in the record. Here is also what bounds the gate's memory: the leg a message comes from is paused while too much of
 * its messages waits for the other one, and nothing is held beyond a little before upstream is there.
 */
import { AppError, ProtocolError, reasonOf } from '../base/errors.ts';
import { CODES, DIRECTION, FATE, KINDS } from '../recording/container.ts';
import { LegQueue } from '../recording/recorder.ts';
import type { ContainerWriter } from '../recording/writer.ts';
import { DOWN, UP, other } from './mux.ts';
import type { Side } from './mux.ts';
import { copyOf } from './packet-sender.ts';
import type { Outgoing } from './packet-sender.ts';
import { PAUSE } from './read-pause.ts';
import type { Transport } from './transport.ts';

/** What a message costs in memory beside its bytes: a flood of empty ones must count for something. */
const MESSAGE_COST = 256;
/** Records of withheld messages that may wait for their trail. */
const MAX_UNWRITTEN = 4096;

const DIRECTION_FROM = [DIRECTION.up, DIRECTION.down] as const;

/** From the configuration's `limits`. */
export interface PassageLimits {
  /** What is held before upstream is there. */
  readonly held_messages: number;
  readonly held_bytes: number;
  /** Not more than this waits for one leg before the other one is no longer read. */
  readonly unsent_bytes: number;
}

/** A message of the user's that is recorded and waits for a word. */
export interface HeldMessage {
  readonly writer: ContainerWriter;
  readonly ordinal: number;
  readonly payload: Buffer;
}

export class Passage {
  readonly #legs: [Transport, Transport | undefined];
  readonly #queues: readonly [LegQueue<Outgoing>, LegQueue<Outgoing>] = [
    new LegQueue<Outgoing>(),
    new LegQueue<Outgoing>(),
  ];
  /** What we have answered to each side ourselves since it last took nearly all that waits for it. */
  readonly #answered: [number, number] = [0, 0];
  #open = true;

  readonly #limits: PassageLimits;

  constructor(down: Transport, limits: PassageLimits) {
    this.#limits = limits;
    this.#legs = [down, undefined];
    this.#attach(DOWN, down);
  }

  #attach(side: Side, leg: Transport): void {
    this.#legs[side] = leg;
    this.#queues[side].attach({
      get writable() {
        return leg.writable;
      },
      deliver: (message) => {
        try {
          leg.deliver(message);
        } catch (cause) {
          // Nobody stands above a write that has returned: what fails here ends this leg and nothing else.
          leg.close(new AppError('internal', reasonOf(cause), { cause }));
        }
      },
    });
  }

  /** The connection's own container and its ledger entry are written: messages may leave downstream. */
  start(): void {
    this.#queues[DOWN].release();
  }

  /** Upstream is there: what was held leaves, and both sides flow. */
  attachUpstream(leg: Transport): void {
    this.#attach(UP, leg);
    this.#queues[UP].release();
    this.#legs[DOWN].resume(PAUSE.hold);
  }

  /** There will be no upstream: what was held for it goes nowhere. */
  closeUpstream(): void {
    this.#open = false;
    this.#queues[UP].discard();
    this.#legs[DOWN].resume(PAUSE.hold);
  }

  /** Delivers to `to` what is recorded by now, and reads on where there is room again. */
  drain(to: Side): void {
    this.#queues[to].drain();
    const from = this.#legs[other(to)];
    if (!from?.paused && this.#answered[to] === 0) return;
    if (this.#backlog(to) >= this.#limits.unsent_bytes / 4) return;
    this.#answered[to] = 0;
    from?.resume(PAUSE.backlog);
  }

  /** Whether all that came from `side` has left for the other one. */
  drained(side: Side): boolean {
    return this.#queues[other(side)].length === 0;
  }

  /** How much the gate itself may add to what waits for a leg. */
  room(to: Side): number {
    return this.#limits.unsent_bytes - this.#backlog(to);
  }

  #backlog(to: Side): number {
    return this.#queues[to].bytes + (this.#legs[to]?.backlog ?? 0);
  }

  /** Stops reading from `side` while too much of it waits. Throws when it asks and asks and reads no answer. */
  limit(side: Side): void {
    const leg = this.#legs[side];
    if (!leg) return;
    const { unsent_bytes: unsent } = this.#limits;
    if (this.#answered[side] > unsent && this.#backlog(side) > unsent / 4) {
      throw new ProtocolError('more is asked than answers are read');
    }
    if (side === DOWN && !this.#legs[UP] && this.#open) {
      const queue = this.#queues[UP];
      if (queue.length >= this.#limits.held_messages || queue.bytes >= this.#limits.held_bytes)
        leg.pause(PAUSE.hold);
    }
    if (this.#backlog(other(side)) > unsent) leg.pause(PAUSE.backlog);
  }

  /**
   * Records data from `side`, which begins at `at` of its message, and passes the message on behind its record with
   * `recipient` as its channel number. The bytes are recorded from where they will be encrypted: copied once.
   */
  passData(
    side: Side,
    writer: ContainerWriter,
    kind: number,
    recipient: number,
    payload: Buffer,
    at: number,
  ): void {
    const to = other(side);
    const leg = this.#legs[to];
    const message = leg ? leg.prepare(payload, recipient) : copyOf(payload, recipient);
    const fate = leg ? FATE.passed : FATE.held;
    const data = message.payload.subarray(at);
    const ordinal = writer.put(kind, DIRECTION_FROM[side], fate, CODES.none, data);
    this.#queues[to].push(writer, ordinal, message, payload.length + MESSAGE_COST);
  }

  /**
   * Records a message from `side` as it came (`recorded`) and passes it on behind its record. `recipient` replaces the
   * channel number in it; below 0 there is none.
   */
  pass(
    side: Side,
    writer: ContainerWriter,
    kind: number,
    recipient: number,
    payload: Buffer,
    recorded = payload,
    code: number = CODES.none,
  ): void {
    const to = other(side);
    const leg = this.#legs[to];
    const message = leg ? leg.prepare(payload, recipient) : copyOf(payload, recipient);
    const fate = leg ? FATE.passed : FATE.held;
    const copy = Buffer.from(recorded);
    const ordinal = writer.put(kind, DIRECTION_FROM[side], fate, code, copy);
    this.#queues[to].push(writer, ordinal, message, payload.length + MESSAGE_COST);
  }

  /** Records what the gate makes of a channel: JSON of a few fields. */
  note(writer: ContainerWriter, detail: Readonly<Record<string, unknown>>): void {
    const payload = Buffer.from(JSON.stringify(detail));
    writer.put(KINDS.policy, DIRECTION.none, FATE.made, CODES.none, payload);
  }

  /** Records a whole message from downstream, and keeps it back until `release`. */
  hold(writer: ContainerWriter, kind: number, payload: Buffer): HeldMessage {
    const copy = Buffer.from(payload);
    const ordinal = writer.put(kind, DIRECTION.up, FATE.held, CODES.none, copy);
    return { writer, ordinal, payload: copy };
  }

  /** Passes on what was held back, with `recipient` as its channel number; below 0 there is none. */
  release({ writer, ordinal, payload }: HeldMessage, recipient: number): void {
    const message = copyOf(payload, recipient);
    this.#queues[UP].push(writer, ordinal, message, payload.length + MESSAGE_COST);
  }

  /** Records a message from `side` that does not pass. */
  withhold(side: Side, writer: ContainerWriter, kind: number, payload: Buffer, code: number): void {
    const copy = Buffer.from(payload);
    const ordinal = writer.put(kind, DIRECTION_FROM[side], FATE.withheld, code, copy);
    // It waits for no leg, only for its trail: the next write that returns lets `side` go on.
    const behind = ordinal - writer.written > MAX_UNWRITTEN;
    if (behind || writer.pendingBytes > this.#limits.unsent_bytes) {
      this.#legs[side]?.pause(PAUSE.backlog);
    }
  }

  /** Records a message of ours to `side` and sends it behind its record. */
  make(side: Side, writer: ContainerWriter, kind: number, payload: Buffer, code: number): void {
    const ordinal = writer.put(kind, DIRECTION_FROM[other(side)], FATE.made, code, payload);
    this.#answered[side] += payload.length + MESSAGE_COST;
    this.#queues[side].push(writer, ordinal, copyOf(payload, -1), payload.length + MESSAGE_COST);
  }

  /** Records data of ours to `side`, which begins at `at` of its message, and sends the message behind its record. */
  makeData(side: Side, writer: ContainerWriter, kind: number, payload: Buffer, at: number): void {
    const data = payload.subarray(at);
    const ordinal = writer.put(kind, DIRECTION_FROM[other(side)], FATE.made, CODES.leg, data);
    this.#queues[side].push(writer, ordinal, copyOf(payload, -1), payload.length + MESSAGE_COST);
  }

  /**
   * Sends data of ours to downstream, behind its record, which holds the message from `at` on; without a writer it is not
   * recorded, and only keeps its place. It counts as no answer: whoever writes it looks at `room` first.
   */
  makeOutput(
    writer: ContainerWriter | undefined,
    kind: number,
    message: Buffer,
    at: number,
    code: number,
  ): void {
    const data = message.subarray(at);
    const ordinal = writer?.put(kind, DIRECTION.down, FATE.made, code, data) ?? 0;
    const outgoing = { payload: message, packet: undefined, shape: undefined };
    this.#queues[DOWN].push(writer, ordinal, outgoing, message.length + MESSAGE_COST);
  }

  /** Sends what concerns one leg alone and no trail is about, in its order. */
  own(side: Side, payload: Buffer): void {
    this.#answered[side] += payload.length + MESSAGE_COST;
    this.#queues[side].push(undefined, 0, copyOf(payload, -1), payload.length + MESSAGE_COST);
  }
}
