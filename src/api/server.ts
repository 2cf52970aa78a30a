/**
 * The HTTPS server of the API: TLS 1.2 and newer, limits on how long a peer may take for headers and how many there may
 * be, and an end that waits a little for answers under way.
 */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerOptions } from 'node:https';
import { once } from 'node:events';
import { AppError, reasonOf } from '../base/errors.ts';

const HEADERS_MS = 10_000;
/** Of TLS: until then a peer holds one of the connections without having said anything. */
const HANDSHAKE_MS = 10_000;
const REQUEST_MS = 60_000;
const IDLE_MS = 30_000;
const MAX_HEADERS = 16 * 1024;
const MAX_CONNECTIONS = 1_000;
const END_MS = 2_000;

export interface RunningApi {
  /** `host:port` */
  readonly address: string;
  /** Shows another certificate to whoever connects from now on. */
  useCertificate(secure: ServerOptions): void;
  close(): Promise<void>;
}

/** Listens; rejects with what is wrong with the address. */
export async function listenHttps(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  secure: ServerOptions,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<RunningApi> {
  const server = createServer(
    {
      ...secure,
      handshakeTimeout: HANDSHAKE_MS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: IDLE_MS,
      maxHeaderSize: MAX_HEADERS,
      connectionsCheckingInterval: 1_000,
    },
    handler,
  );
  server.maxConnections = MAX_CONNECTIONS;
  // A peer that speaks no TLS, or no HTTP, is a peer's affair.
  server.on('tlsClientError', () => undefined);
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const text = `cannot listen on ${host}:${port} (listen.https): ${reasonOf(cause)}`;
    throw new AppError('config-invalid', text, { cause });
  }
  const at = server.address();
  if (at === null || typeof at === 'string') throw new AppError('internal', 'no address');
  const shown = at.family === 'IPv6' ? `[${at.address}]` : at.address;
  return {
    address: `${shown}:${at.port}`,
    useCertificate: (other) => server.setSecureContext(other),
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), END_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}
