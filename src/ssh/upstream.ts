/**
 * The way to a target: dial, check its host key, log in to an account. Each step has a deadline and ends in an error
 * that names the target. What the target sends right after the login waits for whoever takes the leg over.
 */
import { AppError, ProtocolError, reasonOf } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Destination } from '../access/policy.ts';
import { algorithmsOf, fingerprint, keyTypeOf, parseAuthorizedKey } from '../wire/publickey.ts';
import type { PrivateKey } from '../wire/publickey.ts';
import { MSG } from '../wire/messages.ts';
import {
  decodeFailure,
  decodeInfoRequest,
  encodeInfoResponse,
  encodeKeyboardInteractiveRequest,
  encodePasswordRequest,
  encodePublickeyQuery,
  encodePublickeyRequest,
  encodeService,
  publickeyToSign,
  withSignature,
} from '../wire/userauth.ts';
import { Reader } from '../wire/buffer.ts';
import { LegSocket } from './leg-socket.ts';
import type { ReadBuffer } from './leg-socket.ts';
import type { PacketPool } from './packet-pool.ts';
import { makeOffer } from './make-protocol.ts';
import { PAUSE } from './read-pause.ts';
import { Transport } from './transport.ts';
import type { AlgorithmOffer, TransportLimits } from './transport-options.ts';

type Target = Destination['target'];

export interface UpstreamOptions {
  readonly target: Target;
  readonly account: string;
  readonly pool: PacketPool;
  readonly readBuffer: ReadBuffer;
  readonly ident: string;
  readonly algorithms: AlgorithmOffer;
  readonly limits: TransportLimits;
  readonly connectMs: number;
  readonly handshakeMs: number;
  readonly loginMs: number;
  readonly nowMs: () => number;
}

/** What a try to log in came to. */
type Outcome = { readonly ok: true } | { readonly ok: false; readonly methods: readonly string[] };

const MAX_ROUNDS = 4;
const MAX_EARLY = 64;
const MAX_BANNERS = 8;
const MAX_BANNER = 4096;

/** One way to a target; made by `dial`. */
export class Upstream {
  readonly transport: Transport;
  /** The first key of a target that has none pinned, once its signature is verified; `type base64`. */
  readonly learned: string[] = [];
  /** The target's banners: recorded, not shown. */
  readonly banners: Buffer[] = [];
  /** What the target sent behind USERAUTH_SUCCESS, in order, until `release`. */
  #early: Buffer[] = [];
  readonly #options: UpstreamOptions;
  #hostKeyError: AppError | undefined;
  #seenKey: Buffer | undefined;
  #closed: AppError | undefined;
  #open = false;
  #wait: { resolve: (payload: Buffer) => void; reject: (error: AppError) => void } | undefined;

  constructor(transport: Transport, options: UpstreamOptions) {
    this.transport = transport;
    this.#options = options;
  }

  get target(): Target {
    return this.#options.target;
  }

  /** Hands over what came early, and lets the target go on. */
  release(take: (payload: Buffer) => void): void {
    const early = this.#early;
    this.#early = [];
    for (const payload of early) take(payload);
    this.transport.resume(PAUSE.hold);
  }

  get #where(): string {
    const { target } = this.#options;
    return `${target.name} (${target.address}:${target.port})`;
  }

  /** Whether the key that the target shows is one that is pinned, or the first of one that has none. */
  checkHostKey(blob: Buffer): boolean {
    const { target } = this.#options;
    const pinned = target.hostKeys.map((line) => parseAuthorizedKey(line).blob);
    const known =
      pinned.length > 0
        ? pinned.some((key) => key.equals(blob))
        : target.hostKeyPolicy === 'accept-new' && (this.#seenKey?.equals(blob) ?? true);
    if (known) {
      this.#seenKey = Buffer.from(blob);
      return true;
    }
    const expected = pinned.map(fingerprint).join(' or ');
    this.#hostKeyError = new AppError(
      'host-key-changed',
      expected === ''
        ? `no host key of ${this.#where} is pinned; it shows ${fingerprint(blob)}`
        : `the host key of ${this.#where} has changed: expected ${expected}, got ${fingerprint(blob)}`,
    );
    return false;
  }

  /** Exchanges keys and asks for the login service. */
  async handshake(): Promise<void> {
    await this.#within(
      this.#options.handshakeMs,
      'did not finish its key exchange in time',
      new Promise<void>((resolve, reject) => {
        this.transport.start({
          onReady: resolve,
          onPayload: (payload) => this.#onPayload(payload),
          onWritable: () => undefined,
          onClose: (reason) => {
            this.#closed = this.#describe(reason);
            reject(this.#closed);
            this.#wait?.reject(this.#closed);
          },
        });
      }),
    );
    const { target } = this.#options;
    if (target.hostKeys.length === 0 && this.#seenKey) {
      const line = `${keyTypeOf(this.#seenKey)} ${this.#seenKey.toString('base64')}`;
      this.learned.push(line);
    }
    const accepted = await this.#exchange(encodeService(MSG.serviceRequest, 'ssh-userauth'));
    if (accepted[0] !== MSG.serviceAccept) this.#outOfPlace(accepted);
  }

  /** Logs in with a key; tries the next signature algorithm only where the target's list asks for it. */
  async loginWithKey(key: PrivateKey): Promise<void> {
    const algorithm = this.signatureAlgorithm(algorithmsOf(key.type));
    const request = encodePublickeyRequest(
      this.#options.account,
      algorithm,
      key.blob,
      this.transport.sessionId,
      (data) => key.sign(data, algorithm),
    );
    const outcome = await this.#attempt(request);
    if (!outcome.ok) {
      throw this.#refused(`refused the key ${fingerprint(key.blob)}`, outcome.methods);
    }
  }

  /** The first algorithm of these that the target announces, or the first of all. */
  signatureAlgorithm(candidates: readonly string[]): string {
    const announced = this.transport.peerSignatureAlgorithms;
    return candidates.find((name) => announced?.includes(name)) ?? candidates[0] ?? '';
  }

  /** Whether a key would do, asked without a signature. */
  async takesKey(blob: Buffer, algorithm: string): Promise<boolean> {
    const query = encodePublickeyQuery(this.#options.account, algorithm, blob);
    const answer = await this.#exchange(query);
    if (answer[0] === MSG.userauthPkOk) return true;
    // `none` was not asked: a success here would be nobody's login.
    if (answer[0] !== MSG.userauthFailure) this.#outOfPlace(answer);
    return false;
  }

  /** Logs in with a key that signs elsewhere; false where the target does not take the signature. */
  async loginWithSignature(
    blob: Buffer,
    algorithm: string,
    sign: (data: Buffer) => Promise<Buffer>,
  ): Promise<boolean> {
    const { account } = this.#options;
    const { unsigned, data } = publickeyToSign(account, algorithm, blob, this.transport.sessionId);
    return (await this.#attempt(withSignature(unsigned, await sign(data)))).ok;
  }

  /** Whether the password is right; a target that asks by keyboard-interactive is answered there. */
  async loginWithPassword(password: Secret): Promise<boolean> {
    const { account } = this.#options;
    const first = await this.#attempt(encodePasswordRequest(account, password));
    if (first.ok) return true;
    if (!first.methods.includes('keyboard-interactive')) {
      if (first.methods.includes('password')) return false;
      throw this.#refused('takes no password', first.methods);
    }
    let answer = await this.#exchange(encodeKeyboardInteractiveRequest(account));
    for (let round = 0; round < MAX_ROUNDS && answer[0] === MSG.userauthInfoRequest; round++) {
      const prompts = this.#read(decodeInfoRequest, answer);
      const [prompt, ...more] = prompts;
      if (more.length > 0 || prompt?.echo) {
        throw this.#refused('asks for more than a password', []);
      }
      answer = await this.#exchange(encodeInfoResponse(prompt ? [password] : []));
    }
    return this.#outcome(answer).ok;
  }

  async #attempt(request: Buffer): Promise<Outcome> {
    return this.#outcome(await this.#exchange(request));
  }

  #outcome(answer: Buffer): Outcome {
    if (answer[0] === MSG.userauthSuccess) return { ok: true };
    if (answer[0] !== MSG.userauthFailure) this.#outOfPlace(answer);
    const { methods, partial } = this.#read(decodeFailure, answer);
    if (partial) throw this.#refused('asks for a further factor', methods);
    return { ok: false, methods };
  }

  #refused(what: string, methods: readonly string[]): AppError {
    const list = methods.map((name) => name.replace(/[^\x21-\x7e]/g, '?')).join(', ');
    const offers = list === '' ? '' : ` (it offers ${list.slice(0, 200)})`;
    return new AppError(
      'target-login-failed',
      `${this.#where} ${what} for account ${this.#options.account}${offers}`,
    );
  }

  /** What cannot be read is told with the target's name. */
  #read<T>(decode: (payload: Buffer) => T, payload: Buffer): T {
    try {
      return decode(payload);
    } catch (cause) {
      throw new ProtocolError(`${this.#where}: ${reasonOf(cause)}`, { cause });
    }
  }

  #outOfPlace(payload: Buffer): never {
    throw new ProtocolError(`${this.#where} sent message ${payload[0] ?? 0} out of place`);
  }

  #exchange(request: Buffer): Promise<Buffer> {
    if (this.#closed) return Promise.reject(this.#closed);
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#wait = { resolve, reject };
    });
    this.transport.send(request);
    return this.#within(this.#options.loginMs, 'did not answer the login in time', answer);
  }

  #onPayload(payload: Buffer): void {
    if (this.#open) {
      if (this.#early.length >= MAX_EARLY)
        throw new ProtocolError('too much before the first channel');
      this.#early.push(Buffer.from(payload));
      return;
    }
    if (payload[0] === MSG.userauthBanner) {
      if (this.banners.length < MAX_BANNERS) {
        this.banners.push(Buffer.from(new Reader(payload, 1).string().subarray(0, MAX_BANNER)));
      }
      return;
    }
    const wait = this.#wait;
    if (!wait) throw new ProtocolError(`message ${payload[0] ?? 0} without a question`);
    this.#wait = undefined;
    if (payload[0] === MSG.userauthSuccess) {
      this.#open = true;
      this.transport.open();
      this.transport.pause(PAUSE.hold);
    }
    wait.resolve(Buffer.from(payload));
  }

  /** What a closed transport means for whoever waits on this target. */
  #describe(reason: AppError): AppError {
    if (this.#hostKeyError) return this.#hostKeyError;
    return new AppError('target-unreachable', `${this.#where}: ${reason.message}`, {
      cause: reason,
    });
  }

  async #within<T>(ms: number, text: string, promise: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new AppError('target-unreachable', `${this.#where} ${text}`));
      }, ms);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The signature algorithms to ask for, so that the target shows a key of a pinned type. */
function hostKeyAlgorithms(target: Target, offered: readonly string[]): readonly string[] {
  const extra = target.algorithms.hostKey ?? [];
  const all = [...offered, ...extra];
  if (target.hostKeys.length === 0) return all;
  const types = target.hostKeys.map((line) => parseAuthorizedKey(line).type);
  const fitting = all.filter((name) =>
    types.some((type) => type === name || algorithmsOf(type).includes(name)),
  );
  return fitting.length > 0 ? fitting : all;
}

/** Dials a target, checks its host key and gets ready to log in. */
export async function dial(options: UpstreamOptions, signal: AbortSignal): Promise<Upstream> {
  const { target, algorithms } = options;
  const where = `${target.name} (${target.address}:${target.port})`;
  const leg = LegSocket.dial(target.address, target.port, options.readBuffer);
  const { socket } = leg;
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      socket.destroy();
      reject(new AppError('target-unreachable', `${where} cannot be reached: ${why}`, { cause }));
    };
    const timer = setTimeout(() => fail('no answer in time'), options.connectMs);
    const abort = (): void => fail('given up');
    signal.addEventListener('abort', abort, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    socket.once('connect', () => {
      settle();
      socket.removeAllListeners('error');
      resolve();
    });
    socket.once('error', (error) => {
      settle();
      fail(reasonOf(error), error);
    });
    if (signal.aborted) abort();
  });
  const transport = new Transport({
    role: 'upstream',
    leg,
    pool: options.pool,
    ident: options.ident,
    offer: makeOffer('upstream', {
      kex: [...algorithms.kex, ...(target.algorithms.kex ?? [])],
      hostKey: hostKeyAlgorithms(target, algorithms.hostKey),
      cipher: [...algorithms.cipher, ...(target.algorithms.cipher ?? [])],
      mac: [...algorithms.mac, ...(target.algorithms.mac ?? [])],
    }),
    limits: options.limits,
    nowMs: options.nowMs,
    verifyHostKey: (blob) => upstream.checkHostKey(blob),
  });
  const upstream: Upstream = new Upstream(transport, options);
  const close = (): void => transport.close(new AppError('terminated', 'given up'));
  signal.addEventListener('abort', close, { once: true });
  try {
    await upstream.handshake();
    return upstream;
  } catch (error) {
    transport.close(
      error instanceof AppError ? error : new ProtocolError(reasonOf(error), { cause: error }),
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', close);
  }
}
