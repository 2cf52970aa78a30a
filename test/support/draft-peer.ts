/**
 * An SSH peer that knows one key exchange, mlkem768x25519-sha256, and one cipher, aes128-gcm@openssh.com. It is written
 * from the drafts and RFCs with nothing but node:crypto and shares no line with the product or with ssh2, so that the
 * two can only agree by being right. Either role; its own key share can be spoiled on its way out.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { Socket } from 'node:net';

const HYBRID = 'mlkem768x25519-sha256';
const [DISCONNECT, IGNORE, DEBUG, KEXINIT, NEWKEYS, INIT, REPLY] = [1, 2, 4, 20, 21, 30, 31];
const PATIENCE_MS = 60_000;

export interface DraftOptions {
  readonly role: 'client' | 'server';
  /** The methods that its KEXINIT names; the hybrid alone by default. */
  readonly kex?: readonly string[];
  /** What really goes out as its key share. */
  readonly spoil?: (share: Buffer) => Buffer;
  /** Of a server; one of its own by default. */
  readonly hostKey?: DraftHostKey;
  /** Whether it sends its first message before it has seen the other's KEXINIT, and says so; clients only. */
  readonly guesses?: boolean;
}

export interface DraftHostKey {
  readonly privateKey: KeyObject;
  readonly blob: Buffer;
  /** As an inventory wants it. */
  readonly line: string;
}

interface Direction {
  readonly key: Buffer;
  readonly iv: Buffer;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** The `string` at `offset`. */
function stringAt(data: Buffer, offset: number): Buffer {
  const start = offset + 4;
  return data.subarray(start, start + data.readUInt32BE(offset));
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

const templates = {
  mlkem: spki(generateKeyPairSync('ml-kem-768').publicKey).subarray(0, -1184),
  x25519: spki(generateKeyPairSync('x25519').publicKey).subarray(0, -32),
  ed25519: spki(generateKeyPairSync('ed25519').publicKey).subarray(0, -32),
};

function publicKey(kind: keyof typeof templates, raw: Buffer): KeyObject {
  const key = Buffer.concat([templates[kind], raw]);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

function sha256(...parts: readonly Buffer[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

export class DraftPeer {
  readonly socket: Socket;
  readonly #options: DraftOptions;
  readonly #host: DraftHostKey;
  #ident = '';
  #peerIdent = '';
  #outbound: Direction | undefined;
  #inbound: Direction | undefined;
  #early: Buffer[] = [];
  #received: Buffer = Buffer.alloc(0);
  #gone = false;
  #wake: () => void = () => undefined;
  sessionId: Buffer | undefined;
  /** Key exchanges that are over. */
  exchanges = 0;
  /** The method that the other side prefers: the first in its list. */
  preferred: string | undefined;

  constructor(socket: Socket, options: DraftOptions) {
    this.socket = socket;
    this.#options = options;
    this.#host = options.hostKey ?? DraftPeer.makeHostKey();
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    for (const end of ['end', 'close']) {
      socket.on(end, () => {
        this.#gone = true;
        this.#wake();
      });
    }
    socket.setNoDelay(true);
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('nothing came in time')));
  }

  static makeHostKey(): DraftHostKey {
    const { privateKey, publicKey: key } = generateKeyPairSync('ed25519');
    const blob = Buffer.concat([string('ssh-ed25519'), string(spki(key).subarray(-32))]);
    return { privateKey, blob, line: `ssh-ed25519 ${blob.toString('base64')}` };
  }

  /** Ident lines and the first key exchange. */
  async start(): Promise<this> {
    this.#ident = 'SSH-2.0-OpenSSH_draft';
    this.socket.write(`${this.#ident}\r\n`);
    let line = '';
    while (!line.endsWith('\n')) line += (await this.#read(1)).toString('latin1');
    this.#peerIdent = line.trimEnd();
    await this.rekey();
    return this;
  }

  /** Sends a message; whoever does not know the keys cannot read it. */
  send(payload: Buffer): void {
    const direction = this.#outbound;
    const [block, uncounted] = direction ? [16, 0] : [8, 4];
    const padding = block - ((uncounted + 1 + payload.length) % block) + block;
    const body = Buffer.concat([Buffer.of(padding), payload, randomBytes(padding)]);
    const length = uint32(body.length);
    if (!direction) {
      this.socket.write(Buffer.concat([length, body]));
      return;
    }
    const cipher = createCipheriv('aes-128-gcm', direction.key, direction.iv).setAAD(length);
    const sealed = Buffer.concat([cipher.update(body), cipher.final(), cipher.getAuthTag()]);
    direction.iv.writeBigUInt64BE(direction.iv.readBigUInt64BE(4) + 1n, 4);
    this.socket.write(Buffer.concat([length, sealed]));
  }

  /** The next message that is not about keys; a DISCONNECT is an error with its text. */
  async next(): Promise<Buffer> {
    const early = this.#early.shift();
    if (early) return early;
    for (;;) {
      const payload = await this.#packet();
      if (payload[0] !== KEXINIT) return payload;
      await this.#exchange(payload);
    }
  }

  /** Begins a key exchange, and settles when it is over. */
  rekey(): Promise<void> {
    return this.#exchange(undefined);
  }

  async #exchange(theirs: Buffer | undefined): Promise<void> {
    const { role, spoil = (share: Buffer): Buffer => share, guesses = false } = this.#options;
    const ours = this.#kexinit(guesses);
    this.send(ours);
    const mlkem = generateKeyPairSync('ml-kem-768');
    const x25519 = generateKeyPairSync('x25519');
    const ownX25519 = spki(x25519.publicKey).subarray(-32);
    const share = Buffer.concat([spki(mlkem.publicKey).subarray(-1184), ownX25519]);
    const init = Buffer.concat([Buffer.of(INIT), string(spoil(share))]);
    if (role === 'client' && guesses) this.send(init);
    const peerInit = theirs ?? (await this.#until(KEXINIT));
    this.preferred = stringAt(peerInit, 17).toString().split(',')[0];
    const agree = (raw: Buffer): Buffer =>
      diffieHellman({ privateKey: x25519.privateKey, publicKey: publicKey('x25519', raw) });
    let hash: Buffer;
    let secret: Buffer;
    if (role === 'client') {
      // A guess counts where both sides prefer the same method; else it was for nothing.
      if (!guesses || this.preferred !== (this.#options.kex?.[0] ?? HYBRID)) this.send(init);
      const reply = await this.#until(REPLY);
      const hostKey = stringAt(reply, 1);
      const answer = stringAt(reply, 5 + hostKey.length);
      const signature = stringAt(reply, 9 + hostKey.length + answer.length);
      const [ciphertext, raw] = [answer.subarray(0, 1088), answer.subarray(1088)];
      secret = sha256(decapsulate(mlkem.privateKey, ciphertext), agree(raw));
      hash = this.#hash(ours, peerInit, hostKey, share, answer, secret);
      const key = publicKey('ed25519', stringAt(hostKey, 4 + 'ssh-ed25519'.length));
      if (!verify(null, hash, key, signature.subarray(-64))) throw new Error('wrong signature');
    } else {
      const clientShare = stringAt(await this.#until(INIT), 1);
      const [rawKey, raw] = [clientShare.subarray(0, 1184), clientShare.subarray(1184)];
      const { ciphertext, sharedKey } = encapsulate(publicKey('mlkem', rawKey));
      const answer = Buffer.concat([ciphertext, ownX25519]);
      secret = sha256(sharedKey, agree(raw));
      hash = this.#hash(peerInit, ours, this.#host.blob, clientShare, answer, secret);
      const signature = [string('ssh-ed25519'), string(sign(null, hash, this.#host.privateKey))];
      const reply = [
        string(this.#host.blob),
        string(spoil(answer)),
        string(Buffer.concat(signature)),
      ];
      this.send(Buffer.concat([Buffer.of(REPLY), ...reply]));
    }
    this.send(Buffer.of(NEWKEYS));
    this.sessionId ??= hash;
    const [up, down] = [this.#direction(secret, hash, 'AC'), this.#direction(secret, hash, 'BD')];
    this.#outbound = role === 'client' ? up : down;
    await this.#until(NEWKEYS);
    this.#inbound = role === 'client' ? down : up;
    this.exchanges++;
  }

  /** RFC 4253 section 7.1. */
  #kexinit(follows: boolean): Buffer {
    const { kex = [HYBRID] } = this.#options;
    const cipher = 'aes128-gcm@openssh.com';
    const lists = [kex.join(','), 'ssh-ed25519', cipher, cipher, '', '', 'none', 'none', '', ''];
    const tail = Buffer.concat([Buffer.of(follows ? 1 : 0), uint32(0)]);
    return Buffer.concat([Buffer.of(KEXINIT), randomBytes(16), ...lists.map(string), tail]);
  }

  /** RFC 5656 section 4, with both shares and the secret as strings. */
  #hash(clientInit: Buffer, serverInit: Buffer, ...rest: readonly Buffer[]): Buffer {
    const idents = [this.#ident, this.#peerIdent];
    if (this.#options.role === 'server') idents.reverse();
    return sha256(...[...idents, clientInit, serverInit, ...rest].map(string));
  }

  /** RFC 4253 section 7.2: the letters of an IV and of a key. */
  #direction(secret: Buffer, hash: Buffer, letters: string): Direction {
    const derive = (letter: string | undefined): Buffer =>
      sha256(string(secret), hash, Buffer.from(letter ?? ''), this.sessionId ?? hash);
    return {
      iv: Buffer.from(derive(letters[0]).subarray(0, 12)),
      key: derive(letters[1]).subarray(0, 16),
    };
  }

  /** The next message of this type, during a key exchange; what comes before it waits for `next`. */
  async #until(type: number): Promise<Buffer> {
    for (;;) {
      const payload = await this.#packet();
      if (payload[0] === type) return payload;
      if (this.exchanges === 0) throw new Error(`message ${payload[0]} instead of ${type}`);
      this.#early.push(payload);
    }
  }

  async #packet(): Promise<Buffer> {
    const direction = this.#inbound;
    const length = await this.#read(4);
    const count = length.readUInt32BE();
    let body: Buffer;
    if (direction) {
      const sealed = await this.#read(count + 16);
      const decipher = createDecipheriv('aes-128-gcm', direction.key, direction.iv);
      decipher.setAAD(length).setAuthTag(sealed.subarray(count));
      body = Buffer.concat([decipher.update(sealed.subarray(0, count)), decipher.final()]);
      direction.iv.writeBigUInt64BE(direction.iv.readBigUInt64BE(4) + 1n, 4);
    } else {
      body = await this.#read(count);
    }
    const payload = body.subarray(1, count - (body[0] ?? 0));
    if (payload[0] === DISCONNECT) throw new Error(stringAt(payload, 5).toString());
    return payload[0] === IGNORE || payload[0] === DEBUG ? this.#packet() : payload;
  }

  async #read(count: number): Promise<Buffer> {
    while (this.#received.length < count) {
      if (this.#gone) throw new Error('without a word');
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#wake = () => resolve(undefined);
      await promise;
    }
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }
}
