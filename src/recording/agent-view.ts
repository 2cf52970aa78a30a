/**
 * What passed in an agent channel, from the records of its trail: a view, which decodes the bytes that were recorded
 * anew whenever somebody asks. The agent is the user's, so requests come from upstream and its answers from downstream;
 * where the gate itself asks, its requests are `made` and the answers go no further, and both count.
 */
import type { AgentEvent } from '../wire/agent.ts';
import { AgentDecoder } from '../wire/agent.ts';
import { ProtocolError } from '../base/errors.ts';
import type { TrailRecord } from './block-decoder.ts';
import { FLAG } from './checkpoint.ts';
import { CODES, FATE, KINDS } from './container.ts';
import { decodeHeader } from './header.ts';

const AGENT_CHANNEL = 'auth-agent@openssh.com';

export class AgentView {
  readonly #decoder = new AgentDecoder();

  /** A view for a channel whose first record this is; undefined unless it is an agent's channel. */
  static of(first: TrailRecord): AgentView | undefined {
    if (first.kind !== KINDS.header) return undefined;
    try {
      const { data } = decodeHeader(first.payload);
      return data['type'] === AGENT_CHANNEL ? new AgentView() : undefined;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return undefined;
    }
  }

  /** False once the decoder has lost the thread: only the bytes tell what follows. */
  get isDecoding(): boolean {
    return this.#decoder.isDecoding;
  }

  /** The events that are whole with this record, in order; the records come in theirs. */
  take(record: TrailRecord): readonly AgentEvent[] {
    const { kind, fate, code, payload } = record;
    // What a rule or a limit held back reached nobody.
    if (fate === FATE.withheld && code !== CODES.leg) return [];
    if (kind === KINDS.stdout) return this.#decoder.asked(payload);
    if (kind === KINDS.stdin) return this.#decoder.answered(payload);
    return kind === KINDS.checkpoint && code !== FLAG.live ? this.#decoder.end() : [];
  }
}
