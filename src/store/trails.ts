/**
 * The one writer of facts (DESIGN part 5). `emit` only queues; batches go into the database in order, each in one
 * transaction, and a batch that the database cannot take now is tried again until it can. Applying is idempotent by
 * (connection, sequence), so facts may come again after a crash.
 *
 * The queue is bounded. At `SOFT_LIMIT` `full` turns true and the owner admits nobody new; what runs goes on. At
 * `HARD_LIMIT` a fact is left out: each is counted in `lost` and the first of each such stretch is told to `onTrouble`.
 * Nothing recorded is lost with it: rows are an index, and the trails rebuild them.
 */
import { setTimeout as delayed } from 'node:timers/promises';

import { reasonOf } from '../base/errors.ts';
import type { Fact, FactSink, HostKeyLearned } from '../ops/facts.ts';
import { loadStates, saveStates } from './connections.ts';
import { isTransient } from './database.ts';
import type { Database } from './database.ts';
import { isFileFact, saveFiles } from './files.ts';
import { applyFact, endState, unknownConnection } from './fact-state.ts';
import { loadInventory, writeCommit } from './inventory.ts';
import { In, Not } from './orm.ts';
import type { EntityManager } from './orm.ts';
import { ConnectionEntity } from './trail-entities.ts';

const SOFT_LIMIT = 50_000;
const HARD_LIMIT = 200_000;
const BATCH = 500;
const FIRST_DELAY_MS = 50;
const LAST_DELAY_MS = 5_000;

export interface FactWriterOptions {
  /** Must not throw. Told in one line what keeps facts from their rows, and when that is over. */
  onTrouble(text: string): void;
  /** A commit was made from a fact: snapshots are to be renewed. */
  onCommit(number: number): void;
  /** Milliseconds since 1970, UTC. */
  now(): number;
  readonly softLimit?: number;
  readonly hardLimit?: number;
}

export class FactWriter implements FactSink {
  readonly #db: Pick<Database, 'transaction'>;
  readonly #options: FactWriterOptions;
  readonly #softLimit: number;
  readonly #hardLimit: number;
  readonly #stop = new AbortController();
  #queue: Fact[] = [];
  #running: Promise<void> | undefined;
  #lost = 0;
  #losing = false;

  constructor(db: Pick<Database, 'transaction'>, options: FactWriterOptions) {
    this.#db = db;
    this.#options = options;
    this.#softLimit = options.softLimit ?? SOFT_LIMIT;
    this.#hardLimit = options.hardLimit ?? HARD_LIMIT;
  }

  /** Facts that wait for their rows. */
  get pending(): number {
    return this.#queue.length;
  }

  /** Whether so much waits that nobody new should be let in. */
  get full(): boolean {
    return this.pending >= this.#softLimit;
  }

  /** Facts that never came to a row since the start; only `reindex` brings them back. */
  get lost(): number {
    return this.#lost;
  }

  emit(fact: Fact): void {
    if (this.pending >= this.#hardLimit || this.#stop.signal.aborted) {
      this.#lost++;
      if (!this.#losing) {
        this.#losing = true;
        this.#options.onTrouble(
          `facts are being lost (${this.pending} wait for the database): run reindex when it is back`,
        );
      }
      return;
    }
    this.#losing = false;
    this.#queue.push(fact);
    this.#running ??= this.#drain();
  }

  /**
   * Settles when everything emitted so far is in the database, or after `deadlineMs` where that is given: a database
   * that takes nothing holds up no command.
   */
  async flush(deadlineMs?: number): Promise<void> {
    const late = new AbortController();
    const waits: Promise<unknown>[] = [this.#drained()];
    if (deadlineMs !== undefined) {
      waits.push(delayed(deadlineMs, undefined, { signal: late.signal }).catch(() => undefined));
    }
    await Promise.race(waits);
    late.abort();
  }

  /**
   * Waits up to `deadlineMs` for what is queued, then stops. Returns how many facts are left. Recovery finds what they
   * said in the trails of connections that had not ended; of those that had, the trails alone tell.
   */
  async close(deadlineMs = 10_000): Promise<number> {
    const timer = setTimeout(() => this.#stop.abort(), deadlineMs);
    await this.#drained();
    clearTimeout(timer);
    this.#stop.abort();
    return this.pending;
  }

  async #drained(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #drain(): Promise<void> {
    // Facts of the same tick belong in the same batch.
    await Promise.resolve();
    let delay = FIRST_DELAY_MS;
    let troubled = false;
    while (this.#queue.length > 0 && !this.#stop.signal.aborted) {
      const batch = this.#queue.slice(0, BATCH);
      try {
        await this.#write(batch);
        this.#queue = this.#queue.slice(batch.length);
        if (troubled) this.#options.onTrouble('the database takes facts again');
        troubled = false;
        delay = FIRST_DELAY_MS;
      } catch (error) {
        if (!isTransient(error)) {
          await this.#writeEach(batch);
          continue;
        }
        if (!troubled || delay === LAST_DELAY_MS) {
          this.#options.onTrouble(
            `${this.pending} facts wait for the database: ${reasonOf(error)}`,
          );
        }
        troubled = true;
        await this.#pause(delay);
        delay = Math.min(delay * 2, LAST_DELAY_MS);
      }
    }
    this.#running = undefined;
  }

  /** One by one, so that the fact that can never be applied is found and the others are not held up by it. */
  async #writeEach(batch: readonly Fact[]): Promise<void> {
    for (const fact of batch) {
      try {
        await this.#write([fact]);
      } catch (error) {
        if (isTransient(error)) return;
        this.#lost++;
        const { connection, sequence, value } = fact;
        this.#options.onTrouble(
          `fact ${sequence} (${value.kind}) of ${connection} cannot be applied: ${reasonOf(error)}`,
        );
      }
      this.#queue.shift();
    }
  }

  async #write(batch: readonly Fact[]): Promise<void> {
    const told: string[] = [];
    const commits = await this.#db.transaction(async (manager) => {
      told.length = 0;
      const made: number[] = [];
      for (const fact of await applyFacts(manager, batch)) {
        if (fact.value.kind !== 'host-key-learned') continue;
        const result = await pinHostKey(manager, fact.value, this.#options.now() * 1000);
        if (typeof result === 'number') made.push(result);
        else if (result !== null) told.push(result);
      }
      return made;
    });
    for (const text of told) this.#options.onTrouble(text);
    for (const commit of commits) this.#options.onCommit(commit);
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}

/** Applies facts in order to their rows and gives those that were new. */
export async function applyFacts(
  manager: EntityManager,
  facts: readonly Fact[],
): Promise<readonly Fact[]> {
  const states = await loadStates(manager, new Set(facts.map(({ connection }) => connection)));
  const known = new Set(states.keys());
  const touched = new Set<string>();
  const fresh = facts.filter((fact) => {
    const { connection } = fact;
    const state = states.get(connection) ?? unknownConnection(connection);
    states.set(connection, state);
    // A file is one by its id; all it asks of its connection is to be there.
    if (isFileFact(fact)) {
      if (!known.has(connection)) touched.add(connection);
      return true;
    }
    const applied = applyFact(state, fact);
    if (applied) touched.add(connection);
    return applied;
  });
  await saveStates(
    manager,
    [...touched].flatMap((id) => states.get(id) ?? []),
  );
  await saveFiles(manager, facts);
  return fresh;
}

/** Pins the first key of an `accept-new` target: the number of the commit, null when it is pinned, or why not. */
async function pinHostKey(
  manager: EntityManager,
  fact: HostKeyLearned,
  time: number,
): Promise<number | string | null> {
  const before = await loadInventory(manager);
  const target = before.targets.find(({ id }) => id === fact.targetId);
  if (target?.hostKeys.includes(fact.hostKey)) return null;
  if (target?.hostKeyPolicy !== 'accept-new' || target.hostKeys.length > 0) {
    return `the host key that a session saw of target "${fact.target}" is not pinned: the target has changed`;
  }
  const after = {
    ...before,
    targets: before.targets.map((row) =>
      row === target ? { ...row, hostKeys: [fact.hostKey] } : row,
    ),
  };
  const message = `first host key of ${fact.target}`;
  const made = await writeCommit(manager, before, after, { author: 'accept-new', message, time });
  return made?.commit ?? null;
}

/** What recovery read from the trails of one connection: its facts as far as they were recorded, and its last moment. */
export interface RecoveredConnection {
  readonly connection: string;
  readonly facts: readonly Fact[];
  /** Microseconds UTC of the last record. */
  readonly endedAt?: number;
}

export interface CrashReport {
  /** Connections that had not ended and are now `CRASHED`. */
  readonly crashed: readonly string[];
  /** Connections that had no row before. */
  readonly created: readonly string[];
}

export interface CrashOptions {
  /**
   * The instances that live; every other one is dead, and all its running rows end. `DIR/run/control.sock` makes this
   * the caller's own alone. Left out, only the recovered connections end.
   */
  readonly living?: readonly string[];
  readonly reason: string;
  /** Microseconds UTC, for connections of which recovery knows no better. */
  readonly endedAt: number;
  readonly recovered?: readonly RecoveredConnection[];
}

/** Ends the rows of dead instances and makes those that never came to be; a second call changes nothing. */
export function endCrashed(db: Database, options: CrashOptions): Promise<CrashReport> {
  const { living, reason, recovered = [] } = options;
  return db.transaction(async (manager) => {
    const facts = recovered.flatMap((item) => item.facts);
    const named = recovered.map(({ connection }) => connection);
    const known = await loadStates(manager, named);
    await applyFacts(manager, facts);
    const open = living ? await runningElsewhere(manager, living) : [];
    const states = await loadStates(manager, new Set([...named, ...open.map(({ id }) => id)]));
    for (const id of named) if (!states.has(id)) states.set(id, unknownConnection(id));
    const ends = new Map(recovered.map((item) => [item.connection, item.endedAt]));
    const ended = [...states.values()].filter(
      (state) =>
        !living?.includes(state.row.instance) &&
        endState(state, reason, ends.get(state.row.id) ?? options.endedAt),
    );
    await saveStates(manager, ended);
    return {
      crashed: ended.map(({ row }) => row.id),
      created: named.filter((id) => !known.has(id)),
    };
  });
}

function runningElsewhere(manager: EntityManager, living: readonly string[]) {
  return manager.findBy(ConnectionEntity, {
    status: 'CONNECTED',
    ...(living.length > 0 ? { instance: Not(In([...living])) } : {}),
  });
}
