/**
 * The control socket, `DIR/run/control.sock` (DESIGN part 5), seen from the process that holds it; holding it is the
 * lock on DIR. One JSON object per line, from the client
 *
 *     {"id": 1, "method": "connections", "params": {"limit": 10}}
 *
 * and back, with the same id, one of
 *
 *     {"id": 1, "result": {...}}    {"id": 1, "error": {"code": "not-found", "message": "..."}}
 *
 * A handler that gives an iterable is answered by `{"id": 1, "item": ...}` for each of it, then by an empty result, so
 * that long lists need no long lines. Requests of one connection run one after the other. Every process answers `who`
 * with its `pid` and `role`; the other methods are in `control-messages.ts`. Only the owner of DIR gets here (0600).
 * A client that hangs, floods or sends nonsense loses its connection and nothing else happens.
 */
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { withDeadline } from '../base/async.ts';
import { AppError, ProtocolError, reasonOf } from '../base/errors.ts';
import { connectControl } from './control-client.ts';
import { LineCutter, writeLine } from './control-lines.ts';
import { takeLock } from './control-lock.ts';
import type { HeldLock } from './control-lock.ts';
import { controlRequest } from './control-messages.ts';
import type { Holder, Role } from './control-messages.ts';

const MAX_CONNECTIONS = 64;
/** A client that says nothing for this long is gone. */
const IDLE_MS = 60_000;
/** The time that a client has to take an answer. */
const WRITE_MS = 30_000;
const HANDLER_MS = 10 * 60_000;
/** What still runs when the socket is closed has this long. */
const CLOSE_MS = 2_000;
const RETRY_MS = 50;

/** Gets `params` as they came, unchecked; what it throws is answered as an error. */
export type ControlHandler = (params: unknown) => Promise<unknown>;
export type ControlHandlers = Readonly<Record<string, ControlHandler>>;

export interface ControlOptions {
  /** `gate` unless said: a `command` holds DIR for moments only, and others wait for it. */
  readonly role?: Role;
  /** How long to wait for a command that holds DIR; 30 s unless said. Nobody waits for a gate. */
  readonly waitMs?: number;
}

export interface Control {
  /** Gives DIR free and ends every connection; settles when what ran has ended, or had its time. */
  close(): Promise<void>;
}

/** Takes the lock on DIR and serves `handlers`; `dir-in-use` says who has it. */
export async function openControl(
  dir: string,
  handlers: ControlHandlers,
  options: ControlOptions = {},
): Promise<Control> {
  const { role = 'gate', waitMs = 30_000 } = options;
  const server = new ControlServer(handlers, role);
  const until = performance.now() + waitMs;
  for (;;) {
    const lock = await takeLock(dir, (socket) => server.accept(socket));
    if (lock) {
      server.hold(lock);
      return server;
    }
    const holder = await whoHolds(dir);
    if (holder?.role !== 'command' || performance.now() >= until) throw inUse(dir, holder);
    await delay(RETRY_MS);
  }
}

async function whoHolds(dir: string): Promise<Holder | undefined> {
  try {
    const client = await connectControl(dir);
    if (!client) return { pid: 0, role: 'command' };
    try {
      return await client.who();
    } finally {
      client.close();
    }
  } catch {
    return undefined;
  }
}

function inUse(dir: string, holder: Holder | undefined): AppError {
  const what = holder?.role === 'command' ? 'another sallyport command' : 'a running gate';
  const who = holder && holder.pid > 0 ? `${what} (pid ${holder.pid})` : what;
  return new AppError('dir-in-use', `${dir} is in use by ${who}: stop it first`);
}

class ControlServer implements Control {
  readonly #handlers: ReadonlyMap<string, ControlHandler>;
  readonly #role: Role;
  readonly #sockets = new Map<Socket, Promise<void>>();
  /** Sockets whose request is being answered. */
  readonly #busy = new Set<Socket>();
  /** Rejects when what still runs has had its time. */
  readonly #over = Promise.withResolvers<never>();
  #lock: HeldLock | undefined;
  #closing = false;

  constructor(handlers: ControlHandlers, role: Role) {
    this.#over.promise.catch(() => undefined);
    this.#handlers = new Map(Object.entries(handlers));
    this.#role = role;
  }

  hold(lock: HeldLock): void {
    this.#lock = lock;
    lock.server.on('error', () => undefined);
  }

  accept(socket: Socket): void {
    if (this.#closing || this.#sockets.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    socket.on('error', () => undefined);
    socket.on('timeout', () => socket.destroy());
    socket.setTimeout(IDLE_MS);
    const served = this.#serve(socket).finally(() => {
      this.#sockets.delete(socket);
    });
    this.#sockets.set(socket, served);
  }

  async close(): Promise<void> {
    const lock = this.#lock;
    if (!lock) return;
    this.#lock = undefined;
    this.#closing = true;
    lock.release();
    for (const socket of this.#sockets.keys()) if (!this.#busy.has(socket)) socket.destroy();
    const all = Promise.all(this.#sockets.values());
    try {
      await withDeadline(all, CLOSE_MS, () => new AppError('busy', 'a request still runs'));
    } catch (error) {
      for (const socket of this.#sockets.keys()) socket.destroy();
      this.#over.reject(error);
    }
  }

  async #serve(socket: Socket): Promise<void> {
    const lines = new LineCutter();
    try {
      // Leaving the loop must not destroy the socket: an answer may still be on its way.
      const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
      for await (const chunk of chunks) {
        for (const line of lines.push(chunk)) {
          await this.#answer(socket, line);
          if (this.#closing) break;
        }
        if (this.#closing) break;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) socket.destroy();
      else socket.write(`${JSON.stringify({ id: null, error: errorOf(error) })}\n`);
    }
    socket.end(() => socket.destroy());
  }

  async #answer(socket: Socket, line: string): Promise<void> {
    const { id, method, params } = requestOf(line);
    this.#busy.add(socket);
    try {
      // The time that a handler takes is its own, not the client's silence.
      socket.setTimeout(0);
      const running = Promise.race([this.#call(method, params), this.#over.promise]);
      const late = (): AppError => new AppError('busy', `${method} took too long`);
      const result = await withDeadline(running, HANDLER_MS, late);
      if (isIterable(result)) {
        for await (const item of result) await writeLine(socket, { id, item }, WRITE_MS);
        await writeLine(socket, { id, result: {} }, WRITE_MS);
      } else {
        await writeLine(socket, { id, result: result ?? {} }, WRITE_MS);
      }
    } catch (error) {
      if (error instanceof AppError && error.code === 'gate-unreachable') throw error;
      await writeLine(socket, { id, error: errorOf(error) }, WRITE_MS);
    } finally {
      this.#busy.delete(socket);
      socket.setTimeout(IDLE_MS);
    }
  }

  async #call(method: string, params: unknown): Promise<unknown> {
    // Answered also while what it is held for has not begun yet.
    if (method === 'who') return { pid: process.pid, role: this.#role };
    const handler = this.#handlers.get(method);
    if (!handler) throw new AppError('usage', `the gate does not know the method "${method}"`);
    return await handler(params);
  }
}

function requestOf(line: string): { id: number; method: string; params?: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new ProtocolError('a request on the control socket is not JSON', { cause });
  }
  const parsed = controlRequest.safeParse(value);
  if (!parsed.success) throw new ProtocolError('a request is {"id", "method", "params"}');
  return parsed.data;
}

function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return Symbol.asyncIterator in value || Symbol.iterator in value;
}

/** Who may connect owns the gate: no message is kept from him. */
function errorOf(error: unknown): { code: string; message: string } {
  const code = error instanceof AppError ? error.code : 'internal';
  return { code, message: reasonOf(error) };
}
