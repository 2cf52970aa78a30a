/**
 * What a channel that forwards carries: its first bytes, in each direction, are looked at until they have told. SSH in it
 * would be a session that nobody sees, so unless a rule says `nested-ssh` the channel ends before the ident has reached
 * the other side. What may still become an ident, three bytes at most, is held back and recorded when it passes or is
 * refused; a stream that begins with an S and waits for an answer passes after a moment, and is looked at all the same.
 * Once both directions have told, nothing is left of this.
 */
import { CODES } from '../recording/container.ts';
import { classify, FIRST_BYTES, mayBecomeSsh } from './first-bytes.ts';
import type { Protocol } from './first-bytes.ts';
import { DOWN, UP, other } from './mux.ts';
import type { Channel, ChannelWatch, Side } from './mux.ts';
import type { Passage } from './passage.ts';
import * as kinds from './record-kinds.ts';

/** How long a beginning that may become an ident is held back for its next byte. */
const HOLD_MS = 1000;
/** Where the data of SSH_MSG_CHANNEL_DATA begins. */
const DATA_AT = 9;

export interface WatchEvents {
  /** What the channel carries; once more if a later word is more precise. */
  onCarries(channel: Channel, protocol: Protocol): void;
  /** The channel carries what it may not. */
  onRefused(channel: Channel, why: string): void;
}

/** One direction. */
class Stream {
  first = Buffer.alloc(0);
  known: Protocol | undefined;
  /** Whether a beginning of an ident is held back. */
  holds = true;
  /** Whole messages, copied. */
  readonly held: Buffer[] = [];
  timer: NodeJS.Timeout | undefined;
}

export class ForwardWatch implements ChannelWatch {
  readonly #channel: Channel;
  readonly #passage: Passage;
  readonly #nested: boolean;
  readonly #events: WatchEvents;
  readonly #streams: readonly [Stream, Stream] = [new Stream(), new Stream()];
  #told: Protocol | undefined;

  constructor(channel: Channel, passage: Passage, nested: boolean, events: WatchEvents) {
    this.#channel = channel;
    this.#passage = passage;
    this.#nested = nested;
    this.#events = events;
  }

  /** SSH_MSG_CHANNEL_DATA from `side`; false when it does not pass now. */
  onData(side: Side, payload: Buffer): boolean {
    const stream = this.#streams[side];
    if (stream.known !== undefined || payload.length === DATA_AT) return true;
    const wanted = FIRST_BYTES - stream.first.length;
    stream.first = Buffer.concat([stream.first, payload.subarray(DATA_AT, DATA_AT + wanted)]);
    const protocol = classify(stream.first);
    if (protocol === 'ssh' && !this.#nested) {
      this.#refuse(side, payload);
      return false;
    }
    if (protocol === undefined && this.#mustHold(stream)) {
      stream.held.push(Buffer.from(payload));
      stream.timer ??= setTimeout(() => {
        stream.holds = false;
        this.release(side);
      }, HOLD_MS);
      return false;
    }
    this.release(side);
    if (protocol !== undefined) this.#learn(side, protocol);
    return true;
  }

  #mustHold(stream: Stream): boolean {
    return !this.#nested && stream.holds && mayBecomeSsh(stream.first);
  }

  /** What was held back leaves: it is no ident, or something comes that may not overtake it. */
  release(side: Side): void {
    const stream = this.#streams[side];
    clearTimeout(stream.timer);
    stream.timer = undefined;
    const { writer, peer } = this.#channel;
    for (const payload of stream.held.splice(0)) {
      this.#passage.passData(side, writer, kinds.data(side), peer[other(side)], payload, DATA_AT);
    }
  }

  #refuse(side: Side, payload: Buffer): void {
    this.#streams[side].held.push(payload);
    this.#withholdRest();
    const { writer } = this.#channel;
    const why = 'SSH inside a forward; no rule allows nested-ssh';
    const from = side === DOWN ? 'user' : 'target';
    this.#passage.note(writer, { from, carries: 'ssh', refused: why });
    this.#tell('ssh');
    this.#events.onRefused(this.#channel, why);
  }

  #learn(side: Side, protocol: Protocol): void {
    this.#streams[side].known = protocol;
    const from = side === DOWN ? 'user' : 'target';
    this.#passage.note(this.#channel.writer, { from, carries: protocol });
    this.#tell(protocol);
    if (side === this.#channel.openedBy) {
      // The side that connects speaks first in SSH; an answer to something else is never held back.
      const answers = other(side);
      this.#streams[answers].holds = false;
      this.release(answers);
    }
    if (this.#streams[DOWN].known !== undefined && this.#streams[UP].known !== undefined) {
      this.#channel.watch = undefined;
    }
  }

  /** `other` is the least that can be said, and SSH the most. */
  #tell(protocol: Protocol): void {
    const better = this.#told === undefined || this.#told === 'other' || protocol === 'ssh';
    if (!better || protocol === this.#told) return;
    this.#told = protocol;
    this.#events.onCarries(this.#channel, protocol);
  }

  /** The channel is over: what never told was something else. */
  end(): void {
    this.#withholdRest();
    if (this.#told !== undefined) return;
    if (this.#streams.some(({ first }) => first.length > 0)) this.#tell('other');
  }

  /** What is held back passes no more: it is recorded as what came. */
  #withholdRest(): void {
    for (const side of [DOWN, UP] as const) {
      const stream = this.#streams[side];
      clearTimeout(stream.timer);
      for (const payload of stream.held.splice(0)) {
        const { writer } = this.#channel;
        const data = payload.subarray(DATA_AT);
        this.#passage.withhold(side, writer, kinds.data(side), data, CODES.policy);
      }
    }
  }
}
