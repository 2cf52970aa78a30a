/**
 * The ACLs (SPS contract, section 8): one list, read as it is there and, as our own extension, replaced as a whole by
 * PUT, because someone must be able to.
 */
import { newObjectId, newUuid } from '../base/ids.ts';
import { objectShapes } from '../config/inventory-shape.ts';
import { z } from '../config/schema.ts';
import type { AclRow } from '../store/rows.ts';
import type { Shown } from './configuration-diff.ts';
import { metaShape, nodeMeta } from './meta.ts';
import { SPECIAL_OBJECTS } from './permissions.ts';
import { refuse } from './refuse.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';
import { mustBe } from './transaction-routes.ts';
import type { Staged, Transactions } from './transactions.ts';

export const ACLS = '/api/configuration/aaa/acls';

const list = z.array(objectShapes.acl).max(10_000);
const reply = z.strictObject({ body: list, key: z.literal('acls'), meta: metaShape });

/** What the body shows. */
export function aclsShown({ content }: Staged): Shown {
  const body = content.acls.map(({ group, objects, permission }) => ({
    group,
    objects: [...objects],
    permission,
  }));
  return { path: ACLS, body };
}

export function aclRoutes(transactions: Transactions, now: () => number): Route[] {
  const object = '/special/auth' as const;
  const shown = (staged: Staged): object => ({
    body: aclsShown(staged).body,
    key: 'acls',
    meta: nodeMeta(ACLS),
  });
  return [
    route({
      method: 'GET',
      path: ACLS,
      summary: 'Which group may see and change what',
      access: { object, permission: 'read' },
      reply,
      handle: ({ caller }) => shown(transactions.view(mustBe(caller))),
    }),
    route({
      method: 'PUT',
      path: ACLS,
      summary: 'Replaces all ACLs, in a transaction',
      access: { object, permission: 'write' },
      body: list,
      reply,
      errors: ['NoTransaction', 'ConfigurationLocked'],
      handle: async ({ caller, body }) => {
        const by = mustBe(caller);
        await transactions.change(by, (staged) => {
          const acls = body.map((acl, at) => aclOf(staged, body, acl, at, now));
          const content = { ...staged.content, acls };
          return Promise.resolve({ staged: { ...staged, content }, told: undefined });
        });
        return shown(transactions.view(by));
      },
    }),
  ];
}

type Sent = z.output<typeof list>;

function aclOf(
  { content }: Staged,
  all: Sent,
  { group, objects, permission }: Sent[number],
  at: number,
  now: () => number,
): AclRow {
  if (!content.groups.some(({ name }) => name === group)) {
    refuse(`${at}.group`, `there is no group ${JSON.stringify(group)}`);
  }
  const twice = all.findIndex((acl) => acl.group === group && acl.permission === permission);
  if (twice !== at) refuse(`${at}.group`, `${group} has an ACL with ${permission} already`);
  objects.forEach((object, i) => {
    if (!(object in SPECIAL_OBJECTS) && !object.startsWith('/api/')) {
      const known = Object.keys(SPECIAL_OBJECTS).join(', ');
      refuse(`${at}.objects.${i}`, `neither a path below /api/ nor one of ${known}`);
    }
  });
  const was = content.acls.find((acl) => acl.group === group && acl.permission === permission);
  const { id = newObjectId(), uuid = newUuid(now()) } = was ?? {};
  return { id, uuid, group, objects: [...new Set(objects)], permission };
}
