/**
 * The port: who is let in to try at all (penalties, random early drop), the count of those who have not logged in, and
 * the connections that are under way. Owns each socket until its transport does.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

import { AppError, reasonOf } from '../base/errors.ts';
import { Connection } from './connection.ts';
import { frontDoor } from './door.ts';
import type { Gate } from './gate.ts';
import { LegSocket } from './leg-socket.ts';
import { Newcomer } from './newcomer.ts';
import type { Arrival } from './newcomer.ts';

const BACKLOG = 1024;

export class Listener {
  readonly #gate: Gate;
  readonly #server: Server;
  readonly #newcomers = new Set<Newcomer>();
  readonly #connections = new Set<Connection>();

  constructor(gate: Gate) {
    this.#gate = gate;
    this.#server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
      this.#onSocket(socket);
    });
  }

  /** Listens; returns the address, with the port that port 0 became. */
  listen(host: string, port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        const text = `cannot listen on ${host}:${port}: ${reasonOf(cause)}`;
        reject(new AppError('config-invalid', text, { cause }));
      });
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
        this.#server.removeAllListeners('error');
        this.#server.on('error', (error) => {
          this.#gate.log.error({ event: 'listener', reason: reasonOf(error) }, 'accept failed');
        });
        const { address, port: bound, family } = this.#server.address() as AddressInfo;
        resolve(family === 'IPv6' ? `[${address}]:${bound}` : `${address}:${bound}`);
      });
    });
  }

  #onSocket(socket: Socket): void {
    const address = socket.remoteAddress;
    const { penalties, peerLog } = this.#gate;
    const admission = penalties.admit(address, this.#newcomers.size);
    if (admission !== 'ok') {
      peerLog.info(address ?? '', { event: admission, source: address }, 'connection dropped');
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    const leg = LegSocket.adopt(socket, this.#gate.readBuffer);
    if (!leg) return;
    const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = leg.socket;
    // An IPv4 address, where the socket takes both.
    const reached = { host: localAddress.replace(/^::ffff:/, ''), port: localPort };
    const door = frontDoor(this.#gate, remoteAddress, remotePort, reached);
    const newcomer: Newcomer = new Newcomer(this.#gate, leg, door, {
      onArrival: (arrival) => {
        this.#newcomers.delete(newcomer);
        this.#welcome(arrival);
      },
      onGone: () => this.#newcomers.delete(newcomer),
    });
    this.#newcomers.add(newcomer);
    newcomer.start();
  }

  /** Begins a connection, of somebody who came to the port or through another connection. */
  #welcome(arrival: Arrival): Connection {
    const { log } = this.#gate;
    const connection: Connection = new Connection(this.#gate, arrival, {
      onEnded: () => {
        this.#connections.delete(connection);
        log.audit({ event: 'session-ended', connection: connection.id }, 'session ended');
      },
      welcome: (inner) => this.#welcome(inner),
    });
    this.#connections.add(connection);
    log.audit(
      {
        event: 'session-started',
        connection: connection.id,
        user: arrival.identity.userName,
        source: arrival.address,
        loginName: arrival.loginName.text,
        ...(arrival.parent === undefined ? {} : { through: arrival.parent }),
      },
      'session started',
    );
    return connection;
  }

  /** Accepts nothing more, and ends what is under way with `reason`; settles when every trail is sealed. */
  async close(reason: AppError): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const newcomer of this.#newcomers) newcomer.close(reason);
    await Promise.all([...this.#connections].map((connection) => connection.end(reason)));
    await closed;
  }
}
