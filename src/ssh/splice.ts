/**
 * The joint between a session that began at the gate and the target that its user has chosen (DESIGN 3.2). Upstream is
 * opened with what is left of the user's window; what the session asked for before is replayed, its replies swallowed,
 * since they have been given; and what the user sends waits until the target takes it. What the target grants is passed
 * on once it exceeds what we had granted. From then on both ends have their own windows again, and the relay goes on alone.
 */
import { ProtocolError } from '../base/errors.ts';
import { CODES } from '../recording/container.ts';
import type { ContainerWriter } from '../recording/writer.ts';
import { printable } from '../wire/channel-request.ts';
import {
  decodeOpenConfirmation,
  decodeOpenFailure,
  encodeAdjust,
  encodeData,
  encodeSessionOpen,
  MSG,
} from '../wire/messages.ts';
import { KINDS } from '../recording/container.ts';
import { MIN_PACKET } from './gatekeeper.ts';
import { DOWN, UP } from './mux.ts';
import type { Channel, LocalEnd, Side } from './mux.ts';
import { copyOf } from './packet-sender.ts';
import type { HeldMessage, Passage } from './passage.ts';
import * as kinds from './record-kinds.ts';
import type { Relay } from './relay.ts';

const MAX_PACKET = 32_768;
/** Messages of the user that wait for the target. */
const MAX_WAITING = 1024;

/** What a session has asked for and sent before there was a target. */
export interface KeptSession {
  /** Recorded as held. */
  readonly requests: readonly HeldMessage[];
  /** The newest `window-change`. */
  readonly resize: Buffer | undefined;
  /** Data, and what stood behind it, as whole messages. */
  readonly ahead: readonly Buffer[];
}

export interface SpliceOptions {
  readonly channel: Channel;
  readonly passage: Passage;
  readonly relay: Relay;
  /** The connection's own container. */
  readonly connection: ContainerWriter;
  readonly kept: KeptSession;
  /** The largest packet that the user takes. */
  readonly maxPacket: number;
  /** The target does not give the session; the channel is the gate's again. */
  readonly onRefused: (why: string) => void;
  /** The target has opened a session and gives it no shell. */
  readonly onUseless: () => void;
}

export class Splice implements LocalEnd {
  readonly #options: SpliceOptions;
  /** What waits for its turn. */
  #waiting: Buffer[];
  /** Of the data in it. */
  #waitingBytes = 0;
  #adjusts: Buffer[] = [];
  #confirmed = false;
  /** What the target takes. */
  #credit = 0;
  #maxPacket = 0;
  /** What is let through is the relay's. */
  #passing = false;
  #done = false;

  constructor(options: SpliceOptions) {
    this.#options = options;
    this.#waiting = [];
    for (const message of options.kept.ahead) this.#wait(message);
  }

  /** Opens the session at the target. */
  begin(): void {
    const { channel, connection, maxPacket, passage, relay } = this.#options;
    channel.local = this;
    const size = Math.min(maxPacket, MAX_PACKET);
    const open = encodeSessionOpen(channel.number, channel.credit[UP], size);
    passage.make(UP, connection, kinds.open(DOWN), open, CODES.splice);
    relay.releaseHeld();
  }

  onMessage(side: Side, payload: Buffer): boolean {
    if (this.#passing || this.#done) return false;
    return side === DOWN ? this.#fromUser(payload) : this.#fromTarget(payload);
  }

  onDrained(): void {
    // The gate itself has nothing to send here.
  }

  onOver(): void {
    this.#done = true;
    this.#waiting = [];
  }

  #fromUser(payload: Buffer): boolean {
    if (payload[0] === MSG.channelWindowAdjust) {
      if (this.#confirmed) return false;
      this.#adjusts.push(Buffer.from(payload));
      this.#bound(this.#adjusts.length);
      return true;
    }
    if (this.#confirmed && this.#waiting.length === 0 && payload[0] !== MSG.channelData) {
      return false;
    }
    this.#wait(Buffer.from(payload));
    if (this.#confirmed) this.#flush();
    return true;
  }

  #wait(message: Buffer): void {
    if (message[0] === MSG.channelData) {
      const data = dataOf(message);
      this.#waitingBytes += data.length;
      const { channel } = this.#options;
      // A tenth over the window is tolerated, as the relay does.
      if (this.#waitingBytes > channel.credit[DOWN] * 1.1) {
        throw new ProtocolError('more data than the window allows');
      }
    }
    this.#waiting.push(message);
    this.#bound(this.#waiting.length);
  }

  #bound(count: number): void {
    if (count > MAX_WAITING) throw new ProtocolError('too much before the target has answered');
  }

  #fromTarget(payload: Buffer): boolean {
    const { channel, connection, passage, relay } = this.#options;
    const type: number = payload[0] ?? 0;
    switch (type) {
      case MSG.channelOpenConfirmation:
        if (this.#confirmed) return true;
        passage.withhold(UP, connection, kinds.openReply(UP), payload, CODES.splice);
        this.#onConfirmed(payload);
        return true;
      case MSG.channelOpenFailure: {
        if (this.#confirmed) return true;
        passage.withhold(UP, connection, kinds.openReply(UP), payload, CODES.splice);
        const { description } = decodeOpenFailure(payload);
        this.#refused(printable(description.subarray(0, 200)));
        return true;
      }
      case MSG.channelWindowAdjust:
        if (!this.#confirmed) return true;
        if (payload.length !== 9) throw new ProtocolError('a window adjust of a wrong size');
        this.#grant(payload.readUInt32BE(5));
        relay.adjust(UP, channel, payload);
        this.#flush();
        return true;
      default:
        return !this.#confirmed;
    }
  }

  #grant(amount: number): void {
    this.#credit += amount;
    if (this.#credit > 0xffffffff) throw new ProtocolError('a window grows beyond 2^32-1 bytes');
  }

  #onConfirmed(payload: Buffer): void {
    const { channel, kept, passage, relay } = this.#options;
    const { sender, window, maxPacket } = decodeOpenConfirmation(payload);
    if (maxPacket < MIN_PACKET) {
      throw new ProtocolError('a channel with packets below 1,024 bytes');
    }
    this.#confirmed = true;
    this.#maxPacket = Math.min(maxPacket, MAX_PACKET);
    channel.peer[UP] = sender;
    channel.state = 'open';
    // What we have granted and the target has not.
    channel.skew[DOWN] = channel.credit[DOWN];
    this.#grant(window);
    const passed = channel.passedAdjust(DOWN, window);
    if (passed > 0) {
      channel.grant(DOWN, passed);
      const adjust = encodeAdjust(channel.peer[DOWN], passed);
      passage.make(DOWN, channel.writer, KINDS.window, adjust, CODES.splice);
    }
    const last = kept.requests.at(-1);
    for (const held of kept.requests) {
      relay.replay(channel, held, (reply) => {
        if (held === last && reply[0] !== MSG.channelSuccess) this.#useless();
      });
    }
    if (kept.resize) {
      const { payload: resize } = copyOf(kept.resize, sender);
      passage.make(UP, channel.writer, kinds.request(DOWN), resize, CODES.splice);
    }
    for (const adjust of this.#adjusts.splice(0)) this.#pass(adjust);
    this.#flush();
  }

  /** Passes on what waits, as far as the target takes it; then lets go. */
  #flush(): void {
    const { channel } = this.#options;
    for (let message = this.#waiting[0]; message && !this.#done; message = this.#waiting[0]) {
      if (message[0] !== MSG.channelData) {
        this.#waiting.shift();
        this.#pass(message);
        continue;
      }
      const data = dataOf(message);
      const length = Math.min(data.length, this.#credit, this.#maxPacket);
      if (length < data.length && length === 0) return;
      this.#credit -= length;
      this.#waitingBytes -= length;
      const rest = data.subarray(length);
      if (rest.length === 0) this.#waiting.shift();
      else this.#waiting[0] = encodeData(channel.number, rest);
      this.#pass(encodeData(channel.number, data.subarray(0, length)));
    }
    // A target that takes smaller packets than the user was told keeps this way to the end.
    if (this.#done || channel.skew[DOWN] !== 0 || this.#maxPacket < MAX_PACKET) return;
    this.#done = true;
    channel.local = undefined;
  }

  /** Hands a message to the relay, which checks, records and passes it as if it came now. */
  #pass(message: Buffer): void {
    this.#passing = true;
    try {
      this.#options.relay.onPayload(DOWN, message);
    } finally {
      this.#passing = false;
    }
  }

  #refused(why: string): void {
    if (this.#done) return;
    this.#done = true;
    this.#options.onRefused(why);
  }

  #useless(): void {
    this.#done = true;
    this.#waiting = [];
    const { channel, onUseless } = this.#options;
    channel.local = undefined;
    if (channel.state === 'open') onUseless();
  }
}

/** The data in a message; see `relay.ts` for the layout. */
function dataOf(message: Buffer): Buffer {
  if (message.length < 9 || message.readUInt32BE(5) !== message.length - 9) {
    throw new ProtocolError('channel data of another length than it says');
  }
  return message.subarray(9);
}
