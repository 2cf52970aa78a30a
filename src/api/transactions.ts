/**
 * The one transaction of the gate (SPS contract, section 5): opened by a login session, filled with changes that only it
 * sees, and committed or dropped. The state is the whole configuration as its owner wants it; nothing of it is live or
 * on disk before the commit, which is one database transaction and one row of the audit log.
 *
 *   closed -> open (its owner's until his session ends) -> commit, drop or the end of the session -> closed
 */
import { Mutex } from '../base/async.ts';
import type { Committed } from '../store/inventory.ts';
import type { InventoryContent } from '../store/inventory-diff.ts';
import { danglingReference } from '../store/dangling-reference.ts';
import { mergeInventory } from '../store/inventory-merge.ts';
import type { Inventory } from '../store/rows.ts';
import { ApiError } from './errors.ts';
import type { Caller } from './route.ts';

/** A password that waits to be given to a user. */
export interface StagedPassword {
  readonly id: string;
  readonly hash: string;
  /** Seconds since 1970. */
  readonly created: number;
}

/** The configuration in a transaction. */
export interface Staged {
  readonly content: InventoryContent;
  readonly passwords: ReadonlyMap<string, StagedPassword>;
}

interface Open {
  readonly owner: string;
  readonly ownerName: string;
  readonly base: Inventory;
  staged: Staged;
}

export interface TransactionsOptions {
  /** The newest configuration. */
  readonly current: () => Inventory;
  /** Until when a login session lives, in milliseconds since 1970; undefined once it has ended. */
  readonly aliveUntil: (session: string) => number | undefined;
  /**
   * Writes what `make` makes of the newest configuration as one commit, and makes it the one that logins are judged by;
   * null when nothing differs.
   */
  readonly commit: (
    make: (newest: Inventory) => InventoryContent,
    by: { readonly author: string; readonly message: string },
  ) => Promise<Committed | null>;
  readonly isMessageRequired: () => boolean;
  readonly opensImplicitly: () => boolean;
}

export class Transactions {
  readonly #options: TransactionsOptions;
  /** Changes and commits are made one after the other: two requests of one session may come at once. */
  readonly #order = new Mutex('changes of the configuration');
  #open: Open | undefined;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  /** Whether this caller has it open. */
  isOpen(caller: Caller): boolean {
    return this.#of(caller) !== undefined;
  }

  open(caller: Caller): void {
    if (!caller.mayChange) {
      // It would only be in the way of those who may.
      throw new ApiError('Unauthorized', 'There is nothing here that you may change.');
    }
    const open = this.#alive();
    if (open?.owner === caller.session) {
      throw new ApiError('TransactionAlreadyOpen', 'You have opened a transaction already.');
    }
    if (open) throw lockedBy(open);
    const base = this.#options.current();
    this.#open = {
      owner: caller.session,
      ownerName: caller.userName,
      base,
      staged: { content: base, passwords: new Map() },
    };
  }

  /** The configuration as this caller sees it: his own changes in it, nobody else's. */
  view(caller: Caller): Staged {
    const own = this.#of(caller);
    return own?.staged ?? { content: this.#options.current(), passwords: new Map() };
  }

  /** What the caller's transaction began with and what it has become; undefined while it changed nothing. */
  changes(
    caller: Caller,
  ): { readonly before: InventoryContent; readonly after: Staged } | undefined {
    const own = this.#of(caller);
    if (!own || own.staged.content === own.base) return undefined;
    return { before: own.base, after: own.staged };
  }

  /** Makes a change: `edit` gives the configuration as it shall be, and what the caller is told. */
  async change<T>(
    caller: Caller,
    edit: (staged: Staged) => Promise<{ readonly staged: Staged; readonly told: T }>,
  ): Promise<T> {
    return this.#order.run(async () => {
      if (!this.#of(caller) && this.#options.opensImplicitly()) this.open(caller);
      const own = this.#required(caller);
      const { staged, told } = await edit(own.staged);
      // It may have ended with its session while a password was hashed.
      if (this.#of(caller) !== own) throw noTransaction();
      own.staged = staged;
      return told;
    });
  }

  async commit(caller: Caller, message: string): Promise<Committed | null> {
    return this.#order.run(async () => {
      const own = this.#required(caller);
      if (message === '' && this.#options.isMessageRequired()) {
        throw new ApiError('SemanticError', 'A commit needs a message here.', { field: 'message' });
      }
      const { base, staged } = own;
      const done = await this.#options.commit(
        (newest) => checked(merged(base, staged.content, newest)),
        {
          author: caller.userName,
          message,
        },
      );
      // Its session may have ended meanwhile, and another have opened one.
      if (this.#open === own) this.#open = undefined;
      return done;
    });
  }

  /** Drops the caller's; one that is being committed is committed. */
  drop(caller: Caller): Promise<void> {
    return this.#order.run(() => {
      this.#required(caller);
      this.#open = undefined;
      return Promise.resolve();
    });
  }

  /** Drops what a session that ends has open. */
  sessionEnded(session: string): void {
    if (this.#open?.owner === session) this.#open = undefined;
  }

  #alive(): Open | undefined {
    const open = this.#open;
    if (open && this.#options.aliveUntil(open.owner) === undefined) this.#open = undefined;
    return this.#open;
  }

  #of(caller: Caller): Open | undefined {
    const open = this.#alive();
    return open?.owner === caller.session ? open : undefined;
  }

  #required(caller: Caller): Open {
    const own = this.#of(caller);
    if (own) return own;
    const other = this.#alive();
    throw other ? lockedBy(other) : noTransaction();
  }
}

function lockedBy({ ownerName }: Open): ApiError {
  const text = `${ownerName} changes the configuration now; try again when that is done.`;
  return new ApiError('ConfigurationLocked', text, { owner: ownerName });
}

function noTransaction(): ApiError {
  const text = 'No transaction is open: open one with POST /api/transaction first.';
  return new ApiError('NoTransaction', text);
}

/** What was prepared on an older commit, on the newest one. */
function merged(base: Inventory, mine: InventoryContent, newest: Inventory): InventoryContent {
  if (newest.commit === base.commit) return mine;
  const result = mergeInventory(base, mine, newest);
  if (result.ok) return result.content;
  const { list, id, field } = result.conflict;
  throw new ApiError(
    'SemanticError',
    `${list} ${id}${field === '' ? '' : `, ${field}`}: changed by somebody else meanwhile. Drop the transaction and change it again.`,
    { list, key: id, field },
  );
}

/** Refuses what refers to something that is not there. */
function checked(content: InventoryContent): InventoryContent {
  const wrong = danglingReference(content);
  if (wrong !== undefined) throw new ApiError('SemanticError', `Not committed: ${wrong}.`);
  return content;
}
