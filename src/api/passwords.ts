/**
 * Password objects (SPS contract, section 7.1): made in a transaction, given to one user, and never shown, changed or
 * removed. One that nobody was given is gone with the commit.
 */
import { randomUUID } from 'node:crypto';
import type { Passwords } from '../access/password.ts';
import { Secret } from '../base/secret.ts';
import { z } from '../config/schema.ts';
import { ApiError } from './errors.ts';
import { metaOf, metaShape, TRANSACTION } from './meta.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';
import { mustBe } from './transaction-routes.ts';
import type { Transactions } from './transactions.ts';

export const PASSWORDS = '/api/configuration/passwords';

export function passwordRoutes(
  transactions: Transactions,
  passwords: Passwords,
  nowSeconds: () => number,
): Route[] {
  const object = '/special/auth' as const;
  return [
    route({
      method: 'POST',
      path: PASSWORDS,
      summary: 'Makes a password that one user can be given',
      access: { object, permission: 'write' },
      status: 201,
      body: z.strictObject({ plain: z.string().optional(), hash: z.string().optional() }),
      reply: z.strictObject({ key: z.string(), meta: metaShape }),
      errors: ['NoTransaction', 'ConfigurationLocked', 'SemanticError', 'ServiceUnavailable'],
      handle: async ({ caller, body: { plain, hash: given } }) => {
        if (given !== undefined) {
          const text = 'hash: a password is taken in plain text alone, and kept as argon2id';
          throw new ApiError('SemanticError', text, { field: 'hash' });
        }
        if (plain === undefined) {
          throw new ApiError('SemanticError', 'plain: the password', { field: 'plain' });
        }
        const id = await transactions.change(mustBe(caller), async (staged) => {
          const hash = await passwords.hash(new Secret(plain));
          const made = { id: randomUUID(), hash, created: nowSeconds() };
          const all = new Map(staged.passwords).set(made.id, made);
          return { staged: { ...staged, passwords: all }, told: made.id };
        });
        return { key: id, meta: { ...metaOf(`${PASSWORDS}/${id}`), transaction: TRANSACTION } };
      },
    }),
    route({
      method: 'GET',
      path: `${PASSWORDS}/:id`,
      summary: 'Says that a password is there, and not what it is',
      access: { object, permission: 'read' },
      reply: z.strictObject({ body: z.looseObject({}), key: z.string(), meta: metaShape }),
      handle: ({ caller, params }) => {
        const key = params['id'] ?? '';
        const { content, passwords: staged } = transactions.view(mustBe(caller));
        const isGiven = content.users.some(({ passwordId }) => passwordId === key);
        if (!isGiven && !staged.has(key))
          throw new ApiError('NotFound', 'There is no such password.');
        const meta = { ...metaOf(`${PASSWORDS}/${key}`), transaction: TRANSACTION };
        return { body: { type: 'argon2id' }, key, meta };
      },
    }),
  ];
}
