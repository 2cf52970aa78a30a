/**
 * The global requests of a connection and their replies (RFC 4254 section 4): judged, recorded in the connection's own
 * trail, relayed or answered by the gate, each answer in its place among those of the other side.
 */
import { ProtocolError } from '../base/errors.ts';
import { CODES } from '../recording/container.ts';
import { decodeGlobalRequest, encodeGlobalRequest, MSG } from '../wire/messages.ts';
import type { Forwards } from './forwards.ts';
import { judgeGlobal } from './gatekeeper.ts';
import { DOWN, ReplyQueue, UP, other } from './mux.ts';
import type { Side } from './mux.ts';
import type { HeldMessage } from './passage.ts';
import * as kinds from './record-kinds.ts';
import type { RelayOptions } from './relay-options.ts';

const MAX_HELD = 64;
const NO = Buffer.from([MSG.requestFailure]);

export class GlobalRequests {
  readonly #options: RelayOptions;
  readonly #forwards: Forwards;
  /** Requests that each side has yet to answer. */
  readonly #unanswered: readonly [ReplyQueue, ReplyQueue];
  /** What waits for a target to be chosen. */
  readonly #held: HeldMessage[] = [];
  #failed = false;

  constructor(options: RelayOptions, forwards: Forwards) {
    const questions = (): ReplyQueue => new ReplyQueue(options.limits.requests);
    this.#options = options;
    this.#forwards = forwards;
    this.#unanswered = [questions(), questions()];
  }

  /** There is no upstream: what is outstanding there, and all that comes yet, is answered with a failure. */
  fail(): void {
    this.#failed = true;
    this.#unanswered[UP].abandon(() => this.#refuse(DOWN));
  }

  /** Asks a leg whether it lives, unless enough questions wait for its answer; the answer is swallowed. */
  keepalive(side: Side): void {
    if (this.#unanswered[side].full) return;
    this.#unanswered[side].own();
    this.#options.passage.own(side, encodeGlobalRequest('keepalive@openssh.com', true));
  }

  onRequest(side: Side, payload: Buffer): void {
    const request = decodeGlobalRequest(payload);
    const { passage, writer } = this.#options;
    const kind = kinds.global(side);
    const to = other(side);
    const judgement = judgeGlobal(side, request, this.#forwards);
    if (judgement.verdict === 'pass' && !this.#failed) {
      if (this.#options.host && side === DOWN) this.#hold(passage.hold(writer, kind, payload));
      else passage.pass(side, writer, kind, -1, payload);
      const { listen } = judgement;
      const settle = listen && this.#forwards.asked(listen, request.wantReply);
      if (request.wantReply) this.#unanswered[to].relayed(settle);
      return;
    }
    if (judgement.verdict !== 'own') {
      const code = judgement.verdict === 'refuse' ? judgement.code : CODES.upstream;
      passage.withhold(side, writer, kind, payload, code);
    }
    if (!request.wantReply) return;
    this.#unanswered[to].answered(() => {
      if (judgement.verdict === 'own') passage.own(side, NO);
      else this.#refuse(side);
    });
  }

  /**
   * Without a target nothing leaves before the session that chooses one: OpenSSH says in its first session already that
   * no more will follow (`no-more-sessions@openssh.com`).
   */
  #hold(message: HeldMessage): void {
    if (this.#held.length >= MAX_HELD) {
      throw new ProtocolError('too much is asked before there is a target');
    }
    this.#held.push(message);
  }

  /** There is a target, and its first session has been asked for. */
  release(): void {
    for (const message of this.#held.splice(0)) this.#options.passage.release(message, -1);
  }

  #refuse(side: Side): void {
    const { passage, writer } = this.#options;
    passage.make(side, writer, kinds.globalReply(other(side)), NO, CODES.policy);
  }

  onReply(side: Side, payload: Buffer): void {
    const origin = this.#unanswered[side].next(payload);
    if (origin === undefined) return;
    const { passage, writer } = this.#options;
    if (origin === 'relayed') passage.pass(side, writer, kinds.globalReply(side), -1, payload);
    this.#unanswered[side].release();
  }
}
