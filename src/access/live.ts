/**
 * The live connections of this process. Whoever owns a connection (the SSH side) registers a
 * controller here; whoever wants to list or end one (the command line, later the API) asks here.
 * The two sides never see each other.
 */
import { withDeadline } from '../base/async.ts';
import { AppError } from '../base/errors.ts';
import type { Identity } from './authn.ts';
import type { Destination } from './policy.ts';

/** What a live connection says about itself. */
export interface LiveConnection {
  /** UUID of the connection. */
  readonly id: string;
  readonly userId: string;
  readonly user: string;
  /** Empty until a destination is chosen. */
  readonly target: string;
  readonly account: string;
  /** Names of the rules that let it in, sorted. */
  readonly rules: readonly string[];
  /** The ids behind these names; undefined until a destination is chosen. */
  readonly ground: Ground | undefined;
  readonly sourceAddress: string;
  /** UTC in microseconds. */
  readonly startedAt: number;
  /** Channels that are open now. */
  readonly channels: number;
}

/** What was chosen, by ids: names may change while a connection runs. */
export interface Ground {
  readonly targetId: string;
  readonly accountId: string;
  readonly ruleIds: readonly string[];
}

/** A live connection from who has it and where it leads. */
export function describeLive(
  { userId, userName }: Identity,
  destination: Destination | undefined,
  more: Pick<LiveConnection, 'id' | 'sourceAddress' | 'startedAt' | 'channels'>,
): LiveConnection {
  return {
    ...more,
    userId,
    user: userName,
    target: destination?.target.name ?? '',
    account: destination?.account.name ?? '',
    rules: destination?.rules ?? [],
    ground: destination && {
      targetId: destination.target.id,
      accountId: destination.account.id,
      ruleIds: destination.ruleIds,
    },
  };
}

/** Who ends a connection and why. */
export interface Termination {
  readonly reason: string;
  readonly by: string;
}

/** What the owner of a connection lets others do with it. */
export interface LiveController {
  describe(): LiveConnection;
  /**
   * Ends the connection; settles when its end is recorded. Asked twice, both settle with the one
   * end.
   */
  terminate(order: Termination): Promise<void>;
}

/** The registry; one per process. */
export class LiveConnections {
  readonly #controllers = new Map<string, LiveController>();
  readonly #deadlineMs: number;

  constructor(deadlineMs = 5000) {
    this.#deadlineMs = deadlineMs;
  }

  get size(): number {
    return this.#controllers.size;
  }

  add(id: string, controller: LiveController): void {
    if (this.#controllers.has(id)) throw new AppError('internal', `connection ${id} added twice`);
    this.#controllers.set(id, controller);
  }

  remove(id: string): void {
    this.#controllers.delete(id);
  }

  has(id: string): boolean {
    return this.#controllers.has(id);
  }

  list(): readonly LiveConnection[] {
    return [...this.#controllers.values()].map((controller) => controller.describe());
  }

  /** Ends a connection and waits for its acknowledgement; unknown ids and silence reject. */
  async terminate(id: string, order: Termination): Promise<void> {
    const controller = this.#controllers.get(id);
    if (!controller) throw new AppError('not-found', `no live connection ${id}`);
    const late = (): AppError =>
      new AppError('internal', `connection ${id} did not confirm its end in time`);
    await withDeadline(controller.terminate(order), this.#deadlineMs, late);
  }

  /** Ends every connection, as at shutdown; settles when each has confirmed or its time is up. */
  async terminateAll(order: Termination): Promise<void> {
    await Promise.allSettled([...this.#controllers.keys()].map((id) => this.terminate(id, order)));
  }
}
