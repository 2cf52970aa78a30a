/**
 * The control socket from the side of a command: connects, asks, and gets a result, items or an error as the gate threw
 * it. Every step has a deadline, so a gate that hangs makes a command fail rather than hang.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

import { withDeadline } from '../base/async.ts';
import { AppError, ERRORS, reasonOf } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { SOCKET_NAME, socketAddress } from './control-address.ts';
import { LineCutter, writeLine } from './control-lines.ts';
import { controlAnswer, readHolder, readPing } from './control-messages.ts';
import type { Holder, Ping } from './control-messages.ts';

const CONNECT_MS = 5_000;
const PING_MS = 5_000;
const WRITE_MS = 30_000;
/** Between two lines of an answer, unless the caller says otherwise. */
const ANSWER_MS = 60_000;

export interface CallOptions {
  /** How long each line of the answer may take; 60 s unless said. */
  readonly deadlineMs?: number;
}

/** Connects to the process that holds DIR; undefined when nobody does. */
export async function connectControl(dir: string): Promise<ControlClient | undefined> {
  const address = socketAddress(dir, SOCKET_NAME);
  const socket = connect(address.path);
  const { promise, resolve, reject } = Promise.withResolvers<'there' | 'nobody'>();
  socket.once('connect', () => resolve('there'));
  socket.once('error', (cause) => {
    const code = 'code' in cause ? cause.code : undefined;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') {
      resolve('nobody');
      return;
    }
    const remedy = code === 'EACCES' ? '; run this as the user of the gate' : '';
    const text = `cannot reach the gate of ${dir}: ${reasonOf(cause)}${remedy}`;
    reject(new AppError('gate-unreachable', text, { cause }));
  });
  try {
    const found = await withDeadline(promise, CONNECT_MS, () => hangs(dir));
    if (found === 'there') return new ControlClient(dir, socket);
    socket.destroy();
    return undefined;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    address.release();
  }
}

export class ControlClient {
  readonly #dir: string;
  readonly #socket: Socket;
  readonly #answers: AsyncGenerator;
  #id = 0;

  constructor(dir: string, socket: Socket) {
    this.#dir = dir;
    this.#socket = socket;
    // What fails here is seen by who reads or writes next.
    socket.on('error', () => undefined);
    this.#answers = linesOf(socket);
  }

  /** Who holds DIR: a gate, or a command for a moment. */
  async who(): Promise<Holder> {
    return readHolder(await this.call('who', {}, { deadlineMs: PING_MS }));
  }

  /** The gate that serves; waits while it starts. */
  async ping(): Promise<Ping> {
    return readPing(await this.call('ping', {}));
  }

  /** Asks for one result. */
  async call(method: string, params: object, options: CallOptions = {}): Promise<unknown> {
    for await (const { result } of this.#ask(method, params, options)) return result;
    throw this.#gone();
  }

  /** Asks for items. */
  async *items(method: string, params: object, options: CallOptions = {}): AsyncGenerator {
    for await (const answer of this.#ask(method, params, options)) {
      if (!('item' in answer)) return;
      yield answer.item;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Each item, then the result; an error is thrown. */
  async *#ask(
    method: string,
    params: object,
    { deadlineMs = ANSWER_MS }: CallOptions,
  ): AsyncGenerator<{ item?: unknown; result?: unknown }> {
    const id = ++this.#id;
    try {
      await writeLine(this.#socket, { id, method, params }, WRITE_MS);
    } catch (error) {
      throw error instanceof AppError && error.code === 'usage' ? error : this.#gone(error);
    }
    for (;;) {
      const next = await withDeadline(this.#answers.next(), deadlineMs, () => hangs(this.#dir));
      if (next.done === true) throw this.#gone();
      const answer = controlAnswer.safeParse(next.value);
      if (!answer.success) throw this.#gone();
      if ('error' in answer.data) throw errorFrom(answer.data.error);
      if (answer.data.id !== id) continue;
      yield answer.data;
      if ('result' in answer.data) return;
    }
  }

  #gone(cause?: unknown): AppError {
    const text = `the gate of ${this.#dir} closed the control socket; see its log`;
    return new AppError('gate-unreachable', text, { cause });
  }
}

async function* linesOf(socket: Socket): AsyncGenerator {
  const lines = new LineCutter();
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      for (const line of lines.push(chunk)) yield JSON.parse(line) as unknown;
    }
  } catch {
    // Cut or garbled: for who asks, the gate is gone.
  }
}

function hangs(dir: string): AppError {
  return new AppError('gate-unreachable', `the gate of ${dir} does not answer; see its log`);
}

function errorFrom({ code, message }: { code: string; message: string }): AppError {
  const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'internal';
  return new AppError(known, message);
}
