/**
 * The gate's own end of a channel that a user has opened: what it confirms, what it lets the user send, what it sends
 * within what the user takes. Here, and in `splice.ts` which takes over from it, are the only windows of our own; all
 * other channels have those of their ends. It records the channel's requests, its end and, unless told otherwise, its data.
 */
import { ProtocolError } from '../base/errors.ts';
import { CODES, DIRECTION, FATE, KINDS } from '../recording/container.ts';
import type { ContainerWriter } from '../recording/writer.ts';
import {
  decodeChannelRequest,
  encodeAdjust,
  encodeChannelMessage,
  encodeData,
  encodeExit,
  encodeExtendedData,
  encodeOpenConfirmation,
  MSG,
} from '../wire/messages.ts';
import type { ChannelRequest } from '../wire/messages.ts';
import { DOWN, UP } from './mux.ts';
import type { Channel, LocalEnd, Side } from './mux.ts';
import type { Passage } from './passage.ts';
import * as kinds from './record-kinds.ts';

const MAX_PACKET = 32_768;

export interface EndpointOptions {
  readonly channel: Channel;
  readonly passage: Passage;
  /** The connection's own container, where opens and their answers stand. */
  readonly connection: ContainerWriter;
  /** What the user may send before more is granted; never more is outstanding. */
  readonly window: number;
  /** The largest packet that the user takes. */
  readonly maxPacket: number;
  /** Of records: why the gate makes and takes these messages itself. */
  readonly code: number;
  /** Whether data is recorded. */
  readonly recordsData: boolean;
  /** Takes the channel out of the books, when both sides have closed it. */
  readonly forget: () => void;
}

export interface EndpointEvents {
  /** A view that is good until it returns. */
  onData(data: Buffer): void;
  /** More may be written. */
  onWritable(): void;
  /** To be answered by `reply` if it asks for that; it is not recorded yet. */
  onRequest(request: ChannelRequest, payload: Buffer): void;
  onEof(): void;
  /** The channel is over, whoever ended it; called once. */
  onOver(): void;
}

export class Endpoint implements LocalEnd {
  readonly channel: Channel;
  readonly passage: Passage;
  readonly #options: EndpointOptions;
  readonly #maxPacket: number;
  #events: EndpointEvents | undefined;
  #consumed = 0;
  #eof = false;
  #over = false;

  constructor(options: EndpointOptions) {
    this.channel = options.channel;
    this.passage = options.passage;
    this.#options = options;
    this.#maxPacket = Math.min(options.maxPacket, MAX_PACKET);
  }

  /** Confirms the channel; from here on `events` hears what happens on it. */
  confirm(events: EndpointEvents): void {
    const { channel, passage, connection, window, code } = this.#options;
    this.#events = events;
    channel.state = 'own';
    channel.grant(DOWN, window);
    const confirmation = encodeOpenConfirmation({
      recipient: channel.peer[DOWN],
      sender: channel.number,
      window,
      maxPacket: MAX_PACKET,
    });
    passage.make(DOWN, connection, kinds.openReply(UP), confirmation, code);
  }

  /** Sends as much of the data as there is room for now, and returns how much that was. */
  write(data: Buffer): number {
    const { channel, passage, recordsData } = this.#options;
    if (this.#eof || channel.closed[UP]) return data.length;
    const room = Math.min(channel.credit[UP], passage.room(DOWN));
    const length = Math.max(0, Math.min(room, data.length));
    for (let at = 0; at < length; at += this.#maxPacket) {
      const piece = data.subarray(at, Math.min(length, at + this.#maxPacket));
      channel.spend(UP, piece.length);
      const writer = recordsData ? channel.writer : undefined;
      const message = encodeData(channel.peer[DOWN], piece);
      const content = message.length - piece.length;
      passage.makeOutput(writer, KINDS.stdout, message, content, this.#options.code);
    }
    return length;
  }

  /** Sends one line to standard error; what there is no room for is left out. */
  writeError(line: string): void {
    const { channel, passage, code } = this.#options;
    const data = Buffer.from(`${line}\n`).subarray(0, this.#maxPacket);
    if (this.#eof || data.length > channel.credit[UP]) return;
    channel.spend(UP, data.length);
    const message = encodeExtendedData(channel.peer[DOWN], data);
    passage.makeOutput(channel.writer, KINDS.stderr, message, message.length - data.length, code);
  }

  /** So much of what came has been used up: the user may send as much again. */
  consumed(bytes: number): void {
    const { channel, window } = this.#options;
    this.#consumed += bytes;
    if (this.#consumed < window / 2 || channel.closed[UP]) return;
    const amount = this.#consumed;
    this.#consumed = 0;
    channel.grant(DOWN, amount);
    this.#send(KINDS.window, encodeAdjust(channel.peer[DOWN], amount));
  }

  /** Answers the request at hand. */
  reply(success: boolean): void {
    const { channel } = this.#options;
    const type = success ? MSG.channelSuccess : MSG.channelFailure;
    this.#make(kinds.reply(UP), encodeChannelMessage(type, channel.peer[DOWN]));
  }

  /** Records what the user sent and the gate keeps to itself. */
  withhold(kind: number, payload: Buffer): void {
    const { channel, passage, code } = this.#options;
    passage.withhold(DOWN, channel.writer, kind, payload, code);
  }

  /** Records something about the channel: JSON of a few fields. */
  note(detail: Readonly<Record<string, unknown>>): void {
    const payload = Buffer.from(JSON.stringify(detail));
    this.channel.writer.put(KINDS.policy, DIRECTION.none, FATE.made, CODES.none, payload);
  }

  /** Says how it ended, as a command would. */
  exit(status: number): void {
    const { channel } = this.#options;
    if (channel.closed[UP]) return;
    channel.end = `exit ${status}`;
    this.#make(kinds.request(UP), encodeExit(channel.peer[DOWN], status));
  }

  /** Ends the channel: nothing more is written. */
  close(): void {
    const { channel } = this.#options;
    if (channel.closed[UP]) return;
    if (!this.#eof) {
      this.#eof = true;
      this.#make(KINDS.eof, encodeChannelMessage(MSG.channelEof, channel.peer[DOWN]));
    }
    channel.closed[UP] = true;
    this.#make(KINDS.close, encodeChannelMessage(MSG.channelClose, channel.peer[DOWN]));
    if (channel.closed[DOWN]) this.#options.forget();
  }

  /** The leg takes more again. */
  onDrained(): void {
    if (!this.#over) this.#events?.onWritable();
  }

  onMessage(side: Side, payload: Buffer): boolean {
    if (side === DOWN && !this.#over) this.#take(payload);
    return true;
  }

  #take(payload: Buffer): void {
    const { channel } = this.#options;
    const type: number = payload[0] ?? 0;
    switch (type) {
      case MSG.channelData:
        this.#onData(payload, 9);
        return;
      case MSG.channelExtendedData:
        this.#onData(payload, 13);
        return;
      case MSG.channelWindowAdjust:
        if (payload.length !== 9) throw new ProtocolError('a window adjust of a wrong size');
        channel.grant(UP, payload.readUInt32BE(5));
        if (this.#options.recordsData) this.withhold(KINDS.window, payload);
        this.#events?.onWritable();
        return;
      case MSG.channelRequest: {
        const request = decodeChannelRequest(payload);
        if (request.type !== 'keepalive@openssh.com') this.#events?.onRequest(request, payload);
        else if (request.wantReply) {
          const failure = encodeChannelMessage(MSG.channelFailure, channel.peer[DOWN]);
          this.passage.own(DOWN, failure);
        }
        return;
      }
      case MSG.channelEof:
        this.withhold(KINDS.eof, payload);
        this.#events?.onEof();
        return;
      case MSG.channelClose:
        if (channel.closed[DOWN]) return;
        channel.closed[DOWN] = true;
        this.withhold(KINDS.close, payload);
        if (channel.closed[UP]) this.#options.forget();
        else this.close();
        return;
      default:
      // A reply: the gate asks nothing on such a channel.
    }
  }

  /** See `relay.ts` for the layout. */
  #onData(payload: Buffer, at: number): void {
    if (payload.length < at || payload.readUInt32BE(at - 4) !== payload.length - at) {
      throw new ProtocolError('channel data of another length than it says');
    }
    const data = payload.subarray(at);
    this.channel.spend(DOWN, data.length);
    // Extended data has no meaning in this direction.
    if (at === 9 && !this.channel.closed[UP]) this.#events?.onData(data);
    else this.consumed(data.length);
  }

  onOver(): void {
    if (this.#over) return;
    this.#over = true;
    this.#events?.onOver();
  }

  /** Somebody else takes what comes on the channel from here on; it may still be written to and closed. */
  handOver(): void {
    this.#events = undefined;
  }

  #make(kind: number, payload: Buffer): void {
    const { channel, passage, code } = this.#options;
    passage.make(DOWN, channel.writer, kind, payload, code);
  }

  /** Windows of channels whose data is not recorded are not, either. */
  #send(kind: number, payload: Buffer): void {
    if (this.#options.recordsData) this.#make(kind, payload);
    else this.passage.own(DOWN, payload);
  }
}
