/**
 * One SSH transport on ssh2's `Protocol`: the socket, the ident line, key exchange and rekeying with their limits, and
 * the messages that belong to the transport itself (RFC 4253, RFC 8308). Everything else that the filter lets through
 * is handed on, payload by payload. A payload handed on is a view into the read buffer: good until its handler returns,
 * never to be changed. However a transport ends, `onClose` is called exactly once and the socket is destroyed soon after.
 */
import { AppError, DISCONNECT, ProtocolError, reasonOf } from '../base/errors.ts';
import {
  decodeDisconnect,
  decodeExtInfo,
  encodeDisconnect,
  encodeExtInfo,
  encodeUnimplemented,
  MSG,
} from '../wire/messages.ts';
import type { Negotiated, Protocol } from '../wire/ssh2.ts';
import { verdictsOn } from './filter.ts';
import type { Role, State, Verdict } from './filter.ts';
import type { Leg, LegStream } from './leg-socket.ts';
import { PacketReader } from './packet-reader.ts';
import { PacketSender } from './packet-sender.ts';
import type { Outgoing } from './packet-sender.ts';
import { PeerLimits } from './peer-limits.ts';
import { guardKeyExchange, refusePrefixTruncation, takeKeyExchange } from './key-exchange-guard.ts';
import { KeyAge } from './key-age.ts';
import { makeProtocol } from './make-protocol.ts';
import { ReadPause } from './read-pause.ts';
import type { TransportEvents, TransportLimits, TransportOptions } from './transport-options.ts';

const CLOSE_MS = 5_000;
const HELD_BYTES = 1024 * 1024;

export class Transport {
  readonly role: Role;
  readonly socket: LegStream;
  readonly #leg: Leg;
  readonly #protocol: Protocol;
  readonly #sender: PacketSender;
  readonly #peerLimits: PeerLimits;
  readonly #keys: KeyAge;
  readonly #limits: TransportLimits;
  readonly #extensions: TransportOptions['extensions'];
  readonly #nowMs: () => number;
  readonly #reader: PacketReader;
  readonly #pause: ReadPause;
  #events: TransportEvents | undefined;
  #state: State = 'login';
  #verdicts: readonly Verdict[];
  #negotiated: Negotiated | undefined;
  #ready = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Bytes of pongs sent while the peer takes little. */
  #pongs = 0;
  #peerSignatureAlgorithms: readonly string[] | undefined;
  #lastHeardMs: number;

  constructor(options: TransportOptions) {
    this.role = options.role;
    this.#verdicts = verdictsOn(options.role, 'login');
    this.#leg = options.leg;
    this.socket = options.leg.socket;
    this.#pause = new ReadPause(this.socket);
    this.#sender = new PacketSender(this.socket, options.pool);
    this.#peerLimits = new PeerLimits(options.nowMs);
    this.#limits = options.limits;
    this.#keys = new KeyAge(options.limits, options.nowMs);
    this.#extensions = options.extensions;
    this.#nowMs = options.nowMs;
    this.#lastHeardMs = options.nowMs();
    this.#protocol = makeProtocol(options, this.#sender.write, (cause) => {
      const text = `key exchange failed: ${reasonOf(cause)}`;
      this.close(new AppError('key-exchange', text, { cause }));
    });
    this.#reader = new PacketReader(this.#protocol, options.role, options.leg.shared);
  }

  /** Starts to speak; nothing is sent or read before. */
  start(events: TransportEvents): void {
    this.#events = events;
    const protocol = this.#protocol;
    const keyExchange = protocol._onPayload;
    protocol._onPayload = (payload) => this.#onPayload(payload, keyExchange);
    const finish = protocol._onHandshakeComplete;
    protocol._onHandshakeComplete = (negotiated) => this.#onKeyExchanged(negotiated, finish);
    this.#arm(this.#limits.identMs, 'no identification line');
    this.#leg.onChunk = (chunk) => this.#onData(chunk);
    this.socket.on('drain', () => this.#events?.onWritable());
    this.socket.on('error', (cause) => {
      this.#end(new AppError('target-lost', `connection lost: ${reasonOf(cause)}`, { cause }));
    });
    this.socket.on('close', () => this.#end(new AppError('target-lost', 'connection closed')));
    protocol.start();
  }

  /** Hands the following messages to somebody else, when the login is over. */
  handOver(events: TransportEvents): void {
    this.#events = events;
  }

  /** The login is over on this leg: the filter's next table applies. */
  open(): void {
    this.#state = 'open';
    this.#verdicts = verdictsOn(this.role, 'open');
    this.#peerLimits.loggedIn();
  }

  /** The software part of the peer's ident line, printable ASCII. */
  get peerIdent(): string {
    return this.#reader.ident.software;
  }

  /** The exchange hash of the first key exchange (RFC 4253 section 7.2). */
  get sessionId(): Buffer {
    const id = this.#protocol._kex.sessionID;
    if (!id) throw new AppError('internal', 'no key exchange yet');
    return id;
  }

  get negotiated(): Negotiated | undefined {
    return this.#negotiated;
  }

  /** Whether both sides protect the handshake against dropped packets (strict key exchange). */
  get strict(): boolean {
    return this.#protocol._strictMode === true;
  }

  /** `server-sig-algs` as the peer announced them, if it did. */
  get peerSignatureAlgorithms(): readonly string[] | undefined {
    return this.#peerSignatureAlgorithms;
  }

  /** Whether messages may be sent now; not before the first key exchange, nor during a later one. */
  get writable(): boolean {
    return this.#ready && !this.#closed && !this.exchanging;
  }

  /** Whether a key exchange is under way. */
  get exchanging(): boolean {
    return this.#protocol._kexinit !== undefined;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes that the peer has not taken yet. */
  get backlog(): number {
    return this.socket.writableLength + this.#heldBytes;
  }

  /** Monotonic milliseconds when the peer was last heard. */
  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  /** Whether we have stopped reading. */
  get paused(): boolean {
    return this.#pause.wanted;
  }
  pause(who: number): void {
    this.#pause.pause(who);
  }

  resume(who: number): void {
    // What we held back is no silence of the peer.
    if (!this.#closed && this.#pause.resume(who)) this.#lastHeardMs = this.#nowMs();
  }

  /** Sends a message of the gate's own; during a key exchange it waits for its end. */
  send(payload: Buffer): void {
    if (this.#closed) return;
    if (!this.writable) {
      this.#heldBytes += payload.length;
      this.#held.push(payload);
      if (this.#heldBytes > HELD_BYTES) {
        this.close(new AppError('key-exchange', 'too much is waiting for a key exchange to end'));
      }
      return;
    }
    this.#sender.send(this.#protocol, this.#sender.prepare(payload, -1, false));
  }

  /** Copies a relayed message to where it will be encrypted, with `recipient` as its channel number. */
  prepare(payload: Buffer, recipient: number): Outgoing {
    return this.#sender.prepare(payload, recipient, !this.writable);
  }

  /** Sends a prepared message; the caller has seen that the leg is `writable`. */
  deliver(message: Outgoing): void {
    if (this.#closed) return;
    this.#sender.send(this.#protocol, message);
    // A peer with a large window may send nothing for long.
    if (this.#sender.bytes > this.#limits.rekeyBytes) this.rekey();
  }

  /** Begins a key exchange of our own, unless one is under way here or on the other leg, or nothing is read. */
  rekey(): void {
    if (!this.writable || this.paused || this.#events?.mayRekey?.() === false) return;
    this.#sender.flush();
    this.#protocol.rekey();
    this.#arm(this.#limits.keyExchangeMs, 'key exchange not finished in time');
  }

  /** Begins a rekey if the keys are older than the limit; called now and then. */
  rekeyIfOld(): void {
    if (this.writable && this.#keys.areOld()) this.rekey();
  }

  /** Tells the peer why (in clear before the first key exchange, if ident lines are exchanged), and ends. */
  close(reason: AppError): void {
    if (this.#closed) return;
    const text = reason.kind.expose ? reason.message : 'internal error';
    if (this.#protocol._decipher && !this.socket.destroyed) {
      try {
        this.#sendNow(encodeDisconnect(reason.kind.disconnect, text));
      } catch {
        // The cipher may be gone; the peer then learns it from the closed socket.
      }
    }
    this.#end(reason);
  }

  /** Sends even during a key exchange; only DISCONNECT may (RFC 4253 section 7.1). */
  #sendNow(payload: Buffer): void {
    const cipher = this.#protocol._cipher;
    const packet = cipher.allocPacket(payload.length);
    payload.copy(packet, 5);
    cipher.encrypt(packet);
    this.#sender.flush();
  }

  #end(reason: AppError): void {
    if (this.#closed) return;
    this.#sender.flush();
    this.#closed = true;
    clearTimeout(this.#timer);
    const socket = this.socket;
    if (!socket.destroyed) {
      // What the peer still sends is read and dropped, since closing on unread data would take back what we told it;
      // one that keeps its half open or does not read is not waited for.
      socket.end();
      socket.resume();
      const timer = setTimeout(() => socket.destroy(), CLOSE_MS);
      socket.once('close', () => clearTimeout(timer));
    }
    this.#reader.stop();
    this.#held = [];
    this.#heldBytes = 0;
    this.#protocol._onPayload = () => undefined;
    this.#events?.onClose(reason);
  }

  #onData(chunk: Buffer): void {
    if (this.#closed) return;
    this.#lastHeardMs = this.#nowMs();
    try {
      this.#keys.bytesIn += chunk.length;
      this.#reader.take(chunk, (line) => this.#onIdent(line));
      if (this.#keys.areUsedUp(this.#sender.bytes, this.#protocol)) this.rekey();
    } catch (error) {
      const reason =
        error instanceof AppError
          ? error
          : new ProtocolError(`malformed packet: ${reasonOf(error)}`, { cause: error });
      this.close(reason);
    }
  }

  #onIdent(line: Buffer): void {
    this.#arm(this.#limits.keyExchangeMs, 'key exchange not finished in time');
    this.#protocol.parse(line, 0, line.length);
    this.#guardKeyExchange(true);
  }

  #guardKeyExchange(first: boolean): void {
    guardKeyExchange(this.#protocol, first, {
      onDisconnect: (payload) => this.#onPeerDisconnect(payload),
      onIdle: () => this.#peerLimits.countIdle(),
    });
  }

  #onKeyExchanged(negotiated: Negotiated, finish: (negotiated: Negotiated) => void): void {
    const first = !this.#ready;
    const protocol = this.#protocol;
    const wantsExtensions = first && protocol._kex.remoteExtInfoEnabled;
    // ssh2's own EXT_INFO is malformed; ours is sent below, first of all packets.
    protocol._kex.remoteExtInfoEnabled = false;
    finish(negotiated);
    clearTimeout(this.#timer);
    this.#pause.need(false);
    this.#negotiated = negotiated;
    const { cs, sc } = negotiated;
    const [inbound, outbound] = this.role === 'downstream' ? [cs, sc] : [sc, cs];
    this.#reader.use(inbound.cipher, inbound.mac);
    this.#sender.use(outbound.cipher, outbound.mac);
    this.#sender.bytes = 0;
    this.#keys.renewed(protocol);
    this.#ready = true;
    if (first && this.role === 'upstream') refusePrefixTruncation(negotiated, this.strict);
    if (wantsExtensions && this.#extensions) this.send(encodeExtInfo(this.#extensions));
    if (first) this.#events?.onReady();
    this.#heldBytes = 0;
    for (const payload of this.#held.splice(0)) this.send(payload);
    if (!first) this.#events?.onWritable();
  }

  #onPayload(
    payload: Buffer,
    keyExchange: (payload: Buffer) => number | boolean | undefined,
  ): undefined {
    const type = payload[0];
    if (this.#closed) return;
    if (type === undefined) throw new ProtocolError('an empty message');
    switch (this.#verdicts[type]) {
      case 'pass':
        this.#events?.onPayload(payload);
        return;
      case 'own':
        this.#onOwn(type, payload, keyExchange);
        return;
      case 'drop':
        this.#peerLimits.countIdle();
        return;
      case 'unimplemented':
        this.#peerLimits.countUnknown();
        this.send(encodeUnimplemented((this.#protocol._decipher?.inSeqno ?? 1) - 1));
        return;
      case 'fatal':
      case undefined:
        throw new ProtocolError(
          `message ${type} is not expected ${this.#state === 'login' ? 'before login' : 'here'}`,
        );
    }
  }

  #onOwn(
    type: number,
    payload: Buffer,
    keyExchange: (payload: Buffer) => number | boolean | undefined,
  ): void {
    switch (type) {
      case MSG.disconnect:
        this.#onPeerDisconnect(payload);
        return;
      case MSG.extInfo: {
        const algorithms = decodeExtInfo(payload).get('server-sig-algs');
        if (algorithms) this.#peerSignatureAlgorithms = algorithms.toString('latin1').split(',');
        this.#peerLimits.countIdle();
        return;
      }
      case MSG.kexinit:
        this.#peerLimits.countKeyExchange();
        this.#sender.flush();
        takeKeyExchange(this.#protocol, keyExchange, payload);
        this.#pause.need(true);
        this.#guardKeyExchange(false);
        this.#arm(this.#limits.keyExchangeMs, 'key exchange not finished in time');
        return;
      case MSG.ping:
        this.#onPing(payload);
        return;
      default:
        this.#peerLimits.countIdle();
    }
  }

  /** OpenSSH's PROTOCOL 1.9: the answer carries the data of the question. */
  #onPing(payload: Buffer): void {
    // Its other messages may fill the backlog, and that is no fault of who pings.
    this.#pongs = this.backlog > HELD_BYTES ? this.#pongs + payload.length : 0;
    if (this.#pongs > HELD_BYTES) throw new ProtocolError('pings are sent faster than read');
    const pong = Buffer.from(payload);
    pong[0] = MSG.pong;
    this.send(pong);
  }

  #onPeerDisconnect(payload: Buffer): void {
    const { reason, description } = decodeDisconnect(payload);
    const text = description.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
    const code = reason === DISCONNECT.byApplication ? 'terminated' : 'target-lost';
    this.#end(new AppError(code, text === '' ? `disconnected (reason ${reason})` : text));
  }

  #arm(ms: number, text: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // A deadline on the peer stands still while we ourselves have stopped reading.
      if (this.#pause.inForce) this.#arm(ms, text);
      else this.close(new AppError('key-exchange', text));
    }, ms);
  }
}
