/**
 * The agent of the user, asked by the gate for the login at a target (DESIGN 3.1): one channel, opened for this and closed
 * behind it, and one question at a time, each with a deadline. Everything that passes is in the trail of the channel.
 */
import { AppError, ProtocolError } from '../base/errors.ts';
import {
  decodeKeys,
  decodeSignature,
  encodeListKeys,
  encodeSign,
  MAX_AGENT_MESSAGE,
} from '../wire/agent-client.ts';
import type { OwnChannel, OwnChannelEvents } from './own-channel.ts';

/** Opens a channel of a type to the user; undefined when there are too many. */
export type OpenToUser = (type: string, events: OwnChannelEvents) => OwnChannel | undefined;

export interface UserAgentOptions {
  readonly open: OpenToUser;
  /** How long the user's side has for each answer; a key may want to be touched. */
  readonly answerMs: number;
  readonly signal: AbortSignal;
  /** Says for whom the agent is needed, in errors. */
  readonly where: string;
}

interface Question {
  readonly resolve: (message: Buffer) => void;
  readonly reject: (error: AppError) => void;
}

export class UserAgent {
  readonly #options: UserAgentOptions;
  #channel: OwnChannel | undefined;
  #received = Buffer.alloc(0);
  #question: Question | undefined;

  private constructor(options: UserAgentOptions) {
    this.#options = options;
  }

  /** Asks the user's client for its agent; fails with what to do when it has none to offer. */
  static async open(options: UserAgentOptions): Promise<UserAgent> {
    const agent = new UserAgent(options);
    const { where } = options;
    const refused = (): AppError =>
      new AppError(
        'target-login-failed',
        `${where} is opened with a key of your own agent, which your client does not offer: run ssh -A`,
      );
    await agent.#wait('did not say whether it offers its agent', ({ resolve, reject }) => {
      agent.#question = { resolve, reject: () => reject(refused()) };
      agent.#channel = options.open('auth-agent@openssh.com', {
        onOpened: () => agent.#answer(Buffer.alloc(0)),
        onData: (data) => agent.#onData(data),
        onClosed: (why) => agent.#fail(new AppError('target-login-failed', `${where}: ${why}`)),
      });
      if (!agent.#channel) reject(new AppError('busy', `${where}: too many channels`));
    });
    return agent;
  }

  /** The keys that it has, in its order. */
  async keys(): Promise<Buffer[]> {
    return this.#read(decodeKeys, await this.#ask(encodeListKeys()));
  }

  /** A signature over `data` with one of its keys; undefined where it will not. */
  async sign(blob: Buffer, data: Buffer, algorithm: string): Promise<Buffer | undefined> {
    const answer = await this.#ask(encodeSign(blob, data, algorithm));
    return this.#read((message) => decodeSignature(message, algorithm), answer);
  }

  close(): void {
    this.#channel?.close();
  }

  #read<T>(decode: (message: Buffer) => T, message: Buffer): T {
    try {
      return decode(message);
    } catch (cause) {
      if (!(cause instanceof ProtocolError)) throw cause;
      const text = `${this.#options.where}: your agent's answer: ${cause.message}`;
      throw new AppError('target-login-failed', text, { cause });
    }
  }

  #ask(request: Buffer): Promise<Buffer> {
    return this.#wait('did not get an answer from its agent', (question) => {
      this.#question = question;
      this.#channel?.send(request);
    });
  }

  async #wait(late: string, start: (question: Question) => void): Promise<Buffer> {
    const { answerMs, signal, where } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const give = (text: string) => () => {
      this.#question = undefined;
      this.#channel?.close();
      reject(new AppError('target-login-failed', `${where}: ${text}`));
    };
    const timer = setTimeout(give(`your client ${late} in time`), answerMs);
    const abort = give('given up');
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) abort();
      else start({ resolve, reject });
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  #answer(message: Buffer): void {
    const question = this.#question;
    this.#question = undefined;
    question?.resolve(message);
  }

  #fail(error: AppError): void {
    const question = this.#question;
    this.#question = undefined;
    question?.reject(error);
  }

  /** uint32 length, then the message; more than one question is never out, so more than one answer is none. */
  #onData(data: Buffer): void {
    if (this.#received.length + data.length > MAX_AGENT_MESSAGE + 4) {
      throw new ProtocolError('an agent that answers too much');
    }
    this.#received = Buffer.concat([this.#received, data]);
    if (this.#received.length < 4) return;
    const length = this.#received.readUInt32BE(0);
    if (length < 1 || length > MAX_AGENT_MESSAGE) {
      throw new ProtocolError(`an agent message of ${length} bytes`);
    }
    if (this.#received.length < 4 + length) return;
    const message = this.#received.subarray(4, 4 + length);
    this.#received = this.#received.subarray(4 + length);
    if (!this.#question) throw new ProtocolError('an agent that answers without a question');
    this.#answer(message);
  }
}
