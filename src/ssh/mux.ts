/**
 * The channels of one connection and what is outstanding on them. A channel has one number of ours on both legs, and
 * each peer's own number beside it; `ordinal` is its number in the trail and never used again.
 *
 * For each side a channel keeps how much that side may still send (`credit`), and `skew`: bytes that the gate put into
 * the flow towards a side, for which the other side will grant credit that nobody upstream of us has used; adjusts are
 * lowered by it. Where the gate swallows bytes, skew is negative and raises them.
 */
import { ProtocolError } from '../base/errors.ts';
import type { ContainerWriter } from '../recording/writer.ts';
import { decodeRequestFields, printable } from '../wire/channel-request.ts';

/** The two legs of a connection, as indexes. */
export const DOWN = 0;
export const UP = 1;
export type Side = typeof DOWN | typeof UP;

export function other(side: Side): Side {
  return side === DOWN ? UP : DOWN;
}

const MAX_CREDIT = 0xffffffff;
/** How much of a signal's name is kept for the row. */
const MAX_SIGNAL = 64;

/**
 * `opening` until confirmed, `open` until both sides have sent CLOSE. In `closing` the gate has sent it to both and waits
 * for theirs; a channel in `own` is between the gate and one side.
 */
export type ChannelState = 'opening' | 'open' | 'closing' | 'own' | 'closed';

/** Looks at the first bytes of a channel (`forward-watch.ts`). */
export interface ChannelWatch {
  onData(side: Side, payload: Buffer): boolean;
  release(side: Side): void;
  end(): void;
}

/** The gate's own end of a channel in state `own` (`endpoint.ts`, `splice.ts`). */
export interface LocalEnd {
  /** A message on the channel, from either side; false leaves it to the relay. */
  onMessage(side: Side, payload: Buffer): boolean;
  /** The leg towards the user takes more again. */
  onDrained(): void;
  /** The channel is over. */
  onOver(): void;
}

export class Channel {
  readonly number: number;
  readonly ordinal: number;
  readonly openedBy: Side;
  readonly type: string;
  readonly writer: ContainerWriter;
  state: ChannelState = 'opening';
  /** The number each peer gave the channel. */
  readonly peer: [number, number] = [0, 0];
  readonly closed: [boolean, boolean] = [false, false];
  /** Bytes that each side may still send. */
  readonly credit: [number, number] = [0, 0];
  readonly skew: [number, number] = [0, 0];
  /** Data bytes that each side has sent. */
  readonly bytes: [number, number] = [0, 0];
  readonly #largest: [number, number] = [0, 0];
  /** Requests on this channel that each side has yet to answer. */
  readonly unanswered: readonly [ReplyQueue, ReplyQueue];
  /** What it turned out to be: `shell`, `exec`, `sftp`, ...; the channel type until then. */
  kind: string;
  /** How it ended, in the words of the exit request. */
  end = '';
  /** Set while its first bytes have not told what it carries. */
  watch: ChannelWatch | undefined;
  /** Set while the gate itself is an end of it. */
  local: LocalEnd | undefined;

  constructor(
    number: number,
    ordinal: number,
    openedBy: Side,
    type: string,
    writer: ContainerWriter,
    requests: number,
  ) {
    this.unanswered = [new ReplyQueue(requests), new ReplyQueue(requests)];
    this.number = number;
    this.ordinal = ordinal;
    this.openedBy = openedBy;
    this.type = type;
    this.kind = type;
    this.writer = writer;
  }

  /** `side` may send so many bytes more. More than 2^32-1 in all is refused (RFC 4254 section 5.2). */
  grant(side: Side, amount: number): void {
    const credit = this.credit[side] + amount;
    if (credit > MAX_CREDIT) throw new ProtocolError('a window grows beyond 2^32-1 bytes');
    this.credit[side] = credit;
    if (credit > this.#largest[side]) this.#largest[side] = credit;
  }

  /** `side` has sent so many bytes; a tenth over its window is tolerated, as OpenSSH does. */
  spend(side: Side, amount: number): void {
    const credit = this.credit[side] - amount;
    this.credit[side] = credit;
    this.bytes[side] += amount;
    if (credit < 0 && -credit > this.#largest[side] / 10) {
      throw new ProtocolError('more data than the window allows');
    }
  }

  /** Bytes of `side` that were spent go back to be sent anew, on another way. */
  refund(side: Side, amount: number): void {
    this.credit[side] += amount;
    this.bytes[side] -= amount;
  }

  /** Keeps how the channel ended, as the target's exit request says; one that cannot be read says nothing. */
  noteExit(type: string, data: Buffer): void {
    if (type !== 'exit-status' && type !== 'exit-signal') return;
    try {
      const fields = decodeRequestFields(type, data);
      if (fields.type === 'exit-status') this.end = `exit ${fields.status}`;
      else if (fields.type === 'exit-signal') {
        this.end = `signal ${printable(fields.name.subarray(0, MAX_SIGNAL))}`;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
  }

  /** How much of an adjust for `side` may be passed on to it. */
  passedAdjust(side: Side, amount: number): number {
    const skew = this.skew[side];
    if (skew === 0) return amount;
    const passed = Math.max(0, Math.min(MAX_CREDIT, amount - skew));
    this.skew[side] = skew - (amount - passed);
    return passed;
  }
}

/** One question whose answer is outstanding, in the order of asking. */
interface Outstanding {
  /** `relayed`: the answer goes to the other side. `own`: ours, swallowed. `answer`: given by us, when its turn comes. */
  readonly origin: 'relayed' | 'own' | 'answer';
  readonly give: (() => void) | undefined;
  /** Hears the reply to a relayed request. */
  readonly settle: ((reply: Buffer) => void) | undefined;
}

const RELAYED: Outstanding = { origin: 'relayed', give: undefined, settle: undefined };
const OWN: Outstanding = { origin: 'own', give: undefined, settle: undefined };

/**
 * Replies carry no id (RFC 4254 section 4): they come in the order of the requests. One queue per replier, global and
 * per channel, keeps whose each is, so that an answer of ours takes its place among the relayed ones.
 */
export class ReplyQueue {
  #queue: Outstanding[] | undefined;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#queue?.length ?? 0;
  }

  /** Whether one more question would be refused. */
  get full(): boolean {
    return this.length >= this.#limit;
  }

  #push(entry: Outstanding): void {
    this.#queue ??= [];
    if (this.full) throw new ProtocolError('too many unanswered requests');
    this.#queue.push(entry);
  }

  /** A request was passed on; `settle` hears its reply. */
  relayed(settle?: (reply: Buffer) => void): void {
    this.#push(settle === undefined ? RELAYED : { origin: 'relayed', give: undefined, settle });
  }

  /** A request of ours was sent, or one whose reply has been given already; `settle` hears its reply. */
  own(settle?: (reply: Buffer) => void): void {
    this.#push(settle === undefined ? OWN : { origin: 'own', give: undefined, settle });
  }

  /** A request was not passed on: `give` answers it as soon as all requests before it have been answered. */
  answered(give: () => void): void {
    if (this.length === 0) give();
    else this.#push({ origin: 'answer', give, settle: undefined });
  }

  /** A reply has come; whose it is, or undefined when nobody asked. Afterwards `release` must be called. */
  next(reply: Buffer): 'relayed' | 'own' | undefined {
    const entry = this.#queue?.shift();
    entry?.settle?.(reply);
    return entry === undefined || entry.origin === 'answer' ? undefined : entry.origin;
  }

  /** Gives the answers of ours whose turn has come. */
  release(): void {
    while (this.#queue?.[0]?.origin === 'answer') this.#queue.shift()?.give?.();
  }

  /** Nobody will answer any more: calls `fail` for each relayed request, in order, and gives the others. */
  abandon(fail: () => void): void {
    const queue = this.#queue ?? [];
    this.#queue = undefined;
    for (const entry of queue) {
      if (entry.origin === 'relayed') fail();
      else entry.give?.();
    }
  }
}

export interface ChannelLimits {
  readonly sessions_per_connection: number;
  readonly forwards: number;
  readonly channels: number;
  /** Requests of one channel that wait for their reply. */
  readonly requests: number;
}

/** The channels of a connection by our number; numbers are given again once a channel is over. */
export class ChannelTable {
  readonly #channels: (Channel | undefined)[] = [];
  /** Whether the gate is, or was, an end of one of them. */
  hasLocal = false;
  readonly #limits: ChannelLimits;
  readonly #onEnded: (channel: Channel) => void;
  #ordinals = 0;
  #count = 0;
  #sessions = 0;

  /** `onEnded` hears of each channel that is over, once. */
  constructor(limits: ChannelLimits, onEnded: (channel: Channel) => void) {
    this.#limits = limits;
    this.#onEnded = onEnded;
  }

  /** Whether another channel of this type would be too many. */
  isFull(type: string): boolean {
    const { sessions_per_connection: sessions, forwards, channels } = this.#limits;
    if (this.#count >= channels) return true;
    if (type === 'session') return this.#sessions >= sessions;
    return this.#count - this.#sessions >= forwards;
  }

  /** Makes a channel with the next free number; the caller has seen that the table is not full. */
  add(openedBy: Side, type: string, makeWriter: (ordinal: number) => ContainerWriter): Channel {
    let number = this.#channels.indexOf(undefined);
    if (number === -1) number = this.#channels.length;
    const ordinal = this.#ordinals++;
    const writer = makeWriter(ordinal);
    const channel = new Channel(number, ordinal, openedBy, type, writer, this.#limits.requests);
    this.#channels[number] = channel;
    this.#count++;
    if (type === 'session') this.#sessions++;
    return channel;
  }

  /** The channel a peer means; undefined for a number that is not in use. */
  get(number: number): Channel | undefined {
    return number < this.#channels.length ? this.#channels[number] : undefined;
  }

  /** The channel is over; its number may be given again. */
  end(channel: Channel): void {
    if (this.#channels[channel.number] !== channel) return;
    channel.state = 'closed';
    this.#channels[channel.number] = undefined;
    this.#count--;
    if (channel.type === 'session') this.#sessions--;
    this.#onEnded(channel);
  }

  all(): Channel[] {
    return this.#channels.filter((channel) => channel !== undefined);
  }
}
