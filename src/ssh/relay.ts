/**
 * The relay of one connection (DESIGN 3.2): every message of the connection protocol (RFC 4254) is checked, judged,
 * recorded, and then passed on payload for payload, with nothing but its channel numbers rewritten. `WINDOW_ADJUST`
 * travels end to end, so back-pressure is the endpoints' own. Until upstream is there, what comes from downstream is
 * recorded as held and waits.
 */
import { ProtocolError } from '../base/errors.ts';
import type { AppError } from '../base/errors.ts';
import { CODES, KINDS } from '../recording/container.ts';
import { decodeChannelRequest, encodeChannelMessage, MSG } from '../wire/messages.ts';
import { ChannelOpens } from './channel-opens.ts';
import { Forwards } from './forwards.ts';
import { judgeRequest } from './gatekeeper.ts';
import type { Passed } from './gatekeeper.ts';
import { GlobalRequests } from './global-requests.ts';
import { ChannelTable, DOWN, UP, other } from './mux.ts';
import type { Channel, Side } from './mux.ts';
import { OwnChannel } from './own-channel.ts';
import type { OwnChannelEvents } from './own-channel.ts';
import type { HeldMessage, Passage } from './passage.ts';
import * as kinds from './record-kinds.ts';
import type { RelayOptions } from './relay-options.ts';

export class Relay {
  readonly passage: Passage;
  readonly #options: RelayOptions;
  readonly #channels: ChannelTable;
  readonly #opens: ChannelOpens;
  readonly #globals: GlobalRequests;
  readonly #forwards: Forwards;
  /** A channel between the gate and the user alone. */
  #own: OwnChannel | undefined;

  constructor(options: RelayOptions) {
    const { events, limits, passage } = options;
    this.#options = options;
    this.passage = passage;
    this.#forwards = new Forwards(() => options.destination, limits.forwards);
    this.#channels = new ChannelTable(limits, (channel) => {
      channel.watch?.end();
      channel.local?.onOver();
      this.#forwards.ended(channel);
      events.onChannelEnded(channel);
    });
    this.#opens = new ChannelOpens(options, this.#channels, this.#forwards, {
      onCarries: (channel, protocol) => events.onChannelCarries(channel, protocol),
      onRefused: (channel, why) => this.refuse(channel, why),
    });
    this.#globals = new GlobalRequests(options, this.#forwards);
  }

  get channels(): readonly Channel[] {
    return this.#channels.all();
  }

  /** Some container has advanced: delivers what is recorded by now. */
  onWritten(): void {
    this.onWritable(DOWN);
    this.onWritable(UP);
  }

  /** A leg takes more: delivers to it what is recorded by now, and then what the gate itself has for it. */
  onWritable(side: Side): void {
    this.passage.drain(side);
    if (side === UP || !this.#channels.hasLocal) return;
    for (const channel of this.#channels.all()) channel.local?.onDrained();
  }

  /** There is no upstream and there will be none: answers what is outstanding, and all that comes yet, with `error`. */
  fail(error: AppError): void {
    this.passage.closeUpstream();
    this.#opens.fail(error);
    this.#globals.fail();
  }

  /** Whether a channel open has been answered with why there is no upstream. */
  get toldWhy(): boolean {
    return this.#opens.toldWhy;
  }

  /** The connection ends: so do its channels. */
  closeAll(): void {
    for (const channel of this.#channels.all()) {
      if (channel.end === '') channel.end = 'connection ended';
      this.#channels.end(channel);
    }
  }

  /** Opens a channel of the gate's own to the user; undefined when there are too many, or one already. */
  openToUser(type: string, events: OwnChannelEvents): OwnChannel | undefined {
    if (this.#own !== undefined || this.#channels.isFull(type)) return undefined;
    this.#own = new OwnChannel(this.#options, this.#channels, type, events);
    return this.#own;
  }

  /** Asks a leg whether it lives; the answer is swallowed. */
  keepalive(side: Side): void {
    this.#globals.keepalive(side);
  }

  /** A message from `side`. Throws `ProtocolError` for what that peer may not send. */
  onPayload(side: Side, payload: Buffer): void {
    if (this.#own !== undefined && side === DOWN && this.#takeOwn(this.#own, payload)) return;
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
        this.#opens.onOpen(side, payload);
        break;
      case MSG.channelOpenConfirmation:
        this.#opens.onConfirmation(side, payload);
        break;
      case MSG.channelOpenFailure:
        this.#opens.onFailure(side, payload);
        break;
      case MSG.globalRequest:
        this.#globals.onRequest(side, payload);
        break;
      default:
        this.#globals.onReply(side, payload);
    }
    this.passage.limit(side);
  }

  #takeOwn(own: OwnChannel, payload: Buffer): boolean {
    const taken = own.take(payload);
    if (own.over) this.#own = undefined;
    if (taken) this.passage.limit(DOWN);
    return taken;
  }

  /**
   * The open channel a message is for; undefined: ignored, or taken by the gate's own end. Behind a CLOSE all passes until
   * both sides have closed.
   */
  #channelOf(side: Side, payload: Buffer): Channel | undefined {
    if (payload.length < 5) throw new ProtocolError('a channel message without a channel');
    const channel = this.#channels.get(payload.readUInt32BE(1));
    if (channel?.local === undefined) return channel?.state === 'open' ? channel : undefined;
    return channel.local.onMessage(side, payload) || channel.state !== 'open' ? undefined : channel;
  }

  /**
   * RFC 4254 section 5.2:
   *   byte      SSH_MSG_CHANNEL_DATA              SSH_MSG_CHANNEL_EXTENDED_DATA
   *   uint32    recipient channel                 recipient channel
   *   uint32                                      data type code
   *   string    data                              data
   */
  #onData(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(side, payload);
    const plain = payload[0] === MSG.channelData;
    const at = plain ? 9 : 13;
    if (payload.length < at || payload.readUInt32BE(at - 4) !== payload.length - at) {
      throw new ProtocolError('channel data of another length than it says');
    }
    if (!channel) return;
    channel.spend(side, payload.length - at);
    const recipient = channel.peer[other(side)];
    if (plain) {
      if (channel.watch !== undefined && !channel.watch.onData(side, payload)) return;
      this.passage.passData(side, channel.writer, kinds.data(side), recipient, payload, at);
    } else if (side === UP && payload.readUInt32BE(5) === 1) {
      this.passage.passData(side, channel.writer, KINDS.stderr, recipient, payload, at);
    } else {
      this.passage.pass(side, channel.writer, KINDS['extended-data'], recipient, payload);
    }
  }

  #onAdjust(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(side, payload);
    if (payload.length !== 9) throw new ProtocolError('a window adjust of a wrong size');
    if (!channel) return;
    this.adjust(side, channel, payload);
  }

  /** Passes on what `side` grants, lowered by what the other one has had from us. */
  adjust(side: Side, channel: Channel, payload: Buffer): void {
    const to = other(side);
    const amount = payload.readUInt32BE(5);
    const passed = channel.passedAdjust(to, amount);
    channel.grant(to, passed);
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
    const channel = this.#channelOf(side, payload);
    const to = other(side);
    if (!channel) return;
    channel.watch?.release(side);
    this.passage.pass(side, channel.writer, KINDS.eof, channel.peer[to], payload);
  }

  #onClose(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(side, payload) ?? this.#channels.get(payload.readUInt32BE(1));
    if (!channel || channel.closed[side]) return;
    if (channel.state === 'open') {
      channel.watch?.release(side);
      this.passage.pass(side, channel.writer, KINDS.close, channel.peer[other(side)], payload);
    } else if (channel.state !== 'closing') return;
    channel.closed[side] = true;
    if (channel.closed[other(side)]) this.#channels.end(channel);
  }

  /** The gate closes a channel on both sides; what still comes in it is ignored, and it is over with their CLOSE. */
  refuse(channel: Channel, why: string): void {
    channel.end = `refused: ${why}`;
    channel.watch = undefined;
    channel.state = 'closing';
    for (const side of [DOWN, UP] as const) {
      if (channel.closed[other(side)]) continue;
      const close = encodeChannelMessage(MSG.channelClose, channel.peer[side]);
      this.passage.make(side, channel.writer, KINDS.close, close, CODES.policy);
    }
  }

  #onRequest(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(side, payload);
    const request = decodeChannelRequest(payload);
    if (!channel) return;
    const to = other(side);
    const kind = kinds.request(side);
    const { destination } = this.#options;
    const judgement = judgeRequest(side, request, destination, this.#forwards);
    switch (judgement.verdict) {
      case 'pass':
        this.passage.pass(side, channel.writer, kind, channel.peer[to], payload);
        this.#requestPassed(channel, to, judgement, request.wantReply);
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

  /** A session that began at the gate has been opened at its target: what waited for that follows. */
  releaseHeld(): void {
    this.#globals.release();
  }

  /**
   * Passes on a request of the user that was held until there was an upstream. It has been granted, so what comes of it
   * is heard by `onReply` alone; one that no rule allows here stays where it is.
   */
  replay(channel: Channel, held: HeldMessage, onReply: (reply: Buffer) => void): void {
    const { payload } = held;
    const request = decodeChannelRequest(payload);
    const judgement = judgeRequest(DOWN, request, this.#options.destination, this.#forwards);
    if (judgement.verdict !== 'pass') {
      const why = judgement.verdict === 'refuse' ? judgement.why : 'concerns the gate alone';
      this.passage.note(channel.writer, { withheld: request.type, why });
      return;
    }
    this.passage.release(held, channel.peer[UP]);
    this.#requestPassed(channel, UP, judgement, request.wantReply, onReply);
  }

  #requestPassed(
    channel: Channel,
    to: Side,
    passed: Passed,
    wantReply: boolean,
    swallow?: (reply: Buffer) => void,
  ): void {
    const { kind, command, wish } = passed;
    const settle = wish && this.#forwards.offered(channel, wish, wantReply);
    if (wantReply && swallow) {
      channel.unanswered[to].own((reply) => {
        settle?.(reply);
        swallow(reply);
      });
    } else if (wantReply) channel.unanswered[to].relayed(settle);
    if (kind === undefined) return;
    channel.kind = kind;
    channel.end = '';
    this.#options.events.onChannelKind(channel, command ?? '');
  }

  #onChannelReply(side: Side, payload: Buffer): void {
    const channel = this.#channelOf(side, payload);
    const origin = channel?.unanswered[side].next(payload);
    // A reply that nobody asked for has no place in the order of replies.
    if (!channel || origin === undefined) return;
    if (origin === 'relayed') {
      const to = other(side);
      this.passage.pass(side, channel.writer, kinds.reply(side), channel.peer[to], payload);
    }
    channel.unanswered[side].release();
  }
}
