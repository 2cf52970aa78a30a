/**
 * A fake target on loopback: what dials it gets a raw SSH peer in the server's role, which lets everybody in and then
 * does what the test says. Its behaviour can be changed between connections.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { MSG } from '../../src/wire/messages.ts';
import { generateKeyPair, parseHostKey } from '../../src/wire/ssh2.ts';
import type { ParsedKey } from '../../src/wire/ssh2.ts';
import { encodeService } from '../../src/wire/userauth.ts';
import { RawPeer, rawReady } from './raw-peer.ts';
import type { RawOptions } from './raw-peer.ts';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';

export interface Behaviour {
  /** Instead of everything else: what to do with the bare socket. */
  readonly onSocket?: (socket: Socket) => void;
  /** Answers the login; says whether a message was dealt with. By default everybody is let in. */
  readonly login?: (payload: Buffer, peer: RawPeer) => boolean;
  readonly options?: Omit<RawOptions, 'hostKeys' | 'onMessage'>;
  /** Sees messages after the login first. */
  readonly onMessage?: (payload: Buffer, peer: RawPeer) => boolean;
  readonly hostKeys?: Readonly<Record<string, ParsedKey>>;
}

/** A host key, as a peer wants it and as an inventory does. */
export interface RawHostKey {
  readonly keys: Readonly<Record<string, ParsedKey>>;
  /** `type base64`. */
  readonly line: string;
}

export function makeRawHostKey(): RawHostKey {
  const { privateText, publicLine } = generateKeyPair('ed25519', 'raw');
  return {
    keys: { 'ssh-ed25519': parseHostKey(privateText) },
    line: publicLine.split(' ').slice(0, 2).join(' '),
  };
}

/** Lets everybody in. */
export function letIn(payload: Buffer, peer: RawPeer): boolean {
  if (payload[0] === MSG.serviceRequest) {
    peer.send(encodeService(MSG.serviceAccept, 'ssh-userauth'));
    return true;
  }
  if (payload[0] === MSG.userauthRequest) {
    peer.send(Buffer.from([MSG.userauthSuccess]));
    return true;
  }
  return false;
}

export class RawTarget {
  readonly port: number;
  readonly hostKey: RawHostKey;
  behaviour: Behaviour = {};
  readonly #arrived: RawPeer[] = [];
  #waiting: ((peer: RawPeer) => void)[] = [];

  constructor(port: number, hostKey: RawHostKey) {
    this.port = port;
    this.hostKey = hostKey;
  }

  /** The next one who has logged in. */
  async next(ms = 60_000): Promise<RawPeer> {
    const early = this.#arrived.shift();
    if (early) return early;
    const { promise, resolve, reject } = Promise.withResolvers<RawPeer>();
    const timer = setTimeout(() => reject(new Error(`nobody came within ${ms} ms`)), ms);
    this.#waiting.push(resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Forgets who has come and was not asked for. */
  forget(): void {
    this.#arrived.length = 0;
    this.#waiting = [];
  }

  accept(socket: Socket): void {
    const { onSocket, login = letIn, options, onMessage, hostKeys } = this.behaviour;
    if (onSocket) {
      onSocket(socket);
      return;
    }
    let open = false;
    const peer: RawPeer = new RawPeer(socket, {
      ...options,
      hostKeys: hostKeys ?? this.hostKey.keys,
      onMessage: (payload) => {
        if (open) return onMessage?.(payload, peer) ?? false;
        const dealt = login(payload, peer);
        if (dealt && payload[0] === MSG.userauthRequest) {
          open = true;
          const waiting = this.#waiting.shift();
          if (waiting) waiting(peer);
          else this.#arrived.push(peer);
        }
        return dealt;
      },
    });
    peer.start();
  }
}

/** Starts a fake target. */
export async function startRawTarget(scope: Scope, port = 0): Promise<RawTarget> {
  await rawReady();
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    target.accept(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('the listener has no address');
  const target = new RawTarget(address.port, makeRawHostKey());
  defer(scope, async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return target;
}
