/**
 * `/api/audit/changes`: the commits of the configuration, newest first, with who, when, why and what, and their digests
 * in the chain, which `sallyport audit verify` walks.
 */
import { z } from '../config/schema.ts';
import type { AuditCommit } from '../store/audit.ts';
import { rfc3339 } from '../base/time.ts';
import { ApiError } from './errors.ts';
import { metaOf, metaShape } from './meta.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';

const PATH = '/api/audit/changes';

const commitShape = z.strictObject({
  number: z.int(),
  author: z.string(),
  time: z.string(),
  message: z.string(),
  changes: z.array(z.looseObject({})),
  digest: z.string(),
});

const whole = (most: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'a whole number')
    .transform(Number)
    .refine((value) => value <= most, `at most ${most}`);

export interface ChangesOptions {
  /** So many commits below a number, newest first. */
  readonly commitsBelow: (number: number, count: number) => Promise<readonly AuditCommit[]>;
}

export function auditChangesRoutes({ commitsBelow }: ChangesOptions): Route[] {
  const access = { object: '/special/changelog', permission: 'read' } as const;
  return [
    route({
      method: 'GET',
      path: PATH,
      summary: 'Lists the commits of the configuration, newest first',
      access,
      query: z.strictObject({
        limit: whole(500).default(100).describe('How many; 100 unless said'),
        before: whole(999_999_999).optional().describe('Only those with a lower number'),
      }),
      reply: z.strictObject({
        items: z.array(
          z.strictObject({ key: z.string(), meta: z.looseObject({}), body: commitShape }),
        ),
        meta: metaShape,
      }),
      handle: async ({ query: { limit, before } }) => {
        const some = await commitsBelow(before ?? Number.MAX_SAFE_INTEGER, limit);
        const last = some.at(-1)?.number ?? 1;
        const next = last > 1 ? `${PATH}?limit=${limit}&before=${last}` : null;
        const items = some.map((commit) => ({
          key: String(commit.number),
          meta: { href: `${PATH}/${commit.number}` },
          body: bodyOf(commit),
        }));
        return { items, meta: { ...metaOf(PATH), next } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:number`,
      summary: 'Shows a commit of the configuration',
      access,
      reply: z.strictObject({ body: commitShape, key: z.string(), meta: metaShape }),
      handle: async ({ params, path }) => {
        const number = Number(params['number']);
        const [commit] = Number.isSafeInteger(number) ? await commitsBelow(number + 1, 1) : [];
        if (commit?.number !== number) throw new ApiError('NotFound', 'There is no such commit.');
        return { body: bodyOf(commit), key: String(number), meta: metaOf(path) };
      },
    }),
  ];
}

function bodyOf({ number, author, time, message, diff, digest }: AuditCommit): object {
  return { number, author, time: rfc3339(time), message, changes: diff, digest };
}
