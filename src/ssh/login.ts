/**
 * The authentication dialogue with a user (RFC 4252, RFC 4256). One request is decided at a time; what comes meanwhile
 * waits in a short queue. An identity is the key that signed, never the key asked about; whatever fails is answered
 * with the same bytes after the same least delay, so that nobody learns who exists.
 *
 *   service -> request <-> deciding ; request <-> answer ; -> second factor -> ... -> done
 */
import { AppError, ProtocolError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { algorithmsOf, keyTypeOf, verifySignature } from '../wire/publickey.ts';
import { MSG } from '../wire/messages.ts';
import {
  decodeInfoResponse,
  decodePassword,
  decodePublickey,
  decodeServiceRequest,
  decodeUserauthRequest,
  encodeBanner,
  encodeFailure,
  encodeInfoRequest,
  encodePkOk,
  encodeService,
  signedData,
} from '../wire/userauth.ts';
import type { UserauthRequest } from '../wire/userauth.ts';
import type { Identity } from '../access/authn.ts';
import type { LoginName } from '../access/destination.ts';
import type { Door } from './door.ts';
import type { Transport } from './transport.ts';

/** A dialogue that must follow the first factor: the password of an account that asks for its own. */
export interface SecondStep {
  /** Shown above the prompt; names account and target. */
  readonly instruction: string;
  readonly prompt: string;
  readonly tries: number;
  /** Whether the answer was right; rejects when no answer can be. */
  attempt(answer: Secret): Promise<boolean>;
}

/** Somebody is in. */
export interface LoggedIn {
  readonly identity: Identity;
  readonly loginName: LoginName;
  readonly loginNameBytes: Buffer;
  /** The methods tried, the last one successful; a method is named at each try. */
  readonly tried: readonly string[];
}

export interface LoginOptions {
  readonly door: Pick<Door, 'known' | 'methods' | 'parseName' | 'prover'>;
  readonly maxTries: number;
  readonly banner: string;
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Asked after the first factor; undefined where none must follow. */
  readonly secondStep: (identity: Identity, name: LoginName) => SecondStep | undefined;
  readonly onSuccess: (result: LoggedIn) => void;
  /** A try failed; for penalties and the log. */
  readonly onFailure: (method: string, name: LoginName) => void;
}

const MAX_WAITING = 16;
const MAX_WAITING_BYTES = 64 * 1024;
const PASSWORD_PROMPT = 'Password: ';

export class Login {
  readonly #transport: Transport;
  readonly #options: LoginOptions;
  #service = false;
  #serviceAsked = false;
  #bannerSent = false;
  #user: Buffer | undefined;
  #name: LoginName | undefined;
  #failures = 0;
  #noneTried = false;
  #asking = false;
  #deciding = false;
  #done = false;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #first: Identity | undefined;
  #second: SecondStep | undefined;
  #secondTries = 0;
  readonly #tried: string[] = [];

  constructor(transport: Transport, options: LoginOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  /** The login name, once a request has named it. */
  get name(): LoginName | undefined {
    return this.#name;
  }

  get tried(): readonly string[] {
    return this.#tried;
  }

  /** Stops every wait; called when the transport is gone. */
  stop(): void {
    this.#done = true;
    clearTimeout(this.#timer);
    this.#waiting = [];
  }

  onPayload(payload: Buffer): void {
    if (this.#done) return;
    if (this.#deciding) {
      this.#waitingBytes += payload.length;
      this.#waiting.push(Buffer.from(payload));
      if (this.#waiting.length > MAX_WAITING || this.#waitingBytes > MAX_WAITING_BYTES) {
        throw new ProtocolError('too many messages while a login is being decided');
      }
      return;
    }
    this.#handle(payload);
  }

  #handle(payload: Buffer): void {
    const type = payload[0];
    if (type === MSG.serviceRequest) {
      this.#onService(payload);
    } else if (!this.#service) {
      throw new ProtocolError('a login request before the service was asked for');
    } else if (type === MSG.userauthRequest) {
      this.#onRequest(payload);
    } else {
      this.#onAnswer(payload);
    }
  }

  #onService(payload: Buffer): void {
    const name = decodeServiceRequest(payload);
    // Some clients, paramiko among them, ask for it again before each attempt, and sshd lets them; asking alone is no
    // way to keep us busy, though.
    if (this.#serviceAsked || name !== 'ssh-userauth') {
      throw new ProtocolError(`service "${name.replace(/[^\x21-\x7e]/g, '?')}" cannot be had here`);
    }
    this.#service = true;
    this.#serviceAsked = true;
    this.#transport.send(encodeService(MSG.serviceAccept, name));
  }

  #onRequest(payload: Buffer): void {
    const startedAt = this.#options.nowUs();
    const request = decodeUserauthRequest(payload);
    if (request.service !== 'ssh-connection') {
      throw new ProtocolError('only the service "ssh-connection" can be logged in to');
    }
    if (!this.#user) {
      this.#user = Buffer.from(request.user);
      this.#name = this.#options.door.parseName(this.#user);
    } else if (!this.#user.equals(request.user)) {
      throw new ProtocolError('the user name changed during login');
    }
    this.#serviceAsked = false;
    this.#asking = false;
    if (!this.#bannerSent && this.#options.banner !== '') {
      this.#transport.send(encodeBanner(this.#options.banner));
    }
    this.#bannerSent = true;
    this.#dispatch(request, payload, startedAt);
  }

  #dispatch(request: UserauthRequest, payload: Buffer, startedAt: number): void {
    const { method } = request;
    if (this.#second) {
      if (method === 'keyboard-interactive') this.#askSecond(this.#second);
      else this.#fail(method, startedAt);
      return;
    }
    const { known } = this.#options.door;
    const methods: readonly string[] = this.#options.door.methods;
    if (method === 'none' && known) {
      this.#succeed(known, method);
    } else if (method === 'none' && !this.#noneTried) {
      // Asks which methods there are (RFC 4252 section 5.2) and is no attempt the first time.
      this.#noneTried = true;
      this.#answerFailure(startedAt);
    } else if (!methods.includes(method)) {
      this.#fail(method, startedAt);
    } else if (method === 'publickey') {
      this.#onPublickey(request, payload, startedAt);
    } else if (method === 'password') {
      const password = decodePassword(request.fields);
      if (password) this.#checkPassword(password, method, startedAt);
      else this.#fail(method, startedAt);
    } else {
      this.#asking = true;
      this.#transport.send(encodeInfoRequest('', [{ text: PASSWORD_PROMPT, echo: false }]));
    }
  }

  #onPublickey(request: UserauthRequest, payload: Buffer, startedAt: number): void {
    const { algorithm, blob, signature, signedEnd } = decodePublickey(request.fields);
    const fits = algorithmsOf(keyTypeOf(blob)).includes(algorithm);
    const user = this.#name?.user ?? '';
    const identity = fits ? this.#options.door.prover.identityByKey(user, blob) : undefined;
    if (!identity) {
      this.#fail('publickey', startedAt);
    } else if (!signature) {
      this.#transport.send(encodePkOk(algorithm, blob));
    } else {
      const data = signedData(this.#transport.sessionId, payload, signedEnd);
      if (verifySignature(blob, algorithm, data, signature)) this.#succeed(identity, 'publickey');
      else this.#fail('publickey', startedAt);
    }
  }

  #onAnswer(payload: Buffer): void {
    if (!this.#asking) throw new ProtocolError('an answer without a question');
    const startedAt = this.#options.nowUs();
    this.#asking = false;
    const [answer, ...more] = decodeInfoResponse(payload);
    if (!answer || more.length > 0) throw new ProtocolError('one answer was expected');
    if (this.#second) this.#checkSecond(this.#second, answer, startedAt);
    else this.#checkPassword(answer, 'keyboard-interactive', startedAt);
  }

  #checkPassword(
    password: Secret,
    method: 'password' | 'keyboard-interactive',
    startedAt: number,
  ): void {
    const user = this.#name?.user ?? '';
    const check = this.#options.door.prover.identityByPassword(user, password, method);
    this.#decide(check, (identity) => {
      if (identity) this.#succeed(identity, method);
      else this.#fail(method, startedAt);
    });
  }

  #checkSecond(second: SecondStep, answer: Secret, startedAt: number): void {
    this.#secondTries++;
    this.#decide(second.attempt(answer), (right) => {
      if (right && this.#first) this.#finish(this.#first, 'keyboard-interactive');
      else if (this.#secondTries >= second.tries) {
        throw new AppError(
          'login-failed',
          `${second.prompt.replace(/: $/, '')}: wrong three times`,
        );
      } else this.#fail('keyboard-interactive', startedAt);
    });
  }

  /** Waits for a decision, with everything behind it in the queue. Nothing that fails in it escapes. */
  #decide<T>(decision: Promise<T>, then: (value: T) => void): void {
    this.#deciding = true;
    decision
      .then((value) => {
        this.#deciding = false;
        if (!this.#done) then(value);
        this.#drain();
      })
      .catch((error: unknown) => {
        this.#deciding = false;
        if (this.#done) return;
        this.#transport.close(
          error instanceof AppError
            ? error
            : new AppError('internal', 'login cannot be decided', { cause: error }),
        );
      });
  }

  #drain(): void {
    while (!this.#deciding && !this.#done) {
      const payload = this.#waiting.shift();
      if (!payload) return;
      this.#waitingBytes -= payload.length;
      this.#handle(payload);
    }
  }

  #fail(method: string, startedAt: number): void {
    this.#tried.push(method);
    if (this.#name) this.#options.onFailure(method, this.#name);
    if (++this.#failures >= this.#options.maxTries) {
      throw new AppError('login-failed', 'too many authentication failures');
    }
    this.#answerFailure(startedAt);
  }

  #answerFailure(startedAt: number): void {
    const delay = this.#options.door.prover.failureDelay(this.#name?.user ?? '', startedAt);
    this.#deciding = true;
    this.#timer = setTimeout(() => {
      this.#deciding = false;
      const methods = this.#second ? ['keyboard-interactive'] : this.#options.door.methods;
      this.#transport.send(encodeFailure(methods, false));
      try {
        this.#drain();
      } catch (error) {
        this.#transport.close(
          error instanceof AppError
            ? error
            : new ProtocolError('malformed login', { cause: error }),
        );
      }
    }, delay);
  }

  #succeed(identity: Identity, method: string): void {
    const name = this.#name;
    if (!name) throw new AppError('internal', 'login without a name');
    const second = this.#options.secondStep(identity, name);
    if (!second) {
      this.#finish(identity, method);
      return;
    }
    this.#tried.push(method);
    this.#first = identity;
    this.#second = second;
    this.#transport.send(encodeFailure(['keyboard-interactive'], true));
  }

  #askSecond(second: SecondStep): void {
    this.#asking = true;
    this.#transport.send(
      encodeInfoRequest(second.instruction, [{ text: second.prompt, echo: false }]),
    );
  }

  #finish(identity: Identity, method: string): void {
    const name = this.#name;
    const user = this.#user;
    if (!name || !user) throw new AppError('internal', 'login without a name');
    this.#tried.push(method);
    this.#done = true;
    this.#waiting = [];
    this.#transport.open();
    this.#transport.send(Buffer.from([MSG.userauthSuccess]));
    this.#options.onSuccess({
      identity,
      loginName: name,
      loginNameBytes: user,
      tried: this.#tried,
    });
  }
}
