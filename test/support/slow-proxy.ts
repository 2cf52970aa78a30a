/**
 * A TCP proxy that makes a target slow to log in to: each connection is taken at once, and nothing of it goes on before
 * its delay has passed. What arrived meanwhile is kept by the kernel, not lost.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';

export interface SlowProxy {
  readonly port: number;
  /** How long the next connections wait. */
  delayMs: number;
}

/** Starts a proxy in front of a port on loopback. */
export async function startSlowProxy(
  scope: Scope,
  options: { readonly port: number; readonly delayMs: number },
): Promise<SlowProxy> {
  const sockets = new Set<Socket>();
  const hold = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    hold(near);
    const timer = setTimeout(() => {
      const far = connect({ port: options.port, host: '127.0.0.1', allowHalfOpen: true });
      hold(far);
      near.on('close', () => far.destroy());
      far.on('close', () => near.destroy());
      near.pipe(far);
      far.pipe(near);
    }, proxy.delayMs);
    near.on('close', () => clearTimeout(timer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('the proxy has no address');
  const proxy: SlowProxy = { port: address.port, delayMs: options.delayMs };
  defer(scope, async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return proxy;
}
