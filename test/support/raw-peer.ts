/**
 * An SSH peer that can misbehave. After a real key exchange (by ssh2's `Protocol`) it sends and receives whole messages
 * of any kind in any state; it chooses how its bytes are cut into segments, when it reads, when keys are renewed, and
 * whether it closes its half when the other side has. It has no opinion of its own about anything it receives but
 * what the options say. `raw-client.ts` and `raw-target.ts` make one for each role.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { MSG, decodeDisconnect } from '../../src/wire/messages.ts';
import { KexInit, Protocol, selfTest } from '../../src/wire/ssh2.ts';
import type { ParsedKey } from '../../src/wire/ssh2.ts';

export interface RawAlgorithms {
  readonly kex?: readonly string[];
  readonly hostKey?: readonly string[];
  readonly cipher?: readonly string[];
  readonly mac?: readonly string[];
}

/** How bytes leave: as they are built, one by one, or collected to so many. */
export type Segments = 'natural' | 'bytes' | { readonly lump: number };

export interface RawOptions {
  readonly algorithms?: RawAlgorithms;
  readonly segments?: Segments;
  /** Host key by signature algorithm: makes this the server's side. */
  readonly hostKeys?: Readonly<Record<string, ParsedKey>>;
  /** Seen first by this; what it returns true for is not kept in `received`. */
  readonly onMessage?: (payload: Buffer, peer: RawPeer) => boolean;
  readonly ident?: string;
  /** Whether it never ends its half of the connection when the other side has ended its own. */
  readonly keepsHalfOpen?: boolean;
  /** Whether it takes no notice of what it is sent, but for the end. */
  readonly deaf?: boolean;
  /** Whether to ask for strict key exchange; true by default. */
  readonly strict?: boolean;
}

const DEFAULTS = {
  kex: ['curve25519-sha256'],
  hostKey: ['ssh-ed25519', 'rsa-sha2-512'],
  cipher: ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr'],
  mac: ['hmac-sha2-256-etm@openssh.com'],
};

interface Waiter {
  readonly find: () => boolean;
  readonly resolve: () => void;
  /** The connection has ended. */
  readonly gone: () => void;
}

export class RawPeer {
  readonly socket: Socket;
  readonly #protocol: Protocol;
  readonly #options: RawOptions;
  readonly #out: Buffer[] = [];
  #outBytes = 0;
  #pumping = false;
  #held: Buffer[] = [];
  #ready = false;
  #stalls = false;
  #waiters: Waiter[] = [];
  #taken = 0;
  /** What has arrived and was not taken by `onMessage`, in order. */
  readonly received: Buffer[] = [];
  /** Key exchanges that are over. */
  exchanges = 0;
  segments: Segments;
  /** The text of the DISCONNECT that ended it. */
  disconnected: string | undefined;
  /** Changes packets on their way out. */
  mutate: (bytes: Buffer) => Buffer = (bytes) => bytes;
  /** What ssh2 did not like. */
  failure: Error | undefined;
  /** Set when the other side has sent its end, or the connection is gone. */
  ended = false;
  closed = false;

  constructor(socket: Socket, options: RawOptions = {}) {
    this.socket = socket;
    this.#options = options;
    this.segments = options.segments ?? 'natural';
    const { algorithms = {}, hostKeys, strict = true } = options;
    const server = hostKeys !== undefined;
    const list = {
      cipher: algorithms.cipher ?? DEFAULTS.cipher,
      mac: algorithms.mac ?? DEFAULTS.mac,
      compress: ['none'],
      lang: [],
    };
    const marks = server
      ? ['kex-strict-s-v00@openssh.com']
      : ['ext-info-c', 'kex-strict-c-v00@openssh.com'];
    const protocol = new Protocol({
      server,
      ...(hostKeys && { hostKeys }),
      ident: options.ident ?? 'OpenSSH_raw',
      offer: new KexInit({
        kex: [...(algorithms.kex ?? DEFAULTS.kex), ...(strict ? marks : marks.slice(0, -1))],
        serverHostKey: algorithms.hostKey ?? (server ? Object.keys(hostKeys) : DEFAULTS.hostKey),
        cs: list,
        sc: list,
      }),
      onWrite: (data) => this.sendBytes(this.mutate(Buffer.from(data))),
      onError: (error) => {
        this.failure = error;
        this.#look();
      },
      onHandshakeComplete: () => undefined,
      messageHandlers: {},
    });
    this.#protocol = protocol;
    const keyExchange = protocol._onPayload;
    protocol._onPayload = (payload) => this.#onPayload(payload, keyExchange);
    const finish = protocol._onHandshakeComplete;
    protocol._onHandshakeComplete = (negotiated) => {
      protocol._kex.remoteExtInfoEnabled = false;
      finish(negotiated);
      this.exchanges++;
      this.#ready = true;
      for (const payload of this.#held.splice(0)) this.send(payload);
      this.#look();
    };
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('end', () => {
      this.#end(false);
      if (options.keepsHalfOpen !== true) socket.end();
    });
    socket.on('close', () => this.#end(true));
    socket.on('error', () => undefined);
  }

  /** Sends the ident line, and with it begins. */
  start(): this {
    this.#protocol.start();
    return this;
  }

  get sessionId(): Buffer {
    return this.#protocol._kex.sessionID ?? Buffer.alloc(0);
  }

  /** Whether no key exchange is under way. */
  get writable(): boolean {
    return this.#ready && this.#protocol._kexinit === undefined;
  }

  /** Whether its own KEXINIT is out and the exchange is not over. */
  get exchanging(): boolean {
    return this.#protocol._kexinit !== undefined;
  }

  /** Sends a message as soon as the protocol allows it: behind the key exchange under way. */
  send(payload: Buffer): void {
    if (this.closed) return;
    if (this.writable) this.sendNow(payload);
    else this.#held.push(payload);
  }

  /** Sends a message now, whatever is under way. */
  sendNow(payload: Buffer): void {
    const cipher = this.#protocol._cipher;
    const packet = cipher.allocPacket(payload.length);
    payload.copy(packet, 5);
    cipher.encrypt(packet);
  }

  /** Sends a message whose padding length is a lie. */
  sendPadded(payload: Buffer, padding: number): void {
    const cipher = this.#protocol._cipher;
    const packet = cipher.allocPacket(payload.length);
    payload.copy(packet, 5);
    packet[4] = padding;
    cipher.encrypt(packet);
  }

  /** Sends bytes that no cipher has seen. */
  sendBytes(bytes: Buffer): void {
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
    const { segments } = this;
    if (segments === 'natural') this.flush();
    else if (segments === 'bytes') this.#pump();
    else if (this.#outBytes >= segments.lump) this.flush();
  }

  /** Writes what was collected, as one piece. */
  flush(): void {
    const bytes = Buffer.concat(this.#out.splice(0));
    this.#outBytes = 0;
    if (bytes.length > 0 && !this.socket.destroyed && !this.socket.writableEnded) {
      this.socket.write(bytes);
    }
  }

  /** One byte, one write, one segment: the next when the kernel has taken it. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    let piece: Buffer = Buffer.alloc(0);
    const next = (): void => {
      if (piece.length === 0) piece = this.#out.shift() ?? piece;
      if (piece.length === 0 || this.socket.destroyed || this.socket.writableEnded) {
        this.#pumping = false;
        return;
      }
      const byte = piece.subarray(0, 1);
      piece = piece.subarray(1);
      this.socket.write(byte, () => setImmediate(next));
    };
    next();
  }

  /** Begins a key exchange of its own. */
  rekey(): void {
    this.#protocol.rekey();
  }

  /** Begins a key exchange and never goes on with it: the answer is not looked at, all else is. */
  rekeyAndStall(): void {
    this.#stalls = true;
    this.#protocol.rekey();
  }

  stopReading(): void {
    this.socket.pause();
  }

  readOn(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Waits until `find` is true; fails when the connection ends first, unless `evenClosed`. */
  async until(find: () => boolean, what: string, ms = 60_000, evenClosed = false): Promise<void> {
    if (find()) return;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const gone = (): void => {
      const why = this.disconnected ?? this.failure?.message ?? 'without a word';
      if (!evenClosed) reject(new Error(`the connection ended before ${what}: ${why}`));
    };
    if (this.closed) gone();
    const timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
    this.#waiters.push({ find, resolve: () => resolve(undefined), gone });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters = this.#waiters.filter((one) => one.find !== find);
    }
  }

  /** The next message, or the next of these types with those before it left out. */
  async next(...types: number[]): Promise<Buffer> {
    const find = (): boolean => {
      while (this.#taken < this.received.length) {
        const type = this.received[this.#taken]?.[0] ?? -1;
        if (types.length === 0 || types.includes(type)) return true;
        this.#taken++;
      }
      return false;
    };
    await this.until(find, types.length === 0 ? 'a message' : `message ${types.join(' or ')}`);
    return this.received[this.#taken++] ?? Buffer.alloc(0);
  }

  /** Waits for the end of the key exchange. */
  async ready(): Promise<this> {
    await this.until(() => this.#ready, 'end of the key exchange');
    return this;
  }

  /** Waits until the other side has ended the connection; returns what it said, or an empty text. */
  async end(ms = 60_000): Promise<string> {
    await this.until(() => this.ended || this.closed, 'end of the connection', ms, true);
    return this.disconnected ?? '';
  }

  /** Waits until everything written is in the kernel. */
  async drained(): Promise<void> {
    while (this.socket.writableLength > 0 && !this.socket.destroyed) {
      await Promise.race([once(this.socket, 'drain'), once(this.socket, 'close')]);
    }
  }

  #look(): void {
    for (const waiter of [...this.#waiters]) {
      if (waiter.find()) waiter.resolve();
      else if (this.closed) waiter.gone();
    }
  }

  #end(closed: boolean): void {
    this.ended = true;
    if (closed) this.closed = true;
    this.#look();
  }

  #onData(chunk: Buffer): void {
    if (this.failure || this.#options.deaf === true) return;
    try {
      this.#protocol.parse(chunk, 0, chunk.length);
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
    }
    this.#look();
  }

  #onPayload(
    payload: Buffer,
    keyExchange: (payload: Buffer) => number | boolean | undefined,
  ): undefined {
    const type = payload[0] ?? -1;
    // ssh2 keeps parts of a payload; ours are kept too.
    const copy = Buffer.from(payload);
    if (type === MSG.kexinit) {
      if (!this.#stalls) keyExchange(copy);
      return;
    }
    if (type === MSG.disconnect) this.disconnected = decodeDisconnect(copy).description;
    if (this.#options.onMessage?.(copy, this) !== true) this.received.push(copy);
  }
}

/** To be awaited before the first peer is made. */
export const rawReady: () => Promise<void> = selfTest;
