/** What the relay of one connection is made from, and what it tells its owner. */
import type { Destination } from '../access/policy.ts';
import type { ContainerWriter } from '../recording/writer.ts';
import type { ChannelOpen } from '../wire/messages.ts';
import type { Protocol } from './first-bytes.ts';
import type { Forwarding } from './forwards.ts';
import type { OpenRefusal } from './gatekeeper.ts';
import type { Channel, ChannelLimits, LocalEnd, Side } from './mux.ts';
import type { Passage } from './passage.ts';

/** What the relay tells about the connection; the owner makes rows and trails of it. */
export interface RelayEvents {
  /** A container for a channel that is about to be opened, by a side or by the gate itself. */
  openChannelTrail(ordinal: number, type: string, openedBy: Side | 'gate'): ContainerWriter;
  onChannelOpened(channel: Channel): void;
  /** A request has said what the channel is. */
  onChannelKind(channel: Channel, command: string): void;
  /** The channel leads elsewhere. */
  onChannelForwards(channel: Channel, forwarding: Forwarding): void;
  /** What it carries, by its first bytes. */
  onChannelCarries(channel: Channel, protocol: Protocol): void;
  onChannelEnded(channel: Channel): void;
}

/** From the configuration's `limits`. */
export interface RelayLimits extends ChannelLimits {
  readonly refused_opens: number;
}

/** Ends a channel at the gate; `forget` takes it out of the books. */
export type Receiver = (channel: Channel, forget: () => void) => LocalEnd;

/** Takes the channels of a connection that has no target (`reception.ts`). */
export interface ChannelHost {
  /** Who takes a channel that the user opens, or why nobody does. */
  receive(open: ChannelOpen): Receiver | OpenRefusal;
}

export interface RelayOptions {
  readonly passage: Passage;
  /** The connection's own container: opens, global requests, and their replies. */
  readonly writer: ContainerWriter;
  /** Asked anew each time: who named no target may choose one later. */
  readonly destination: Destination | undefined;
  /** There as long as no target is named. */
  readonly host: ChannelHost | undefined;
  readonly limits: RelayLimits;
  readonly events: RelayEvents;
}
