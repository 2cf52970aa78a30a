/**
 * One user's connection through the gate, from the login to its sealed trail: destination, upstream, relay, end. It owns
 * both legs and every wait between them; however it ends, it ends once, with a row and a reason.
 *
 *   joining (upstream is being reached) -> relaying -> ending (what is recorded is still delivered) -> ended
 */
import { AppError, reasonOf } from '../base/errors.ts';
import { newUuid } from '../base/ids.ts';
import type { LiveConnection, Termination } from '../access/live.ts';
import { cannotRecord } from '../recording/connection-recorder.ts';
import { printable } from '../wire/channel-request.ts';
import type { Gate } from './gate.ts';
import { DOWN, UP, other } from './mux.ts';
import type { Side } from './mux.ts';
import type { Arrival } from './newcomer.ts';
import { Passage } from './passage.ts';
import { reachTarget } from './reach-target.ts';
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

/** How often the age of the keys is looked at where there are no keepalives. */
const KEY_AGE_MS = 60_000;

export class Connection {
  readonly id: string;
  readonly #gate: Gate;
  readonly #arrival: Arrival;
  readonly #onEnded: () => void;
  readonly #record: SessionRecord;
  readonly #relay: Relay;
  readonly #startedAt: number;
  readonly #abort = new AbortController();
  readonly #keepalive: NodeJS.Timeout;
  readonly #unheard: [number, number] = [0, 0];
  readonly #endWaiters: (() => void)[] = [];
  #upstream: Upstream | undefined;
  #failed: AppError | undefined;
  #ending: { readonly reason: AppError; readonly status: EndStatus } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #sealed = false;

  /** Takes the transport over from the login, records that the connection has started, and goes on to the target. */
  constructor(gate: Gate, arrival: Arrival, onEnded: () => void) {
    this.#gate = gate;
    this.#arrival = arrival;
    this.#onEnded = onEnded;
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
    this.#relay = new Relay({
      passage,
      writer: this.#record.recorder.writer,
      destination: decision.kind === 'allowed' ? decision.destination : undefined,
      limits: config.limits,
      events: this.#record,
    });
    gate.live.add(this.id, {
      describe: () => this.#describe(),
      terminate: (order) => this.#terminate(order),
    });
    down.handOver(this.#legEvents(DOWN));
    const { interval_s: interval } = config.keepalive;
    const every = interval > 0 ? interval * 1000 : KEY_AGE_MS;
    this.#keepalive = setInterval(() => this.#keepAlive(), every);
    passage.start();
    void this.#join();
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
      if (decision.kind !== 'allowed') {
        const text = decision.text;
        this.#record.recorder.note('policy', { refused: text, detail: decision.detail });
        this.#gate.penalties.penalise(this.#arrival.address, 'refuseconnection');
        this.#gate.log.audit(
          {
            event: 'destination-refused',
            connection: this.id,
            user: this.#arrival.identity.userName,
            detail: decision.detail,
          },
          'destination refused',
        );
        throw new AppError('not-allowed', text);
      }
      const { destination } = decision;
      const { target, account } = destination;
      this.#record.tell({
        kind: 'destination-chosen',
        targetId: target.id,
        target: target.name,
        accountId: account.id,
        account: account.name,
        address: target.address,
        port: target.port,
        rule: destination.rules.join(', '),
      });
      const upstream = this.#arrival.asked
        ? this.#arrival.asked.take()
        : await reachTarget(this.#gate, destination, this.#abort.signal, {
            open: (type, events) => this.#relay.openToUser(type, events),
            note: (detail) => this.#record.recorder.note('login', detail),
          });
      this.#attach(upstream);
    } catch (error) {
      if (!this.#ending) this.#refuse(error);
    }
  }

  #attach(upstream: Upstream): void {
    const { transport } = upstream;
    if (this.#ending || transport.closed) {
      transport.close(new AppError('terminated', 'the user has gone'));
      if (this.#ending) return;
      throw new AppError('target-lost', `${upstream.target.name} closed the connection`);
    }
    this.#upstream = upstream;
    for (const hostKey of upstream.learned) {
      const { target } = upstream;
      this.#record.tell({
        kind: 'host-key-learned',
        targetId: target.id,
        target: target.name,
        hostKey,
      });
    }
    for (const banner of upstream.banners) {
      this.#record.recorder.note('transport', {
        leg: 'upstream',
        banner: banner.toString('utf8'),
      });
    }
    this.#record.recorder.note('transport', {
      leg: 'upstream',
      version: transport.peerIdent,
      strict: transport.strict,
      released: 'what was held before is passed on from here',
    });
    this.#record.tellNegotiated('upstream', transport);
    transport.handOver(this.#legEvents(UP));
    this.#relay.passage.attachUpstream(transport);
    upstream.release((payload) => this.#relay.onPayload(UP, payload));
  }

  /** There is no way to the target: says so in the first channel, then ends. */
  #refuse(error: unknown): void {
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
        this.#unheard[side] = 0;
        if (!this.#ending) this.#relay.onPayload(side, payload);
      },
      mayRekey: () => !this.#leg(other(side))?.exchanging,
      onWritable: () => {
        this.#relay.passage.drain(side);
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
      this.#end(reason, 'DISCONNECTED', side);
    }
  }

  #keepAlive(): void {
    const { interval_s: interval, count } = this.#gate.config.keepalive;
    const now = this.#gate.recording.nowUs() / 1000;
    for (const side of [DOWN, UP] as const) {
      const leg = this.#leg(side);
      if (!leg || leg.closed) continue;
      leg.rekeyIfOld();
      if (interval === 0) continue;
      if (leg.paused) {
        // Its silence is ours; but a peer that is gone is found out by what is sent to it.
        this.#unheard[side] = 0;
        this.#relay.keepalive(side);
      } else if (now - leg.lastHeardMs < interval * 1000) {
        this.#unheard[side] = 0;
      } else if (++this.#unheard[side] > count) {
        leg.close(new AppError('target-lost', 'no answer to keepalives'));
      } else {
        this.#relay.keepalive(side);
      }
    }
  }

  #describe(): LiveConnection {
    const destination =
      this.#arrival.decision.kind === 'allowed' ? this.#arrival.decision.destination : undefined;
    return {
      id: this.id,
      user: this.#arrival.identity.userName,
      target: destination?.target.name ?? '',
      account: destination?.account.name ?? '',
      sourceAddress: this.#arrival.address,
      startedAt: this.#startedAt,
      channels: this.#relay.channels.length,
    };
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
    clearInterval(this.#keepalive);
    this.#gate.live.remove(this.id);
    this.#record.recorder.note('transport', {
      leg: from === undefined ? 'gate' : from === DOWN ? 'downstream' : 'upstream',
      disconnected: reason.message,
    });
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
    this.#onEnded();
  }
}
