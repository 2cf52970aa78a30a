/**
 * `/api/transaction` (SPS contract, section 5): its state, opening, committing, dropping, and what a commit would change.
 * The state is said in both forms that clients know, `body` and the older `transaction`.
 */
import { z } from '../config/schema.ts';
import type { Change } from './configuration-diff.ts';
import { ApiError } from './errors.ts';
import { metaOf, metaShape, TRANSACTION } from './meta.ts';
import { route } from './route.ts';
import type { Caller, Route } from './route.ts';
import type { Transactions } from './transactions.ts';

export interface TransactionRoutesOptions {
  readonly transactions: Transactions;
  readonly isMessageRequired: () => boolean;
  /** What the caller's transaction would change. */
  readonly diff: (caller: Caller) => readonly Change[];
  readonly now: () => number;
}

const CHANGES = `${TRANSACTION}/changes`;

const status = z.enum(['open', 'closed']);
const stateShape = z.strictObject({
  body: z.strictObject({ commit_message: z.enum(['required', 'optional']), status }),
  key: z.literal('transaction'),
  meta: metaShape,
  transaction: z.strictObject({ status }),
});

const putShape = z.strictObject({
  status: z.literal('commit', 'the one thing to do with a transaction here is "commit"'),
  message: z.string().max(4000).optional(),
});

const value = z.looseObject({});
const changeShape = z.strictObject({
  type: z.enum(['create', 'delete', 'reorder', 'replace']),
  path: z.string(),
  old_value: value.optional(),
  new_value: value.optional(),
});

export function transactionRoutes(options: TransactionRoutesOptions): Route[] {
  const { transactions, now, diff, isMessageRequired } = options;
  const state = (caller: Caller): object => {
    const open = transactions.isOpen(caller) ? 'open' : 'closed';
    const changed = open === 'open' && diff(caller).length > 0;
    const seconds = Math.max(0, Math.floor((caller.expiresMs - now()) / 1000));
    return {
      body: { commit_message: isMessageRequired() ? 'required' : 'optional', status: open },
      key: 'transaction',
      meta: {
        ...metaOf(TRANSACTION),
        remaining_seconds: seconds,
        ...(changed ? { changes: CHANGES } : {}),
      },
      transaction: { status: open },
    };
  };
  const shared = { path: TRANSACTION, access: 'login' as const, reply: stateShape };
  return [
    route({
      ...shared,
      method: 'GET',
      summary: 'Whether you have a transaction open',
      handle: ({ caller }) => state(mustBe(caller)),
    }),
    route({
      ...shared,
      method: 'POST',
      summary: 'Open a transaction; nobody else changes the configuration meanwhile',
      errors: ['TransactionAlreadyOpen', 'ConfigurationLocked', 'Unauthorized'],
      handle: ({ caller }) => {
        transactions.open(mustBe(caller));
        return state(mustBe(caller));
      },
    }),
    route({
      ...shared,
      method: 'PUT',
      summary: 'Commit all changes, or none',
      body: putShape,
      errors: ['NoTransaction', 'SemanticError', 'ConfigurationLocked'],
      handle: async ({ caller, body }) => {
        await transactions.commit(mustBe(caller), body.message ?? '');
        return state(mustBe(caller));
      },
    }),
    route({
      ...shared,
      method: 'DELETE',
      summary: 'Drop all changes',
      errors: ['NoTransaction'],
      handle: async ({ caller }) => {
        await transactions.drop(mustBe(caller));
        return state(mustBe(caller));
      },
    }),
    route({
      method: 'GET',
      path: CHANGES,
      summary: 'What a commit would change',
      access: 'login',
      reply: z.strictObject({ changes: z.array(changeShape), meta: metaShape }),
      handle: ({ caller }) => ({
        changes: diff(mustBe(caller)),
        meta: { ...metaOf(CHANGES), transaction: TRANSACTION },
      }),
    }),
  ];
}

/** The caller of a route that nobody reaches without a login. */
export function mustBe(caller: Caller | undefined): Caller {
  if (!caller) throw new ApiError('Unauthenticated', 'Log in first: GET /api/authentication.');
  return caller;
}
