/**
 * The login at a target whose account asks for its password (DESIGN 3.1): within the user's own login a question names
 * account and target, upstream is dialled at the first answer, and each answer is tried there. The answers are never
 * recorded.
 */
import { AppError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Destination } from '../access/policy.ts';
import type { Gate } from './gate.ts';
import type { SecondStep } from './login.ts';
import { dialTarget } from './reach-target.ts';
import type { Upstream } from './upstream.ts';

/** The login at an account that asks for its password; undefined at any other. */
export function askedLogin(
  gate: Gate,
  destination: Destination,
  signal: AbortSignal,
): AskedLogin | undefined {
  if (destination.account.credential.kind !== 'ask') return undefined;
  return new AskedLogin(gate, destination, signal);
}

export class AskedLogin implements SecondStep {
  readonly instruction: string;
  readonly prompt: string;
  readonly tries = 3;
  readonly #gate: Gate;
  readonly #destination: Destination;
  readonly #signal: AbortSignal;
  #upstream: Upstream | undefined;
  #taken = false;

  constructor(gate: Gate, destination: Destination, signal: AbortSignal) {
    this.#gate = gate;
    this.#destination = destination;
    this.#signal = signal;
    const where = `${destination.account.name}@${destination.target.name}`;
    this.instruction = `The password of ${where} is asked for; it is not recorded.`;
    this.prompt = `${where}'s password: `;
  }

  async attempt(answer: Secret): Promise<boolean> {
    this.#upstream ??= await dialTarget(this.#gate, this.#destination, this.#signal);
    return this.#upstream.loginWithPassword(answer);
  }

  /** The leg that the right answer has opened. */
  take(): Upstream {
    if (!this.#upstream) throw new AppError('internal', 'no answer was right');
    this.#taken = true;
    return this.#upstream;
  }

  /** Gives up what was dialled and not taken. */
  close(): void {
    if (!this.#taken) this.#upstream?.transport.close(new AppError('terminated', 'login given up'));
  }
}
