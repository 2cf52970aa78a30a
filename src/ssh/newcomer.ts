/**
 * Somebody who has not logged in yet: the first half of a connection, from its socket to its login. Counts towards the
 * early drop, has a grace time, and earns penalties; what comes after the login is `connection.ts`.
 */
import { AppError } from '../base/errors.ts';
import type { Identity } from '../access/authn.ts';
import type { LoginName } from '../access/destination.ts';
import type { Decision } from '../access/policy.ts';
import type { PenaltyKind } from '../access/penalties.ts';
import { cannotRecord } from '../recording/connection-recorder.ts';
import { SIGNATURE_ALGORITHMS } from '../wire/publickey.ts';
import { AskedLogin } from './asked-login.ts';
import type { Door } from './door.ts';
import { transportLimits } from './gate.ts';
import type { Gate } from './gate.ts';
import type { Leg } from './leg-socket.ts';
import { Login } from './login.ts';
import type { LoggedIn, SecondStep } from './login.ts';
import { Transport } from './transport.ts';

/** A login that succeeded, with all that the connection goes on with. */
export interface Arrival extends LoggedIn {
  readonly down: Transport;
  readonly address: string;
  readonly port: number;
  readonly reached: Door['reached'];
  /** The connection that it is in, where it came through one. */
  readonly parent: string | undefined;
  readonly decision: Decision;
  /** The way to a target whose password was asked for within the login. */
  readonly asked: AskedLogin | undefined;
}

export interface NewcomerEvents {
  /** Logged in; whoever is told takes the transport over at once. */
  onArrival(arrival: Arrival): void;
  /** Gone without a login. */
  onGone(): void;
}

export class Newcomer {
  readonly #gate: Gate;
  readonly #events: NewcomerEvents;
  readonly #door: Door;
  readonly #down: Transport;
  readonly #login: Login;
  readonly #abort = new AbortController();
  #grace: NodeJS.Timeout | undefined;
  #decision: Decision | undefined;
  #asked: AskedLogin | undefined;
  /** What the keys that were refused cost if nobody logs in after all. */
  #owed: PenaltyKind | undefined;

  constructor(gate: Gate, leg: Leg, door: Door, events: NewcomerEvents) {
    this.#gate = gate;
    this.#events = events;
    this.#door = door;
    const { config, pool, recording } = gate;
    const { hostCertificate, hostKeys, offer } = door;
    this.#down = new Transport({
      role: 'downstream',
      leg,
      pool,
      ident: config.ident,
      offer,
      hostKeys,
      ...(hostCertificate && { hostCertificate }),
      limits: transportLimits(gate),
      extensions: {
        'server-sig-algs': SIGNATURE_ALGORITHMS.join(','),
        'ping@openssh.com': '0',
      },
      nowMs: () => recording.nowUs() / 1000,
    });
    this.#login = new Login(this.#down, {
      door,
      maxTries: config.login.max_tries,
      banner: config.banner,
      nowUs: recording.nowUs,
      secondStep: (identity, name) => this.#secondStep(identity, name),
      onSuccess: (result) => this.#onSuccess(result),
      onFailure: (method, name) => this.#onFailure(method, name),
    });
  }

  /** Starts to speak with the user. */
  start(): void {
    this.#grace = setTimeout(() => {
      this.#door.penalise('grace_exceeded');
      this.close(new AppError('login-timeout', 'login took too long'));
    }, this.#gate.config.login.grace_s * 1000);
    this.#down.start({
      onReady: () => undefined,
      onPayload: (payload) => this.#login.onPayload(payload),
      onWritable: () => undefined,
      onClose: (reason) => this.#onClose(reason),
    });
  }

  close(reason: AppError): void {
    this.#down.close(reason);
  }

  #onFailure(method: string, name: LoginName): void {
    this.#gate.metrics.login('ssh', 'failed');
    const known = this.#gate.snapshots.current.user(name.user) !== undefined;
    const penalty = known ? 'authfail' : 'invaliduser';
    // A client tries every key that it has, and nobody guesses one: that costs once, and only a login that fails. Each
    // password is a guess.
    if (method === 'publickey') this.#owed = penalty;
    else this.#door.penalise(penalty);
    this.#gate.peerLog.audit(
      this.#door.address,
      { event: 'login-failed', source: this.#door.address, loginName: name.text, method },
      'login failed',
    );
  }

  #onClose(reason: AppError): void {
    clearTimeout(this.#grace);
    this.#login.stop();
    this.#abort.abort();
    if (this.#asked) this.#auditAsked(reason);
    this.#asked?.close();
    if (this.#owed) this.#door.penalise(this.#owed);
    if (this.#login.tried.length === 0 && reason.code !== 'login-timeout') {
      this.#door.penalise('noauth');
    }
    this.#gate.peerLog.info(
      this.#door.address,
      {
        event: 'not-logged-in',
        source: this.#door.address,
        client: this.#down.peerIdent,
        reason: reason.message,
      },
      'connection ended before login',
    );
    this.#events.onGone();
  }

  /** A user who got as far as a target's own login is named, with what came of it. */
  #auditAsked(reason: AppError): void {
    const destination = this.#decision?.kind === 'allowed' ? this.#decision.destination : undefined;
    this.#gate.log.audit(
      {
        event: 'target-login-ended',
        source: this.#door.address,
        loginName: this.#login.name?.text,
        target: destination?.target.name,
        account: destination?.account.name,
        reason: reason.message,
      },
      'the login at a target that asks came to nothing',
    );
  }

  /** Decides the destination once; an account that asks for its password makes the login go on. */
  #secondStep(identity: Identity, name: LoginName): SecondStep | undefined {
    this.#decision = this.#door.decide(identity, name);
    if (this.#decision.kind !== 'allowed') return undefined;
    const { destination } = this.#decision;
    if (destination.account.credential.kind !== 'ask') return undefined;
    this.#asked = new AskedLogin(this.#gate, destination, this.#abort.signal);
    return this.#asked;
  }

  #onSuccess(result: LoggedIn): void {
    this.#gate.metrics.login('ssh', 'succeeded');
    clearTimeout(this.#grace);
    this.#owed = undefined;
    if (this.#gate.facts.full) {
      throw new AppError('busy', 'the database is behind; try again in a minute');
    }
    if (this.#gate.recording.ledger.failed) throw cannotRecord();
    if (!this.#decision) throw new AppError('internal', 'login without a decision');
    this.#events.onArrival({
      ...result,
      down: this.#down,
      address: this.#door.address,
      port: this.#door.port,
      reached: this.#door.reached,
      parent: this.#door.parent,
      decision: this.#decision,
      asked: this.#asked,
    });
  }
}
