/**
 * A cheap SSH client: one connection with one session channel, made of the gate's own wire, so that hundreds fit into
 * one process and a keystroke's way is not longer than the network's. It takes any host key: it only measures.
 */
import { readFileSync } from 'node:fs';
import { AppError } from '../../src/base/errors.ts';
import { ReadBuffer } from '../../src/ssh/leg-socket.ts';
import { PacketPool } from '../../src/ssh/packet-pool.ts';
import { dial } from '../../src/ssh/upstream.ts';
import type { Upstream } from '../../src/ssh/upstream.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { decodeGlobalRequest, encodeChannelMessage, MSG } from '../../src/wire/messages.ts';
import { parsePrivateKey, selfTest } from '../../src/wire/ssh2.ts';
import type { PrivateKey } from '../../src/wire/publickey.ts';

const CIPHER = 'aes128-gcm@openssh.com';
const DEADLINE_MS = 60_000;
const WINDOW = 2 ** 30;
const MAX_PACKET = 32_768;

/** Where to log in, as whom, with which private key file. */
export interface RawEndpoint {
  readonly port: number;
  readonly user: string;
  readonly key: string;
}

/** What all sessions of a process share; `make` first. */
export class RawClient {
  readonly #pool = new PacketPool();
  readonly #readBuffer = new ReadBuffer();
  readonly #endpoint: RawEndpoint;
  readonly #key: PrivateKey;

  private constructor(endpoint: RawEndpoint) {
    this.#endpoint = endpoint;
    this.#key = parsePrivateKey(readFileSync(endpoint.key, 'utf8'));
  }

  static async make(endpoint: RawEndpoint): Promise<RawClient> {
    await selfTest();
    return new RawClient(endpoint);
  }

  /** Logs in and opens a session channel: through a gate that says that its target was reached. */
  async open(): Promise<RawSession> {
    const { port, user } = this.#endpoint;
    const upstream = await dial(
      {
        target: {
          id: '',
          uuid: '',
          name: 'measured',
          address: '127.0.0.1',
          port,
          hostKeys: [],
          hostKeyPolicy: 'accept-new',
          algorithms: {},
          accounts: [],
        },
        account: user,
        pool: this.#pool,
        readBuffer: this.#readBuffer,
        ident: 'OpenSSH_bench',
        algorithms: {
          kex: ['curve25519-sha256'],
          hostKey: ['ssh-ed25519'],
          cipher: [CIPHER],
          mac: ['hmac-sha2-256'],
        },
        limits: {
          rekeyBytes: 2 ** 32,
          rekeyPackets: 2 ** 31,
          rekeySeconds: 86_400,
          keyExchangeMs: DEADLINE_MS,
          identMs: DEADLINE_MS,
        },
        connectMs: DEADLINE_MS,
        handshakeMs: DEADLINE_MS,
        loginMs: DEADLINE_MS,
        nowMs: () => performance.now(),
      },
      new AbortController().signal,
    );
    await upstream.loginWithKey(this.#key);
    const session = new RawSession(upstream);
    await session.opened;
    return session;
  }
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** One connection with one session channel. */
export class RawSession {
  readonly opened: Promise<void>;
  /** Called when data of the channel came in, whatever it holds. */
  onData: () => void = () => undefined;
  readonly #upstream: Upstream;
  #peer = 0;
  #waiter: Waiter | undefined;
  #ended: Error | undefined;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
    upstream.transport.handOver({
      onReady: () => undefined,
      onWritable: () => undefined,
      onPayload: (payload) => this.#onPayload(payload),
      onClose: (reason) => {
        this.#ended = reason;
        this.#waiter?.reject(reason);
      },
    });
    upstream.release((payload) => this.#onPayload(payload));
    const open = new Writer().uint8(MSG.channelOpen).string('session').uint32(0);
    this.opened = this.#ask(open.uint32(WINDOW).uint32(MAX_PACKET).done());
  }

  /** Asks for a terminal; before `exec`. */
  pty(): Promise<void> {
    const request = this.#request('pty-req').string('xterm');
    return this.#ask(request.uint32(80).uint32(24).uint32(0).uint32(0).string('\0').done());
  }

  exec(command: string): Promise<void> {
    return this.#ask(this.#request('exec').string(command).done());
  }

  /** Sends bytes to the command's standard input. */
  send(bytes: Buffer): void {
    const message = new Writer().uint8(MSG.channelData).uint32(this.#peer).string(bytes);
    this.#upstream.transport.send(message.done());
  }

  close(): void {
    this.#upstream.transport.close(new AppError('terminated', 'done'));
  }

  #request(type: string): Writer {
    const message = new Writer().uint8(MSG.channelRequest).uint32(this.#peer);
    return message.string(type).boolean(true);
  }

  /** Sends a message and waits for its answer, the only one that is outstanding. */
  #ask(message: Buffer): Promise<void> {
    if (this.#ended) return Promise.reject(this.#ended);
    const answer = new Promise<void>((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
    this.#upstream.transport.send(message);
    return answer;
  }

  #onPayload(payload: Buffer): void {
    switch (payload[0] ?? 0) {
      case MSG.channelData:
        this.onData();
        break;
      case MSG.channelOpenConfirmation:
        this.#peer = payload.readUInt32BE(5);
        this.#waiter?.resolve();
        break;
      case MSG.channelSuccess:
        this.#waiter?.resolve();
        break;
      case MSG.channelOpenFailure:
      case MSG.channelFailure:
        this.#waiter?.reject(new Error('the channel or a request of it was refused'));
        break;
      case MSG.globalRequest:
        // Whoever asks whether this side lives gets an answer.
        if (decodeGlobalRequest(payload).wantReply) {
          this.#upstream.transport.send(Buffer.from([MSG.requestFailure]));
        }
        break;
      case MSG.channelRequest:
        this.#answerRequest(payload);
        break;
      default:
      // Windows are never used up here, and nobody waits for an end.
    }
  }

  #answerRequest(payload: Buffer): void {
    const wantReply = payload[9 + payload.readUInt32BE(5)] === 1;
    if (!wantReply) return;
    this.#upstream.transport.send(encodeChannelMessage(MSG.channelFailure, this.#peer));
  }
}
