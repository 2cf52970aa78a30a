/**
 * A passive decoder of one agent channel: what the side that opened it asked of the user's agent, and what that
 * answered, as events in their order. Answers have no id; an agent answers in the order of the requests. When it loses
 * the thread it says so once and is silent from then on; the bytes are in the trail all the same. Memory is bounded for
 * any stream.
 */
import { ProtocolError } from '../base/errors.ts';
import { AgentFraming } from './agent-framing.ts';
import type { AgentAnswer, AgentRequest, SignPurpose } from './agent-messages.ts';
import { decodeAgentAnswer, decodeAgentRequest } from './agent-messages.ts';

/** So many requests may wait for their answer; programs send the next one when they have it. */
const MAX_WAITING = 64;
/** Of what is remembered of keys and sessions to name them later. */
const MAX_KNOWN = 1024;

export type AgentEvent =
  | AgentRequest
  /** `to` is the request that this answers, `comment` the agent's name of the key it is about. */
  | (AgentAnswer & { readonly to: AgentRequest; readonly comment?: string })
  /** The channel ended before the answer came. */
  | { readonly unanswered: AgentRequest }
  /** From here on nothing is decoded. */
  | { readonly undecoded: string };

export class AgentDecoder {
  readonly #questions = new AgentFraming();
  readonly #answers = new AgentFraming();
  readonly #waiting: AgentRequest[] = [];
  /** By fingerprint. */
  readonly #comments = new Map<string, string>();
  /** Fingerprints of host keys by session id, as bound before. */
  readonly #hosts = new Map<string, string>();
  #lost = false;

  /** Whether it still follows. */
  get isDecoding(): boolean {
    return !this.#lost;
  }

  /** Bytes of the side that asks. */
  asked(bytes: Buffer): AgentEvent[] {
    return this.#take(this.#questions, bytes, (message) => {
      if (this.#waiting.length === MAX_WAITING) {
        throw new ProtocolError(`${MAX_WAITING} requests without an answer`);
      }
      const request = this.#withHost(decodeAgentRequest(message));
      this.#waiting.push(request);
      return request;
    });
  }

  /** Bytes of the agent. */
  answered(bytes: Buffer): AgentEvent[] {
    return this.#take(this.#answers, bytes, (message) => {
      const to = this.#waiting.shift();
      if (!to) throw new ProtocolError('an answer to nothing that was asked');
      const answer = decodeAgentAnswer(message);
      this.#learn(to, answer);
      const comment = 'key' in to ? this.#comments.get(to.key.fingerprint) : undefined;
      return { ...answer, to, ...(comment === undefined ? {} : { comment }) };
    });
  }

  /** The channel has ended. */
  end(): AgentEvent[] {
    if (this.#lost) return [];
    const events: AgentEvent[] = this.#waiting.splice(0).map((unanswered) => ({ unanswered }));
    if (this.#questions.isPartial || this.#answers.isPartial) {
      events.push({ undecoded: 'the channel ends within a message' });
    }
    this.#lost = true;
    return events;
  }

  #take(framing: AgentFraming, bytes: Buffer, event: (message: Buffer) => AgentEvent) {
    const events: AgentEvent[] = [];
    if (this.#lost) return events;
    try {
      for (const message of framing.push(bytes)) events.push(event(message));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#lost = true;
      this.#waiting.length = 0;
      events.push({ undecoded: error.message });
    }
    return events;
  }

  /** A login into a session that was bound to a host before is one into that host. */
  #withHost(request: AgentRequest): AgentRequest {
    if (request.request !== 'sign' || request.signs.purpose !== 'login') return request;
    const host = request.signs.host ?? this.#hosts.get(request.signs.session);
    if (host === undefined) return request;
    const signs: SignPurpose = { ...request.signs, host };
    return { ...request, signs };
  }

  #learn(to: AgentRequest, answer: AgentAnswer): void {
    if (answer.answer === 'keys') {
      for (const { fingerprint, comment } of answer.keys) {
        remember(this.#comments, fingerprint, comment);
      }
    }
    // The agent has checked the host's signature over the session id.
    if (to.request === 'session-bind' && answer.answer === 'success') {
      remember(this.#hosts, to.session, to.host);
    }
  }
}

function remember(known: Map<string, string>, key: string, value: string): void {
  if (known.size < MAX_KNOWN || known.has(key)) known.set(key, value);
}
