/**
 * The relay of one connection (DESIGN 3.2): every message of the connection protocol (RFC 4254) is checked, judged,
 * recorded, and then passed on payload for payload, with nothing but its channel numbers rewritten. `WINDOW_ADJUST`
 * travels end to end, so back-pressure is the endpoints' own. Until upstream is there, what comes from downstream is
 * recorded as held and waits.
 */
import { ProtocolError } from '../base/errors.ts';
import type { AppError } from '../base/errors.ts';
import { CODES, KINDS } from '../recording/container.ts';
import type { ContainerWriter } from '../recording/writer.ts';
import { printable } from '../wire/channel-request.ts';
import {
  decodeChannelRequest,
  decodeGlobalRequest,
  decodeOpen,
  decodeOpenConfirmation,
  decodeOpenFailure,
  encodeChannelMessage,
  encodeGlobalRequest,
  encodeOpenFailure,
  MSG,
  OPEN_FAILURE,
} from '../wire/messages.ts';
import type { Destination } from '../access/policy.ts';
import { judgeGlobal, judgeRequest, MIN_PACKET, refusalOfOpen } from './gatekeeper.ts';
import { ChannelTable, DOWN, ReplyQueue, UP, other } from './mux.ts';
import type { Channel, Side } from './mux.ts';
import type { Passage } from './passage.ts';
import * as kinds from './record-kinds.ts';

/** What the relay tells about the connection; the owner makes rows and trails of it. */
export interface RelayEvents {
  /** A container for a channel that is about to be opened. */
  openChannelTrail(ordinal: number, type: string, openedBy: Side, open: Buffer): ContainerWriter;
  onChannelOpened(channel: Channel): void;
  /** A request has said what the channel is. */
  onChannelKind(channel: Channel, command: string): void;
  onChannelEnded(channel: Channel): void;
}

/** From the configuration's `limits`. */
export interface RelayLimits {
  readonly sessions_per_connection: number;
  readonly forwards: number;
  readonly channels: number;
  readonly refused_opens: number;
  readonly requests: number;
}

export interface RelayOptions {
  readonly passage: Passage;
  readonly writer: ContainerWriter;
  readonly destination: Destination | undefined;
  readonly limits: RelayLimits;
  readonly events: RelayEvents;
}

const MAX_PACKET = 32_768;
const NO_BODY = Buffer.from([MSG.requestFailure]);

export class Relay {
  readonly passage: Passage;
  readonly #options: RelayOptions;
  readonly #writer: ContainerWriter;
  readonly #channels: ChannelTable;
  /** Global requests that each side has yet to answer. */
  readonly #unanswered: readonly [ReplyQueue, ReplyQueue];
  #refusedOpens = 0;
  #failed: AppError | undefined;
  #toldWhy = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#writer = options.writer;
    this.passage = options.passage;
    const questions = (): ReplyQueue => new ReplyQueue(options.limits.requests);
    this.#unanswered = [questions(), questions()];
    this.#channels = new ChannelTable(options.limits);
  }

  get channels(): readonly Channel[] {
    return this.#channels.all();
  }

  /** Some container has advanced: delivers what is recorded by now. */
  onWritten(): void {
    this.passage.drain(DOWN);
    this.passage.drain(UP);
  }

  /** There is no upstream and there will be none: answers what is outstanding, and all that comes yet, with `error`. */
  fail(error: AppError): void {
    this.#failed = error;
    this.passage.closeUpstream();
    for (const channel of this.#channels.all()) this.#failOpen(channel, error);
    this.#unanswered[UP].abandon(() => this.#answerGlobal(DOWN));
  }

  /** Whether a channel open has been answered with why there is no upstream. */
  get toldWhy(): boolean {
    return this.#toldWhy;
  }

  /** The connection ends: so do its channels. */
  closeAll(): void {
    for (const channel of this.#channels.all()) {
      if (channel.end === '') channel.end = 'connection ended';
      this.#forget(channel);
    }
  }

  #failOpen(channel: Channel, error: AppError): void {
    const { connectFailed } = OPEN_FAILURE;
    this.#refuseOpen(DOWN, channel.peer[DOWN], connectFailed, error.message, CODES.upstream);
    channel.end = `refused: ${error.message}`;
    this.#forget(channel);
  }

  /** Asks a leg whether it lives, unless enough questions wait for its answer; the answer is swallowed. */
  keepalive(side: Side): void {
    if (this.#unanswered[side].full) return;
    this.#unanswered[side].own();
    this.passage.own(side, encodeGlobalRequest('keepalive@openssh.com', true));
  }

  /** A message from `side`. Throws `ProtocolError` for what that peer may not send. */
  onPayload(side: Side, payload: Buffer): void {
    const type: number = payload[0] ?? 0;
    switch (type) {
      case MSG.channelData:
      case MSG.channelExtendedData:
        this.#onData(side, payload);
        break;
      case MSG.channelWindowAdjust:
        this.#onAdjust(side, payload);
        break;
      case MSG.channelRequest:
        this.#onRequest(side, payload);
        break;
      case MSG.channelSuccess:
      case MSG.channelFailure:
        this.#onChannelReply(side, payload);
        break;
      case MSG.channelEof:
        this.#onEof(side, payload);
        break;
      case MSG.channelClose:
        this.#onClose(side, payload);
        break;
      case MSG.channelOpen:
        this.#onOpen(side, payload);
        break;
      case MSG.channelOpenConfirmation:
        this.#onConfirmation(side, payload);
        break;
      case MSG.channelOpenFailure:
        this.#onOpenFailure(side, payload);
        break;
      case MSG.globalRequest:
        this.#onGlobal(side, payload);
        break;
      default:
        this.#onGlobalReply(side, payload);
    }
    this.passage.limit(side);
  }

  /** The open channel a message is for; undefined: ignored. Behind a CLOSE all passes until both sides have closed. */
  #channelOf(payload: Buffer): Channel | undefined {
    if (payload.length < 5) throw new ProtocolError('a channel message without a channel');
    const channel = this.#channels.get(payload.readUInt32BE(1));
    return channel?.state === 'open' ? channel : undefined;
  }

  /**
   * RFC 4254 section 5.2:
   *   byte      SSH_MSG_CHANNEL_DATA              SSH_MSG_CHANNEL_EXTENDED_DATA
   *   uint32    recipient channel                 recipient channel
   *   uint32                                      data type code
   *   string    data                              data
   */
  #onData(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(payload);
    const plain = payload[0] === MSG.channelData;
    const at = plain ? 9 : 13;
    if (payload.length < at || payload.readUInt32BE(at - 4) !== payload.length - at) {
      throw new ProtocolError('channel data of another length than it says');
    }
    if (!channel) return;
    channel.spend(side, payload.length - at);
    const recipient = channel.peer[other(side)];
    if (plain) {
      this.passage.passData(side, channel.writer, kinds.data(side), recipient, payload, at);
    } else if (side === UP && payload.readUInt32BE(5) === 1) {
      this.passage.passData(side, channel.writer, KINDS.stderr, recipient, payload, at);
    } else {
      this.passage.pass(side, channel.writer, KINDS['extended-data'], recipient, payload);
    }
  }

  #onAdjust(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(payload);
    if (payload.length !== 9) throw new ProtocolError('a window adjust of a wrong size');
    if (!channel) return;
    const to = other(side);
    const amount = payload.readUInt32BE(5);
    channel.grant(to, amount);
    const passed = channel.passedAdjust(to, amount);
    if (passed === amount) {
      this.passage.pass(side, channel.writer, KINDS.window, channel.peer[to], payload);
    } else if (passed === 0) {
      this.passage.withhold(side, channel.writer, KINDS.window, payload, CODES.leg);
    } else {
      const lowered = Buffer.from(payload);
      lowered.writeUInt32BE(passed, 5);
      this.passage.pass(
        side,
        channel.writer,
        KINDS.window,
        channel.peer[to],
        lowered,
        payload,
        CODES.leg,
      );
    }
  }

  #onEof(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(payload);
    const to = other(side);
    if (channel) this.passage.pass(side, channel.writer, KINDS.eof, channel.peer[to], payload);
  }

  #onClose(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(payload);
    if (!channel || channel.closed[side]) return;
    this.passage.pass(side, channel.writer, KINDS.close, channel.peer[other(side)], payload);
    channel.closed[side] = true;
    if (channel.closed[other(side)]) this.#forget(channel);
  }

  #forget(channel: Channel): void {
    channel.state = 'closed';
    this.#channels.remove(channel);
    this.#options.events.onChannelEnded(channel);
  }

  #onRequest(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(payload);
    const request = decodeChannelRequest(payload);
    if (!channel) return;
    const to = other(side);
    const kind = kinds.request(side);
    const { destination, events } = this.#options;
    const judgement = judgeRequest(side, request.type, request.data, destination);
    switch (judgement.verdict) {
      case 'pass':
        this.passage.pass(side, channel.writer, kind, channel.peer[to], payload);
        if (request.wantReply) channel.unanswered[to].relayed();
        if (judgement.kind !== undefined) {
          channel.kind = judgement.kind;
          events.onChannelKind(channel, judgement.command ?? '');
        }
        if (side === UP) channel.noteExit(request.type, request.data);
        return;
      case 'refuse':
        this.passage.withhold(side, channel.writer, kind, payload, judgement.code);
        if (channel.kind === 'session') channel.end = `refused: ${judgement.why}`;
        break;
      case 'own':
    }
    if (!request.wantReply) return;
    channel.unanswered[to].answered(() => {
      const reply = encodeChannelMessage(MSG.channelFailure, channel.peer[side]);
      if (judgement.verdict === 'own') this.passage.own(side, reply);
      else this.passage.make(side, channel.writer, kinds.reply(other(side)), reply, CODES.policy);
    });
  }

  #onChannelReply(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(payload);
    const origin = channel?.unanswered[side].next();
    // A reply that nobody asked for has no place in the order of replies.
    if (!channel || origin === undefined) return;
    if (origin === 'relayed') {
      const to = other(side);
      this.passage.pass(side, channel.writer, kinds.reply(side), channel.peer[to], payload);
    }
    channel.unanswered[side].release();
  }

  #onOpen(side: Side, payload: Buffer): void {
    const open = decodeOpen(payload);
    const kind = kinds.open(side);
    const full = this.#channels.isFull(open.type);
    const refusal = refusalOfOpen(side, open, full, this.#failed);
    if (refusal) {
      this.passage.withhold(side, this.#writer, kind, payload, refusal.code);
      this.#refuseOpen(side, open.sender, refusal.reason, refusal.text, refusal.code);
      if (++this.#refusedOpens > this.#options.limits.refused_opens) {
        throw new ProtocolError('too many channels were refused');
      }
      return;
    }
    const { events } = this.#options;
    const channel = this.#channels.add(side, open.type, (ordinal) =>
      events.openChannelTrail(ordinal, open.type, side, payload),
    );
    channel.peer[side] = open.sender;
    channel.grant(other(side), open.window);
    const outgoing = Buffer.from(payload);
    outgoing.writeUInt32BE(channel.number, open.senderAt);
    outgoing.writeUInt32BE(Math.min(open.maxPacket, MAX_PACKET), open.senderAt + 8);
    this.passage.pass(side, this.#writer, kind, -1, outgoing, payload);
    events.onChannelOpened(channel);
  }

  #refuseOpen(side: Side, sender: number, reason: number, text: string, code: number): void {
    if (this.#failed) this.#toldWhy = true;
    const failure = encodeOpenFailure(sender, reason, text);
    this.passage.make(side, this.#writer, kinds.openReply(other(side)), failure, code);
  }

  /** The channel whose opening a reply from `side` is about. */
  #opening(side: Side, recipient: number): Channel | undefined {
    const channel = this.#channels.get(recipient);
    return channel?.state === 'opening' && channel.openedBy !== side ? channel : undefined;
  }

  #onConfirmation(side: Side, payload: Buffer): void {
    const confirmation = decodeOpenConfirmation(payload);
    const channel = this.#opening(side, confirmation.recipient);
    if (!channel) return;
    if (confirmation.maxPacket < MIN_PACKET) {
      throw new ProtocolError('a channel with packets below 1,024 bytes');
    }
    const opener = channel.openedBy;
    channel.state = 'open';
    channel.peer[side] = confirmation.sender;
    channel.grant(opener, confirmation.window);
    const outgoing = Buffer.from(payload);
    outgoing.writeUInt32BE(channel.number, 5);
    outgoing.writeUInt32BE(Math.min(confirmation.maxPacket, MAX_PACKET), 13);
    this.passage.pass(
      side,
      this.#writer,
      kinds.openReply(side),
      channel.peer[opener],
      outgoing,
      payload,
    );
  }

  #onOpenFailure(side: Side, payload: Buffer): void {
    const failure = decodeOpenFailure(payload);
    const channel = this.#opening(side, failure.recipient);
    if (!channel) return;
    const kind = kinds.openReply(side);
    this.passage.pass(side, this.#writer, kind, channel.peer[channel.openedBy], payload);
    const why = printable(failure.description.subarray(0, 200));
    channel.end = `refused by the ${side === UP ? 'target' : 'client'}: ${why}`;
    this.#forget(channel);
  }

  #onGlobal(side: Side, payload: Buffer): void {
    const request = decodeGlobalRequest(payload);
    const kind = kinds.global(side);
    const to = other(side);
    const judgement = judgeGlobal(side, request.type);
    if (judgement.verdict === 'pass' && !this.#failed) {
      this.passage.pass(side, this.#writer, kind, -1, payload);
      if (request.wantReply) this.#unanswered[to].relayed();
      return;
    }
    if (judgement.verdict !== 'own') {
      const code = judgement.verdict === 'refuse' ? judgement.code : CODES.upstream;
      this.passage.withhold(side, this.#writer, kind, payload, code);
    }
    if (!request.wantReply) return;
    this.#unanswered[to].answered(() => {
      if (judgement.verdict === 'own') this.passage.own(side, NO_BODY);
      else this.#answerGlobal(side);
    });
  }

  #answerGlobal(side: Side): void {
    this.passage.make(side, this.#writer, kinds.globalReply(other(side)), NO_BODY, CODES.policy);
  }

  #onGlobalReply(side: Side, payload: Buffer): void {
    const origin = this.#unanswered[side].next();
    if (origin === undefined) return;
    if (origin === 'relayed')
      this.passage.pass(side, this.#writer, kinds.globalReply(side), -1, payload);
    this.#unanswered[side].release();
  }
}
