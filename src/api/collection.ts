/**
 * Objects of one kind under the configuration (SPS contract, sections 4 and 6): from how they are shown and edited come
 * the five calls. A request has the bare properties, a reply wraps them in `body`; what is referred to is shown as key
 * and path and may be sent back like that or as the bare id. Nothing is live before the commit.
 */
import { z } from '../config/schema.ts';
import type { Shown } from './configuration-diff.ts';
import { ApiError } from './errors.ts';
import { itemShape, metaShape, nodeMeta, siblingMeta } from './meta.ts';
import type { SpecialObject } from './permissions.ts';
import { route } from './route.ts';
import type { Caller, Route } from './route.ts';
import { mustBe } from './transaction-routes.ts';
import type { Staged, Transactions } from './transactions.ts';

/** One object as the API shows it. */
export interface ShownObject {
  readonly key: string;
  readonly body: object;
}

/** The names in a pattern of a path, as `:target`. */
export type PathParams = Readonly<Record<string, string>>;

export interface Collection<Sent> {
  /** Pattern of the collection's path; an object's has `/:id` behind it. */
  readonly path: string;
  /** What one is called, for documents and errors. */
  readonly name: string;
  readonly object: SpecialObject;
  /** What a client sends. */
  readonly sent: z.ZodType<Sent>;
  /** What a body shows. */
  readonly body: z.ZodType;
  list(staged: Staged, params: PathParams): readonly ShownObject[];
  create(edit: Edit<Sent>): Promise<{ readonly staged: Staged; readonly key: string }>;
  replace(edit: Edit<Sent>, key: string): Promise<Staged>;
  remove(staged: Staged, key: string, params: PathParams): Staged;
}

/** What is to be made of a state. */
export interface Edit<Sent> {
  readonly staged: Staged;
  readonly params: PathParams;
  readonly sent: Sent;
  readonly caller: Caller;
}

/** Puts the values of a path into its pattern. */
export function pathOf(pattern: string, params: PathParams): string {
  return pattern.replace(/:(\w+)/g, (_, name: string) => params[name] ?? '');
}

/** The objects of a collection with their paths. */
export function shownOf(
  { path, list }: Pick<Collection<never>, 'path' | 'list'>,
  staged: Staged,
  params: PathParams = {},
): Shown[] {
  const at = pathOf(path, params);
  return list(staged, params).map(({ key, body }) => ({ path: `${at}/${key}`, body }));
}

const found = z.looseObject({ key: z.string(), meta: metaShape });

/** The routes of a collection. */
export function collectionRoutes<Sent>(
  collection: Collection<Sent>,
  transactions: Transactions,
): Route[] {
  const { path, name, object, sent, body } = collection;
  const read = { object, permission: 'read' } as const;
  const write = { object, permission: 'write' } as const;
  const one = `${path}/:id`;
  const objects = (caller: Caller, params: PathParams): readonly ShownObject[] =>
    collection.list(transactions.view(caller), params);
  const metaAmong = (all: readonly ShownObject[], at: string, key: string): object =>
    siblingMeta(
      at,
      all.map((each) => each.key),
      key,
    );
  const known = (all: readonly ShownObject[], key: string): ShownObject => {
    const it = all.find((each) => each.key === key);
    if (it) return it;
    throw new ApiError('NotFound', `There is no ${name} ${key}.`);
  };
  return [
    route({
      method: 'GET',
      path,
      summary: `Lists each ${name}`,
      access: read,
      reply: z.strictObject({ items: z.array(itemShape), meta: metaShape }),
      handle: ({ caller, params }) => {
        const at = pathOf(path, params);
        const items = objects(mustBe(caller), params).map(({ key, body: shown }) => ({
          key,
          meta: { href: `${at}/${key}` },
          body: shown,
        }));
        return { items, meta: nodeMeta(at) };
      },
    }),
    route({
      method: 'GET',
      path: one,
      summary: `Shows a ${name}`,
      access: read,
      reply: z.strictObject({ body, key: z.string(), meta: metaShape }),
      handle: ({ caller, params }) => {
        const all = objects(mustBe(caller), params);
        const { key, body: shown } = known(all, params['id'] ?? '');
        return { body: shown, key, meta: metaAmong(all, pathOf(path, params), key) };
      },
    }),
    route({
      method: 'POST',
      path,
      summary: `Makes a ${name}, in a transaction`,
      access: write,
      status: 201,
      body: sent,
      reply: found,
      errors: ['NoTransaction', 'ConfigurationLocked', 'SemanticError'],
      handle: async ({ caller, params, body: asked }) => {
        const by = mustBe(caller);
        const key = await transactions.change(by, async (staged) => {
          const made = await collection.create({ staged, params, sent: asked, caller: by });
          return { staged: made.staged, told: made.key };
        });
        return { key, meta: metaAmong(objects(by, params), pathOf(path, params), key) };
      },
    }),
    route({
      method: 'PUT',
      path: one,
      summary: `Changes a ${name} as a whole, in a transaction`,
      access: write,
      body: sent,
      reply: found,
      errors: ['NoTransaction', 'ConfigurationLocked', 'SemanticError'],
      handle: async ({ caller, params, body: asked }) => {
        const by = mustBe(caller);
        const key = params['id'] ?? '';
        await transactions.change(by, async (staged) => {
          known(collection.list(staged, params), key);
          const next = await collection.replace({ staged, params, sent: asked, caller: by }, key);
          return { staged: next, told: undefined };
        });
        const all = objects(by, params);
        return { ...known(all, key), meta: metaAmong(all, pathOf(path, params), key) };
      },
    }),
    route({
      method: 'DELETE',
      path: one,
      summary: `Removes a ${name}, in a transaction`,
      access: write,
      reply: z.strictObject({ meta: metaShape }),
      errors: ['NoTransaction', 'ConfigurationLocked', 'SemanticError'],
      handle: async ({ caller, params }) => {
        const by = mustBe(caller);
        const key = params['id'] ?? '';
        const meta = metaAmong(objects(by, params), pathOf(path, params), key);
        await transactions.change(by, (staged) => {
          known(collection.list(staged, params), key);
          return Promise.resolve({
            staged: collection.remove(staged, key, params),
            told: undefined,
          });
        });
        return { meta };
      },
    }),
  ];
}

/** What a client may send to refer to an object: its id, or what a reply shows. */
export const sentReference = z
  .union([z.string().max(64), z.looseObject({ key: z.string().max(64) })])
  .transform((value) => (typeof value === 'string' ? value : value.key));
