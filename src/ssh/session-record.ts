/**
 * What a connection leaves behind: its facts, each in its own trail for recovery and on its way to the rows, its
 * channels' ends, and the sealed end of all of it.
 */
import type { AppError } from '../base/errors.ts';
import { reasonOf } from '../base/errors.ts';
import { UNNUMBERED } from '../ops/facts.ts';
import type { FactSink, FactValue, FileFact } from '../ops/facts.ts';
import { ConnectionRecorder } from '../recording/connection-recorder.ts';
import type { RecorderEvents, RecordingServices } from '../recording/connection-recorder.ts';
import { mayMoveFiles } from '../recording/transfer-decoders.ts';
import type { Protocol } from './first-bytes.ts';
import type { Forwarding } from './forwards.ts';
import type { Destination } from '../access/policy.ts';
import { DOWN } from './mux.ts';
import type { Channel } from './mux.ts';
import type { RelayEvents } from './relay-options.ts';
import type { Transport } from './transport.ts';
import type { Upstream } from './upstream.ts';

export type EndStatus = 'DISCONNECTED' | 'TERMINATED';

export class SessionRecord implements RelayEvents {
  readonly recorder: ConnectionRecorder;
  readonly #connection: string;
  readonly #facts: FactSink;
  readonly #wallUs: () => number;
  #sequence = 0;
  #bytesIn = 0;
  #bytesOut = 0;

  /** `first` is the first fact: that the connection has started. */
  constructor(
    connection: string,
    first: FactValue,
    facts: FactSink,
    services: RecordingServices,
    events: RecorderEvents,
  ) {
    this.#connection = connection;
    this.#facts = facts;
    this.#wallUs = services.wallUs;
    this.recorder = new ConnectionRecorder(connection, first, services, events);
    this.#emit(first);
  }

  /** Notes a fact in the connection's own trail and tells the rows. */
  tell(value: FactValue): void {
    this.recorder.fact(this.#sequence, value);
    this.#emit(value);
  }

  /** Tells what a leg's two ends agreed on. */
  tellNegotiated(leg: 'downstream' | 'upstream', { negotiated }: Transport): void {
    if (!negotiated) return;
    const { kex, serverHostKey: hostKey, cs, sc } = negotiated;
    const algorithms = {
      kex,
      hostKey,
      clientToServer: { cipher: cs.cipher, mac: cs.mac },
      serverToClient: { cipher: sc.cipher, mac: sc.mac },
    };
    this.tell({ kind: 'leg-negotiated', leg, algorithms });
  }

  #emit(value: FactValue): void {
    this.#facts.emit({ connection: this.#connection, sequence: this.#sequence++, value });
  }

  destinationChosen({ target, account, rules }: Destination): void {
    this.tell({
      kind: 'destination-chosen',
      targetId: target.id,
      target: target.name,
      accountId: account.id,
      account: account.name,
      address: target.address,
      port: target.port,
      rule: rules.join(', '),
    });
  }

  /** The target is there: who it is, and that what was held goes on to it. */
  upstreamReached({ banners, learned, target, transport }: Upstream): void {
    for (const hostKey of learned) {
      this.tell({
        kind: 'host-key-learned',
        targetId: target.id,
        target: target.name,
        hostKey,
      });
    }
    for (const banner of banners) {
      this.recorder.note('transport', { leg: 'upstream', banner: banner.toString('utf8') });
    }
    this.recorder.note('transport', {
      leg: 'upstream',
      version: transport.peerIdent,
      strict: transport.strict,
      released: 'what was held before is passed on from here',
    });
    this.tellNegotiated('upstream', transport);
  }

  /** Its record stands in the channel's trail; the connection's has nothing of it. */
  #emitFile(value: FileFact): void {
    this.#facts.emit({ connection: this.#connection, sequence: UNNUMBERED, value });
  }

  openChannelTrail(...[ordinal, type, openedBy]: Parameters<RelayEvents['openChannelTrail']>) {
    const opener = openedBy === 'gate' ? 'gate' : openedBy === DOWN ? 'user' : 'target';
    return this.recorder.openChannel(ordinal, { type, openedBy: opener });
  }

  onChannelOpened(channel: Channel): void {
    const { ordinal, type } = channel;
    this.tell({ kind: 'channel-opened', channel: ordinal, type, openedAt: this.#wallUs() });
  }

  onChannelKind(channel: Channel, command: string): void {
    const { ordinal, kind: type, writer } = channel;
    this.tell({ kind: 'channel-changed', channel: ordinal, type, command });
    if (mayMoveFiles(type, command)) {
      this.recorder.followFiles(ordinal, writer, (fact) => this.#emitFile(fact));
    }
  }

  onChannelForwards(channel: Channel, { kind, destination, originator }: Forwarding): void {
    const { ordinal } = channel;
    this.tell({ kind: 'channel-forwards', channel: ordinal, type: kind, destination, originator });
  }

  onChannelCarries(channel: Channel, protocol: Protocol): void {
    this.tell({ kind: 'channel-carries', channel: channel.ordinal, protocol });
  }

  onChannelEnded(channel: Channel): void {
    const end = channel.end === '' ? 'closed' : channel.end;
    const [bytesIn, bytesOut] = channel.bytes;
    this.#bytesIn += bytesIn;
    this.#bytesOut += bytesOut;
    const endedAt = this.#wallUs();
    this.tell({
      kind: 'channel-ended',
      channel: channel.ordinal,
      endedAt,
      bytesIn,
      bytesOut,
      end,
    });
    this.recorder.closeChannel(channel.ordinal, channel.writer, end);
  }

  /** Tells the end and seals the trail; rejects when it cannot be sealed, which leaves it to recovery. */
  async seal(reason: AppError, status: EndStatus): Promise<void> {
    const text = reasonOf(reason);
    this.tell({
      kind: 'connection-ended',
      status,
      reason: text,
      endedAt: this.#wallUs(),
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
    });
    await this.recorder.close(text);
  }
}
