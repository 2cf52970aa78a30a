/**
 * The `meta` object of replies (SPS contract, section 4): the path of what was asked for, the one above, and below
 * `/api/configuration` the siblings under the same parent, in the order of the server.
 */
import { z } from '../config/schema.ts';

export interface Meta {
  readonly href: string;
  readonly parent: string | null;
}

/** The siblings of a node; null at the ends. */
export interface SiblingMeta extends Meta {
  readonly first: string | null;
  readonly last: string | null;
  readonly next: string | null;
  readonly previous: string | null;
  readonly transaction: string;
}

/** Where a transaction is opened, filled and ended. */
export const TRANSACTION = '/api/transaction';
export const CONFIGURATION = '/api/configuration';

/** The path one level up; null where there is none to speak of. */
export function parentOf(path: string): string | null {
  if (path === CONFIGURATION || path === '/api') return null;
  return path.slice(0, path.lastIndexOf('/'));
}

export function metaOf(path: string): Meta {
  return { href: path, parent: parentOf(path) };
}

/** The meta of one among others below `parent`; `names` are all of them in their order, `name` is one. */
export function siblingMeta(parent: string, names: readonly string[], name: string): SiblingMeta {
  const at = names.indexOf(name);
  const path = (sibling: string | undefined): string | null =>
    sibling === undefined ? null : `${parent}/${sibling}`;
  return {
    first: path(names[0]),
    href: `${parent}/${name}`,
    last: path(names.at(-1)),
    next: at < 0 ? null : path(names[at + 1]),
    parent,
    previous: at < 1 ? null : path(names[at - 1]),
    transaction: TRANSACTION,
  };
}

/** The areas of the configuration that there are, and what is below each. */
const TREE: Readonly<Record<string, readonly string[]>> = {
  [CONFIGURATION]: ['aaa', 'management', 'passwords', 'policies', 'ssh'],
  [`${CONFIGURATION}/aaa`]: ['acls', 'local_database', 'settings'],
  [`${CONFIGURATION}/aaa/local_database`]: ['groups', 'users'],
  [`${CONFIGURATION}/management`]: ['accounting', 'email'],
  [`${CONFIGURATION}/policies`]: ['targets'],
  [`${CONFIGURATION}/ssh`]: ['rules'],
};

/** What lies below a node of the tree; undefined for a leaf. */
export function childrenOf(path: string): readonly string[] | undefined {
  return TREE[path];
}

/** All nodes that have others below them. */
export function inner(): readonly string[] {
  return Object.keys(TREE);
}

/** The meta of a node of the tree. */
export function nodeMeta(path: string): SiblingMeta | (Meta & { readonly transaction: string }) {
  const parent = parentOf(path);
  if (parent === null) return { ...metaOf(path), transaction: TRANSACTION };
  return siblingMeta(parent, TREE[parent] ?? [], path.slice(parent.length + 1));
}

/** An object that another refers to. */
export function reference(collection: string, key: string) {
  return { key, meta: { href: `${collection}/${key}` } };
}

export const metaShape = z.looseObject({ href: z.string(), parent: z.string().nullable() });
export const itemShape = z.looseObject({
  key: z.string(),
  meta: z.looseObject({ href: z.string() }),
});
export const referenceShape = z.strictObject({
  key: z.string(),
  meta: z.strictObject({ href: z.string() }),
});
