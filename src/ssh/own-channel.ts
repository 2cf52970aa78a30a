/**
 * A channel that the gate itself opens to the user, beside those that it relays; nothing of it reaches the target. It has a
 * trail of its own: what the gate sends stands there as made, what comes as withheld, since it goes no further. Its
 * windows are the gate's own.
 */
import { ProtocolError } from '../base/errors.ts';
import { CODES, KINDS } from '../recording/container.ts';
import { printable } from '../wire/channel-request.ts';
import { Writer } from '../wire/buffer.ts';
import {
  decodeChannelRequest,
  decodeOpenConfirmation,
  decodeOpenFailure,
  encodeChannelMessage,
  MSG,
} from '../wire/messages.ts';
import { DOWN, UP } from './mux.ts';
import type { Channel, ChannelTable } from './mux.ts';
import * as kinds from './record-kinds.ts';
import type { RelayOptions } from './relay-options.ts';

/** What the user's side may send before we have taken any of it. */
const WINDOW = 256 * 1024;
const MAX_PACKET = 32_768;
const MAX_WHY = 200;

export interface OwnChannelEvents {
  onOpened(): void;
  /** Bytes from the user's side, which are the handler's to keep. */
  onData(data: Buffer): void;
  /** It was refused, or the other side has closed it. */
  onClosed(why: string): void;
}

export class OwnChannel {
  readonly #options: RelayOptions;
  readonly #channels: ChannelTable;
  readonly #channel: Channel;
  readonly #events: OwnChannelEvents;
  #maxPacket = 0;
  #isOpen = false;
  #closing = false;
  #unsent: Buffer[] = [];

  /** Opens a channel of this type; the caller has seen that there is room for one. */
  constructor(
    options: RelayOptions,
    channels: ChannelTable,
    type: string,
    events: OwnChannelEvents,
  ) {
    this.#options = options;
    this.#channels = channels;
    this.#events = events;
    const { passage, writer } = options;
    const channel = channels.add(UP, type, (ordinal) =>
      options.events.openChannelTrail(ordinal, type, 'gate'),
    );
    this.#channel = channel;
    channel.state = 'own';
    channel.grant(DOWN, WINDOW);
    const open = new Writer()
      .uint8(MSG.channelOpen)
      .string(type)
      .uint32(channel.number)
      .uint32(WINDOW)
      .uint32(MAX_PACKET)
      .done();
    passage.make(DOWN, writer, kinds.open(UP), open, CODES.leg);
    options.events.onChannelOpened(channel);
  }

  /** Whether it is over, and its number may be somebody else's. */
  get over(): boolean {
    return this.#channel.state === 'closed';
  }

  /** Takes a message from the user's side if it is for this channel. */
  take(payload: Buffer): boolean {
    const type = payload[0] ?? 0;
    if (type < MSG.channelOpenConfirmation || type > MSG.channelFailure || payload.length < 5) {
      return false;
    }
    if (payload.readUInt32BE(1) !== this.#channel.number || this.over) return false;
    this.#onMessage(type, payload);
    return true;
  }

  #onMessage(type: number, payload: Buffer): void {
    const { passage, writer } = this.#options;
    const channel = this.#channel;
    const { leg } = CODES;
    switch (type) {
      case MSG.channelOpenConfirmation:
        passage.withhold(DOWN, writer, kinds.openReply(DOWN), payload, leg);
        this.#confirmed(payload);
        return;
      case MSG.channelOpenFailure: {
        passage.withhold(DOWN, writer, kinds.openReply(DOWN), payload, leg);
        if (this.#isOpen) return;
        const { description } = decodeOpenFailure(payload);
        this.#end(`refused by the client: ${printable(description.subarray(0, MAX_WHY))}`);
        return;
      }
      case MSG.channelWindowAdjust:
        if (payload.length !== 9) throw new ProtocolError('a window adjust of a wrong size');
        passage.withhold(DOWN, channel.writer, KINDS.window, payload, leg);
        channel.grant(UP, payload.readUInt32BE(5));
        this.#flush();
        return;
      case MSG.channelData:
        this.#onData(payload);
        return;
      case MSG.channelExtendedData:
        channel.spend(DOWN, payload.length);
        passage.withhold(DOWN, channel.writer, KINDS['extended-data'], payload, leg);
        return;
      case MSG.channelEof:
        passage.withhold(DOWN, channel.writer, KINDS.eof, payload, leg);
        return;
      case MSG.channelClose:
        passage.withhold(DOWN, channel.writer, KINDS.close, payload, leg);
        this.close();
        this.#end(channel.end === '' ? 'closed by the client' : channel.end);
        return;
      case MSG.channelRequest:
        passage.withhold(DOWN, channel.writer, kinds.request(DOWN), payload, leg);
        if (decodeChannelRequest(payload).wantReply && this.#isOpen) {
          this.#make(kinds.reply(UP), encodeChannelMessage(MSG.channelFailure, channel.peer[DOWN]));
        }
        return;
      default:
        passage.withhold(DOWN, channel.writer, kinds.reply(DOWN), payload, leg);
    }
  }

  #make(kind: number, payload: Buffer): void {
    this.#options.passage.make(DOWN, this.#channel.writer, kind, payload, CODES.leg);
  }

  #confirmed(payload: Buffer): void {
    if (this.#isOpen) return;
    const { sender, window, maxPacket } = decodeOpenConfirmation(payload);
    if (maxPacket === 0) throw new ProtocolError('a channel with packets of no bytes');
    const channel = this.#channel;
    this.#isOpen = true;
    this.#maxPacket = Math.min(maxPacket, MAX_PACKET);
    channel.peer[DOWN] = sender;
    channel.grant(UP, window);
    if (this.#closing) this.#sendClose();
    else this.#events.onOpened();
  }

  /** As in `relay.ts`: what the message says of its length is what it has. */
  #onData(payload: Buffer): void {
    if (payload.length < 9 || payload.readUInt32BE(5) !== payload.length - 9) {
      throw new ProtocolError('channel data of another length than it says');
    }
    const channel = this.#channel;
    const { passage } = this.#options;
    const data = payload.subarray(9);
    channel.spend(DOWN, data.length);
    passage.withhold(DOWN, channel.writer, kinds.data(DOWN), data, CODES.leg);
    if (!this.#isOpen || this.#closing) return;
    const used = WINDOW - channel.credit[DOWN];
    if (used > WINDOW / 2) {
      channel.grant(DOWN, used);
      const adjust = new Writer().uint8(MSG.channelWindowAdjust).uint32(channel.peer[DOWN]);
      this.#make(KINDS.window, adjust.uint32(used).done());
    }
    this.#events.onData(Buffer.from(data));
  }

  /** Sends bytes, as far as the user's side takes them now, and the rest when it takes more. */
  send(data: Buffer): void {
    this.#unsent.push(data);
    this.#flush();
  }

  #flush(): void {
    const channel = this.#channel;
    while (this.#isOpen && !this.#closing) {
      const [next] = this.#unsent;
      const size = Math.min(next?.length ?? 0, channel.credit[UP], this.#maxPacket);
      if (next === undefined || size <= 0) return;
      const part = next.subarray(0, size);
      if (size === next.length) this.#unsent.shift();
      else this.#unsent[0] = next.subarray(size);
      channel.spend(UP, size);
      const message = new Writer().uint8(MSG.channelData).uint32(channel.peer[DOWN]).string(part);
      this.#options.passage.makeData(DOWN, channel.writer, kinds.data(UP), message.done(), 9);
    }
  }

  /** The gate has no more to say; what still comes is recorded and not heard. */
  close(): void {
    if (this.#closing || this.over) return;
    this.#closing = true;
    this.#unsent = [];
    if (this.#isOpen) this.#sendClose();
  }

  #sendClose(): void {
    this.#make(KINDS.close, encodeChannelMessage(MSG.channelClose, this.#channel.peer[DOWN]));
  }

  #end(why: string): void {
    if (this.#channel.end === '') this.#channel.end = why;
    this.#channels.end(this.#channel);
    this.#events.onClosed(why);
  }
}
