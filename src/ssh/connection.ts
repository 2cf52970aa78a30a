/**
 * One user's connection through the gate, from the login to its sealed trail: destination, upstream, relay, end. It owns
 * both legs and every wait between them; however it ends, it ends once, with a row and a reason.
 *
 *   joining (upstream is being reached) -> relaying -> ending (what is recorded is still delivered) -> ended
 */
import { AppError, reasonOf } from '../base/errors.ts';
import { newUuid } from '../base/ids.ts';
import { describeLive } from '../access/live.ts';
import type { LiveConnection, Termination } from '../access/live.ts';
import type { Destination } from '../access/policy.ts';
import { cannotRecord } from '../recording/connection-recorder.ts';
import { printable } from '../wire/channel-request.ts';
import { askedLogin } from './asked-login.ts';
import type { AskedLogin } from './asked-login.ts';
import type { Gate } from './gate.ts';
import { DOWN, UP, other } from './mux.ts';
import type { Side } from './mux.ts';
import type { Arrival } from './newcomer.ts';
import type { RunningConnection } from './jump.ts';
import { Keepalive } from './keepalive.ts';
import { Passage } from './passage.ts';
import { destinationsFor, refusedDestination } from './destinations.ts';
import { reachTarget } from './reach-target.ts';
import { Reception } from './reception.ts';
import { Relay } from './relay.ts';
import { SessionRecord } from './session-record.ts';
import type { EndStatus } from './session-record.ts';
import type { Transport } from './transport.ts';
import type { TransportEvents } from './transport-options.ts';
import type { Upstream } from './upstream.ts';

/** A failed connection is told so within its first channel open; without one it ends after this. */
const REFUSED_MS = 10_000;
/** What one leg still owes the other is delivered for so long after the other has gone. */
const LINGER_MS = 5_000;

/** Who owns connections. */
export interface ConnectionOwner {
  onEnded(): void;
  /** Takes over somebody who came through this connection. */
  welcome(arrival: Arrival): RunningConnection;
}

export class Connection {
  readonly id: string;
  readonly #gate: Gate;
  readonly #arrival: Arrival;
  readonly #owner: ConnectionOwner;
  readonly #record: SessionRecord;
  readonly #relay: Relay;
  readonly #startedAt: number;
  readonly #abort = new AbortController();
  readonly #keepalive: Keepalive;
  /** Takes the channels while no target is named. */
  #reception: Reception | undefined;
  readonly #endWaiters: (() => void)[] = [];
  /** Where it goes; who names no target may choose one later. */
  readonly #way: { destination: Destination | undefined; host: Reception | undefined } = {
    destination: undefined,
    host: undefined,
  };
  #upstream: Upstream | undefined;
  #failed: AppError | undefined;
  #ending: { readonly reason: AppError; readonly status: EndStatus } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #sealed = false;

  /** Takes the transport over from the login, records that the connection has started, and goes on to the target. */
  constructor(gate: Gate, arrival: Arrival, owner: ConnectionOwner) {
    this.#gate = gate;
    this.#arrival = arrival;
    this.#owner = owner;
    const { identity, loginName, down, decision } = arrival;
    const { recording, config } = gate;
    this.#startedAt = recording.wallUs();
    this.id = newUuid(Math.floor(this.#startedAt / 1000));
    this.#record = new SessionRecord(
      this.id,
      {
        kind: 'connection-started',
        instance: recording.instance,
        userId: identity.userId,
        user: identity.userName,
        sourceAddress: arrival.address,
        sourcePort: arrival.port,
        clientVersion: down.peerIdent,
        authMethod: identity.method,
        keyFingerprint: identity.keyFingerprint,
        loginName: loginName.text,
        startedAt: this.#startedAt,
        connectionKind: decision.kind === 'unnamed' ? 'gate' : 'target',
        ...(arrival.parent === undefined ? {} : { parent: arrival.parent }),
      },
      gate.facts,
      recording,
      {
        onWritten: () => this.#onWritten(),
        onError: (error) => this.#onRecordingError(error),
      },
    );
    this.#record.recorder.note('login', {
      tried: arrival.tried,
      strict: down.strict,
      commit: identity.commit,
    });
    this.#record.tellNegotiated('downstream', down);
    const passage = new Passage(down, config.limits);
    if (decision.kind === 'unnamed') this.#reception = this.#receive(passage);
    const way = this.#way;
    way.destination = decision.kind === 'allowed' ? decision.destination : undefined;
    way.host = this.#reception;
    this.#relay = new Relay({
      passage,
      writer: this.#record.recorder.writer,
      get destination() {
        return way.destination;
      },
      get host() {
        return way.host;
      },
      limits: config.limits,
      events: this.#record,
    });
    gate.live.add(this.id, {
      describe: () => this.#describe(),
      terminate: (order) => this.#terminate(order),
    });
    down.handOver(this.#legEvents(DOWN));
    this.#keepalive = new Keepalive({
      intervalMs: config.keepalive.interval_s * 1000,
      count: config.keepalive.count,
      nowMs: () => recording.nowUs() / 1000,
      leg: (side) => this.#leg(side),
      ask: (side) => this.#relay.keepalive(side),
    });
    passage.start();
    void this.#join();
  }

  /** Who answers while no target is named. */
  #receive(passage: Passage): Reception {
    const { identity, address, port, reached } = this.#arrival;
    const record = this.#record;
    return new Reception({
      gate: this.#gate,
      connection: this.id,
      identity,
      address,
      port,
      passage,
      writer: record.recorder.writer,
      onKind: (channel, command) => record.onChannelKind(channel, command),
      welcome: (arrival) => this.#owner.welcome(arrival),
      reached,
      destinations: () => destinationsFor(this.#gate, identity),
      ask: (destination) => askedLogin(this.#gate, destination, this.#abort.signal),
      choose: (destination, asked) => this.#choose(destination, asked),
      relay: () => this.#relay,
    });
  }

  /** A target was chosen from the list: goes on to it as if it had been named; rejects with why it cannot. */
  async #choose(destination: Destination, asked: AskedLogin | undefined): Promise<void> {
    if (this.#way.destination) {
      throw new AppError('not-allowed', 'this connection has a target already: log in anew');
    }
    this.#way.destination = destination;
    this.#way.host = undefined;
    try {
      await this.#go(destination, asked);
    } catch (error) {
      if (!this.#ending) throw this.#refuse(error);
      throw error;
    }
  }

  /** Ends the connection, whatever it is doing; settles when its trail is sealed. */
  end(reason: AppError, status: EndStatus = 'DISCONNECTED'): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      if (this.#sealed) resolve();
      else this.#endWaiters.push(resolve);
    });
    this.#end(reason, status, undefined);
    return ended;
  }

  #onRecordingError(error: AppError): void {
    if (this.#ending) return;
    this.#gate.log.error(
      { event: 'recording-failed', connection: this.id, reason: error.message },
      'a trail cannot be written',
    );
    this.#end(cannotRecord(error), 'DISCONNECTED', undefined);
  }

  // ---- destination and upstream

  async #join(): Promise<void> {
    try {
      const decision = this.#arrival.decision;
      if (decision.kind === 'unnamed') return;
      if (decision.kind === 'refused') {
        const { detail, text } = decision;
        this.#record.recorder.note('policy', { refused: text, detail });
        throw refusedDestination(this.#gate, this.id, this.#arrival, decision);
      }
      await this.#go(decision.destination, this.#arrival.asked);
    } catch (error) {
      if (!this.#ending) this.#refuse(error);
    }
  }

  /** Reaches the target, unless the login has reached it already. */
  async #go(destination: Destination, asked: AskedLogin | undefined): Promise<void> {
    this.#record.destinationChosen(destination);
    const upstream = asked
      ? asked.take()
      : await reachTarget(this.#gate, destination, this.#abort.signal, {
          open: (type, events) => this.#relay.openToUser(type, events),
          note: (detail) => this.#record.recorder.note('login', detail),
        });
    this.#attach(upstream);
  }

  #attach(upstream: Upstream): void {
    const { transport } = upstream;
    if (this.#ending || transport.closed) {
      transport.close(new AppError('terminated', 'the user has gone'));
      if (this.#ending) return;
      throw new AppError('target-lost', `${upstream.target.name} closed the connection`);
    }
    this.#upstream = upstream;
    this.#record.upstreamReached(upstream);
    transport.handOver(this.#legEvents(UP));
    this.#relay.passage.attachUpstream(transport);
    upstream.release((payload) => this.#relay.onPayload(UP, payload));
  }

  /** There is no way to the target: says so in the first channel, then ends. */
  #refuse(error: unknown): AppError {
    const reason =
      error instanceof AppError
        ? error
        : new AppError('internal', 'the target cannot be reached', { cause: error });
    this.#failed = reason;
    if (reason.code !== 'not-allowed') {
      this.#gate.log.warn(
        { event: 'upstream-failed', connection: this.id, reason: reason.message },
        'no way to the target',
      );
    }
    this.#record.recorder.note('policy', { failed: reason.message, code: reason.code });
    this.#relay.fail(reason);
    this.#timer = setTimeout(() => this.#end(reason, 'DISCONNECTED', undefined), REFUSED_MS);
    this.#endIfToldWhy();
    return reason;
  }

  #endIfToldWhy(): void {
    if (this.#failed && this.#relay.toldWhy && this.#relay.passage.drained(UP)) {
      this.#end(this.#failed, 'DISCONNECTED', undefined);
    }
  }

  // ---- the legs

  #legEvents(side: Side): TransportEvents {
    return {
      onReady: () => undefined,
      onPayload: (payload) => {
        this.#keepalive.heard(side);
        if (!this.#ending) this.#relay.onPayload(side, payload);
      },
      mayRekey: () => !this.#leg(other(side))?.exchanging,
      onWritable: () => {
        this.#relay.onWritable(side);
        this.#afterDelivery();
      },
      onClose: (reason) => this.#onLegClosed(side, reason),
    };
  }

  #onWritten(): void {
    this.#relay.onWritten();
    this.#afterDelivery();
  }

  #afterDelivery(): void {
    this.#endIfToldWhy();
    if (this.#ending) this.#closeLegsWhenDelivered();
  }

  #onLegClosed(side: Side, reason: AppError): void {
    if (side === UP && !this.#ending) {
      const where = this.#upstream?.target.name ?? 'the target';
      const text = `${where} closed the connection: ${reason.message}`;
      this.#end(new AppError('target-lost', text, { cause: reason }), 'DISCONNECTED', side);
    } else {
      // Whoever leaves after he was told why he gets nowhere leaves for that.
      this.#end(this.#failed ?? reason, 'DISCONNECTED', side);
    }
  }

  #describe(): LiveConnection {
    return describeLive(this.#arrival.identity, this.#way.destination, {
      id: this.id,
      sourceAddress: this.#arrival.address,
      startedAt: this.#startedAt,
      channels: this.#relay.channels.length,
    });
  }

  #terminate(order: Termination): Promise<void> {
    const why = order.reason === '' ? '' : `: ${printable(Buffer.from(order.reason))}`;
    const text = `session terminated by ${order.by}${why}`;
    return this.end(new AppError('terminated', text), 'TERMINATED');
  }

  // ---- the end

  /** Begins the end; `from` is the leg that has gone already, whose last messages are still delivered. */
  #end(reason: AppError, status: EndStatus, from: Side | undefined): void {
    if (this.#ending) {
      this.#closeLegsWhenDelivered();
      return;
    }
    this.#ending = { reason, status };
    this.#abort.abort();
    clearTimeout(this.#timer);
    this.#keepalive.stop();
    this.#gate.live.remove(this.id);
    this.#record.recorder.note('transport', {
      leg: from === undefined ? 'gate' : from === DOWN ? 'downstream' : 'upstream',
      disconnected: reason.message,
    });
    this.#reception?.end(reason, status, from === DOWN);
    if (from === undefined || reason.code === 'recording-failed') {
      this.#closeLegs();
      return;
    }
    this.#timer = setTimeout(() => this.#closeLegs(), LINGER_MS);
    this.#closeLegsWhenDelivered();
  }

  #closeLegsWhenDelivered(): void {
    const relay = this.#relay;
    if (relay.passage.drained(DOWN) && relay.passage.drained(UP)) {
      this.#closeLegs();
      return;
    }
    for (const side of [DOWN, UP] as const) {
      // Nobody is left to take what waits for this leg.
      if (this.#legClosed(side) && relay.passage.drained(side)) this.#closeLegs();
    }
  }

  #leg(side: Side): Transport | undefined {
    return side === DOWN ? this.#arrival.down : this.#upstream?.transport;
  }

  #legClosed(side: Side): boolean {
    return this.#leg(side)?.closed ?? true;
  }

  #closeLegs(): void {
    const ending = this.#ending;
    if (!ending || this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#arrival.down.close(ending.reason);
    this.#upstream?.transport.close(new AppError('terminated', 'the user has disconnected'));
    this.#arrival.asked?.close();
    this.#relay.closeAll();
    void this.#seal(ending.reason, ending.status);
  }

  async #seal(reason: AppError, status: EndStatus): Promise<void> {
    try {
      await this.#record.seal(reason, status);
    } catch (error) {
      this.#gate.log.error(
        { event: 'trail-unsealed', connection: this.id, reason: reasonOf(error) },
        'a trail could not be sealed; recovery will end it',
      );
    }
    this.#finish();
  }

  #finish(): void {
    this.#sealed = true;
    for (const resolve of this.#endWaiters.splice(0)) resolve();
    this.#owner.onEnded();
  }
}
