/** What the tests of forwards need: servers that say what they got, and clients of forwards that ssh has set up. */
import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { eventually } from '../support/eventually.ts';
import type { Gate } from '../support/gate.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';

/** Every kind of channel that a rule can name, but for SSH inside forwards. */
export const ALL = [
  'shell',
  'exec',
  'sftp',
  'scp',
  'local-forward',
  'remote-forward',
  'streamlocal',
  'agent',
  'x11',
] as const;

export interface Echo {
  readonly port: number;
  /** All bytes of all connections, as they came: what a tap beside the target sees. */
  readonly received: () => Buffer;
  readonly connections: () => number;
}

/** A server that answers each piece with the same bytes in upper case; on a port, or on a path. */
export async function startEcho(scope: Scope, path?: string, greeting = ''): Promise<Echo> {
  const received: Buffer[] = [];
  let count = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    count++;
    socket.write(greeting);
    socket.on('data', (piece: Buffer) => {
      received.push(piece);
      socket.write(piece.toString('latin1').toUpperCase(), 'latin1');
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined);
  });
  await listening(scope, server, path);
  const port = path === undefined ? (server.address() as AddressInfo).port : 0;
  return { port, received: () => Buffer.concat(received), connections: () => count };
}

async function listening(scope: Scope, server: Server, path: string | undefined): Promise<void> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  if (path === undefined) server.listen(0, '127.0.0.1');
  else server.listen(path);
  await once(server, 'listening');
  defer(scope, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

/**
 * Sends bytes piece by piece, ends, and gives all that came back until the other side has ended. A number waits until so
 * many bytes have come.
 */
export async function ask(
  to: { readonly port: number } | { readonly path: string },
  pieces: readonly (string | Buffer | number)[],
): Promise<string> {
  const socket = connect({ host: '127.0.0.1', ...to, allowHalfOpen: true });
  const answer: Buffer[] = [];
  socket.on('data', (piece: Buffer) => answer.push(piece));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.setNoDelay(true);
  for (const piece of pieces) {
    if (typeof piece === 'number') {
      await eventually('an answer', () => socket.closed || socket.bytesRead >= piece);
    } else {
      await new Promise((resolve) => socket.write(piece, resolve));
    }
  }
  socket.end();
  await closed;
  return Buffer.concat(answer).toString('latin1');
}

/** A channel as `connections --json` has it. */
export interface ChannelJson {
  readonly id: number;
  readonly kind: string;
  readonly destination: string;
  readonly originator: string;
  readonly protocol: string;
  readonly result: string | null;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** The channels of the newest connection, once `ready` says that they are all there. */
export function channelsOf(
  gate: Gate,
  ready: (channels: readonly ChannelJson[]) => boolean,
): Promise<readonly ChannelJson[]> {
  return eventually('the rows of the channels', async () => {
    const rows = await gate.connections();
    const newest = rows.toSorted((a, b) => String(a['id']).localeCompare(String(b['id']))).at(-1);
    const channels = (newest?.['channels'] ?? []) as readonly ChannelJson[];
    return ready(channels) && channels;
  });
}
