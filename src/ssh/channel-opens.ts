/**
 * The opening of channels, from either side: each open is judged, gets a trail of its own, and its confirmation or
 * failure goes back to whoever asked (RFC 4254 section 5.1). Opens and their answers stand in the connection's own
 * trail. Nothing here is on the path of data.
 */
import type { AppError } from '../base/errors.ts';
import { ProtocolError } from '../base/errors.ts';
import { CODES } from '../recording/container.ts';
import { printable } from '../wire/channel-request.ts';
import {
  decodeOpen,
  decodeOpenConfirmation,
  decodeOpenFailure,
  encodeOpenFailure,
  OPEN_FAILURE,
} from '../wire/messages.ts';
import type { ChannelOpen } from '../wire/messages.ts';
import { ForwardWatch } from './forward-watch.ts';
import type { WatchEvents } from './forward-watch.ts';
import type { Forwarding, Forwards } from './forwards.ts';
import { judgeOpen, MIN_PACKET, refusalOfSize } from './gatekeeper.ts';
import type { OpenRefusal } from './gatekeeper.ts';
import { DOWN, UP, other } from './mux.ts';
import type { Channel, ChannelTable, Side } from './mux.ts';
import * as kinds from './record-kinds.ts';
import type { ChannelHost, RelayOptions } from './relay-options.ts';

/** What a peer is told at most; larger packets are not asked of anyone. */
const MAX_PACKET = 32_768;
/** How much of a refusal's text is kept for the row. */
const MAX_WHY = 200;

export class ChannelOpens {
  readonly #options: RelayOptions;
  readonly #channels: ChannelTable;
  readonly #forwards: Forwards;
  readonly #watch: WatchEvents;
  #refused = 0;
  #failed: AppError | undefined;
  #toldWhy = false;

  /** `watch` hears what forwards carry. */
  constructor(
    options: RelayOptions,
    channels: ChannelTable,
    forwards: Forwards,
    watch: WatchEvents,
  ) {
    this.#options = options;
    this.#channels = channels;
    this.#forwards = forwards;
    this.#watch = watch;
  }

  /** Whether a channel open has been answered with why there is no upstream. */
  get toldWhy(): boolean {
    return this.#toldWhy;
  }

  /** There is no upstream: what waits for its confirmation, and all that comes yet, is refused with `error`. */
  fail(error: AppError): void {
    this.#failed = error;
    for (const channel of this.#channels.all()) {
      if (channel.state !== 'opening') continue;
      const { connectFailed } = OPEN_FAILURE;
      this.#refuse(DOWN, channel.peer[DOWN], connectFailed, error.message, CODES.upstream);
      channel.end = `refused: ${error.message}`;
      this.#channels.end(channel);
    }
  }

  onOpen(side: Side, payload: Buffer): void {
    const open = decodeOpen(payload);
    const { events, passage, writer } = this.#options;
    const kind = kinds.open(side);
    const full = this.#channels.isFull(open.type);
    const { host } = this.#options;
    if (host && side === DOWN && !this.#failed) {
      this.#receive(host, open, full, payload);
      return;
    }
    const judgement = judgeOpen(side, open, full, this.#failed, this.#forwards);
    if (judgement.verdict === 'refuse') {
      this.#withhold(side, open, payload, judgement.refusal);
      return;
    }
    const channel = this.#channels.add(side, open.type, (ordinal) =>
      events.openChannelTrail(ordinal, open.type, side),
    );
    channel.peer[side] = open.sender;
    channel.grant(other(side), open.window);
    const outgoing = Buffer.from(payload);
    outgoing.writeUInt32BE(channel.number, open.senderAt);
    outgoing.writeUInt32BE(Math.min(open.maxPacket, MAX_PACKET), open.senderAt + 8);
    passage.pass(side, writer, kind, -1, outgoing, payload);
    events.onChannelOpened(channel);
    if (judgement.forwarding) this.#forward(channel, judgement.forwarding);
  }

  /** What is particular to a channel that forwards: its row says where to, and its first bytes are looked at. */
  #forward(channel: Channel, forwarding: Forwarding): void {
    const { events, passage } = this.#options;
    channel.kind = forwarding.kind;
    events.onChannelForwards(channel, forwarding);
    // Packets of a network interface do not begin with anybody's ident.
    if (forwarding.kind === 'tun') return;
    channel.watch = new ForwardWatch(channel, passage, forwarding.nested, this.#watch);
  }

  #withhold(side: Side, open: ChannelOpen, payload: Buffer, refusal: OpenRefusal): void {
    const { limits, passage, writer } = this.#options;
    passage.withhold(side, writer, kinds.open(side), payload, refusal.code);
    this.#refuse(side, open.sender, refusal.reason, refusal.text, refusal.code);
    if (++this.#refused > limits.refused_opens) {
      throw new ProtocolError('too many channels were refused');
    }
  }

  /** A channel that the gate itself ends: its open goes nowhere. */
  #receive(host: ChannelHost, open: ChannelOpen, full: boolean, payload: Buffer): void {
    const { events, passage, writer } = this.#options;
    const receiver = refusalOfSize(open, full) ?? host.receive(open);
    if (typeof receiver !== 'function') {
      this.#withhold(DOWN, open, payload, receiver);
      return;
    }
    passage.withhold(DOWN, writer, kinds.open(DOWN), payload, CODES.gate);
    const channel = this.#channels.add(DOWN, open.type, (ordinal) =>
      events.openChannelTrail(ordinal, open.type, DOWN),
    );
    channel.peer[DOWN] = open.sender;
    channel.grant(UP, open.window);
    events.onChannelOpened(channel);
    this.#channels.hasLocal = true;
    channel.local = receiver(channel, () => this.#channels.end(channel));
  }

  #refuse(side: Side, sender: number, reason: number, text: string, code: number): void {
    if (this.#failed) this.#toldWhy = true;
    const { passage, writer } = this.#options;
    const failure = encodeOpenFailure(sender, reason, text);
    passage.make(side, writer, kinds.openReply(other(side)), failure, code);
  }

  /** The channel whose opening a reply from `side` is about. */
  #opening(side: Side, recipient: number): Channel | undefined {
    const channel = this.#channels.get(recipient);
    return channel?.state === 'opening' && channel.openedBy !== side ? channel : undefined;
  }

  onConfirmation(side: Side, payload: Buffer): void {
    const confirmation = decodeOpenConfirmation(payload);
    if (this.#channels.get(confirmation.recipient)?.local?.onMessage(side, payload)) return;
    const channel = this.#opening(side, confirmation.recipient);
    if (!channel) return;
    if (confirmation.maxPacket < MIN_PACKET) {
      throw new ProtocolError('a channel with packets below 1,024 bytes');
    }
    const { passage, writer } = this.#options;
    const opener = channel.openedBy;
    channel.state = 'open';
    channel.peer[side] = confirmation.sender;
    channel.grant(opener, confirmation.window);
    const outgoing = Buffer.from(payload);
    outgoing.writeUInt32BE(channel.number, 5);
    outgoing.writeUInt32BE(Math.min(confirmation.maxPacket, MAX_PACKET), 13);
    passage.pass(side, writer, kinds.openReply(side), channel.peer[opener], outgoing, payload);
  }

  onFailure(side: Side, payload: Buffer): void {
    const failure = decodeOpenFailure(payload);
    if (this.#channels.get(failure.recipient)?.local?.onMessage(side, payload)) return;
    const channel = this.#opening(side, failure.recipient);
    if (!channel) return;
    const { passage, writer } = this.#options;
    passage.pass(side, writer, kinds.openReply(side), channel.peer[channel.openedBy], payload);
    const why = printable(failure.description.subarray(0, MAX_WHY));
    channel.end = `refused by the ${side === UP ? 'target' : 'client'}: ${why}`;
    this.#channels.end(channel);
  }
}
