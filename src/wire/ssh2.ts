/**
 * The door to ssh2, and its only importer: key exchange, ciphers and MACs (`Protocol`), and the parser of private key
 * files. Its handlers of login and connection messages are never reached: `ssh/transport.ts` takes every payload
 * before them. The version is pinned, and `selfTest` checks at start the private fields that we rely on.
 */
import keygen from 'ssh2/lib/keygen.js';
import Protocol from 'ssh2/lib/protocol/Protocol.js';
import crypto from 'ssh2/lib/protocol/crypto.js';
import kex from 'ssh2/lib/protocol/kex.js';
import keyParser from 'ssh2/lib/protocol/keyParser.js';
import type { KeyExchange, Negotiated } from 'ssh2/lib/protocol/Protocol.js';
import type { ParsedKey } from 'ssh2/lib/protocol/keyParser.js';

import { AppError, ProtocolError } from '../base/errors.ts';
import { generateEd25519 } from './openssh-key.ts';
import type { KeyFiles } from './openssh-key.ts';
import { PrivateKey } from './publickey.ts';

const { KexInit } = kex;

/** What a leg offers in KEXINIT, in ssh2's form. */
export type Offer = InstanceType<typeof KexInit>;

export { KexInit, Protocol };
export type { KeyExchange, Negotiated, ParsedKey };

/** Whether the ciphers run in native code; without it throughput halves. */
export const nativeCiphers = crypto.bindingAvailable;

/** How a packet is laid out under one cipher and MAC (RFC 4253 section 6, RFC 5647, PROTOCOL.chacha20poly1305). */
export interface PacketShape {
  /** What the padded length is a multiple of. */
  readonly block: number;
  /** How many bytes in front are not counted in that: 4 where the length is not encrypted with the rest. */
  readonly uncounted: number;
  /** Bytes of tag or MAC behind the padding. */
  readonly trailer: number;
}

/** The shape of packets under negotiated algorithms, or undefined where ssh2's own allocation must be used. */
export function packetShape(cipher: string, mac: string): PacketShape | undefined {
  if (cipher.includes('-gcm@')) return { block: 16, uncounted: 4, trailer: 16 };
  if (cipher.startsWith('chacha20-')) return { block: 8, uncounted: 4, trailer: 16 };
  const info = crypto.CIPHER_INFO[cipher];
  const macInfo = crypto.MAC_INFO[mac];
  if (!info || !macInfo || macInfo.len !== macInfo.actualLen || info.blockLen < 8) return undefined;
  return { block: info.blockLen, uncounted: macInfo.isETM ? 4 : 0, trailer: macInfo.len };
}

/**
 * Parses the text of a private key file: OpenSSH's own form, PKCS #8, or the older PEM forms; without passphrase.
 * Throws `ProtocolError` that says what is wrong with it, never what is in it.
 */
export function parsePrivateKey(text: string): PrivateKey {
  if (/ENCRYPTED/.test(text)) {
    throw new ProtocolError('the private key is protected by a passphrase; store it without one');
  }
  try {
    return new PrivateKey(text.includes('OPENSSH PRIVATE KEY') ? toPem(text) : text);
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause;
    throw new ProtocolError('not a private key in OpenSSH or PEM form', { cause });
  }
}

function toPem(text: string): string {
  return parseHostKey(text).getPrivatePEM();
}

/** Parses a private key as the object that `Protocol` wants for a host key. */
export function parseHostKey(text: string): ParsedKey {
  const parsed = keyParser.parseKey(text.trim());
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || key instanceof Error || !key.isPrivateKey()) {
    const why = key instanceof Error ? key.message : 'no private key in it';
    const locked = /passphrase|encrypted/i.test(why);
    throw new ProtocolError(
      locked
        ? 'the private key is protected by a passphrase; store it without one'
        : 'not a private key in OpenSSH form',
    );
  }
  return key;
}

/** Makes a key pair in OpenSSH's form: the private file's text and the public line. */
export function generateKeyPair(type: 'ed25519' | 'rsa', comment: string): KeyFiles {
  if (type === 'ed25519') return generateEd25519(comment);
  const pair = keygen.generateKeyPairSync(type, { bits: 3072, comment });
  return { privateText: pair.private, publicLine: pair.public };
}

/** Must have settled before the first `Protocol` is made. Throws when ssh2 is not the one we know. */
export async function selfTest(): Promise<void> {
  await crypto.init;
  const list = { cipher: ['aes128-gcm@openssh.com'], mac: [], compress: ['none'], lang: [] };
  const protocol = new Protocol({
    server: false,
    ident: 'selftest',
    offer: new KexInit({
      kex: ['curve25519-sha256'],
      serverHostKey: ['ssh-ed25519'],
      cs: list,
      sc: list,
    }),
    onWrite: () => undefined,
    onError: () => undefined,
    onHandshakeComplete: () => undefined,
    messageHandlers: {},
  });
  const ident = Buffer.from('SSH-2.0-selftest\r\n');
  protocol.parse(ident, 0, ident.length);
  const known =
    typeof protocol._onPayload === 'function' &&
    typeof protocol._destruct === 'function' &&
    typeof protocol._decipher?._onPayload === 'function' &&
    '_packet' in protocol._decipher &&
    typeof protocol._cipher.encrypt === 'function' &&
    typeof protocol._cipher.allocPacket === 'function' &&
    typeof protocol._onHandshakeComplete === 'function' &&
    Buffer.isBuffer(protocol._kexinit) &&
    '_queue' in protocol &&
    '_strictMode' in protocol &&
    !protocol._server &&
    Object.getOwnPropertyDescriptor(protocol, '_kex')?.writable === true &&
    protocol._offer.lists.kex.array[0] === 'curve25519-sha256';
  protocol.cleanup();
  if (!known) {
    throw new AppError('internal', 'ssh2 is not the version that was tested; run: make setup');
  }
}
