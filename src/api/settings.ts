/**
 * Settings that are configuration, so that they change in transactions and stand in the audit log: whether a commit
 * needs a message (`management/accounting`, as the contract has it), and ours under `aaa/settings`.
 */
import { z } from '../config/schema.ts';
import type { SettingsRow } from '../store/rows.ts';
import type { Shown } from './configuration-diff.ts';
import { metaShape, nodeMeta } from './meta.ts';
import type { SpecialObject } from './permissions.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';
import { mustBe } from './transaction-routes.ts';
import type { Staged, Transactions } from './transactions.ts';

interface Page {
  readonly path: string;
  readonly object: SpecialObject;
  readonly summary: string;
  /** Names of the body, each with its field. */
  readonly fields: Readonly<Record<string, Exclude<keyof SettingsRow, 'id'>>>;
}

const PAGES: readonly Page[] = [
  {
    path: '/api/configuration/management/accounting',
    object: '/special/basic',
    summary: 'whether a commit needs a message',
    fields: { require_commitlog: 'requireCommitMessage' },
  },
  {
    path: '/api/configuration/aaa/settings',
    object: '/special/auth',
    summary: 'what a commit does to sessions, and how transactions begin',
    fields: {
      implicit_transactions: 'implicitTransactions',
      end_sessions_on_change: 'endSessionsOnChange',
      rights_at_once: 'rightsAtOnce',
    },
  },
];

/** What the bodies show. */
export function settingsShown({ content }: Staged): Shown[] {
  return PAGES.map((page) => ({ path: page.path, body: bodyOf(page, content.settings) }));
}

export function settingsRoutes(transactions: Transactions): Route[] {
  return PAGES.flatMap((page) => pageRoutes(page, transactions));
}

function bodyOf({ fields }: Page, settings: SettingsRow): Record<string, boolean> {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, settings[field]]));
}

function pageRoutes(page: Page, transactions: Transactions): Route[] {
  const { path, object, summary, fields } = page;
  const names = Object.keys(fields);
  const shape = z.strictObject(Object.fromEntries(names.map((name) => [name, z.boolean()])));
  const reply = z.strictObject({ body: shape, key: z.string(), meta: metaShape });
  const shown = (staged: Staged): object => ({
    body: bodyOf(page, staged.content.settings),
    key: path.slice(path.lastIndexOf('/') + 1),
    meta: nodeMeta(path),
  });
  return [
    route({
      method: 'GET',
      path,
      summary: `Shows ${summary}`,
      access: { object, permission: 'read' },
      reply,
      handle: ({ caller }) => shown(transactions.view(mustBe(caller))),
    }),
    route({
      method: 'PUT',
      path,
      summary: `Says ${summary}, in a transaction`,
      access: { object, permission: 'write' },
      body: shape,
      reply,
      errors: ['NoTransaction', 'ConfigurationLocked'],
      handle: async ({ caller, body }) => {
        const by = mustBe(caller);
        const sent = Object.entries(fields).map(([name, field]) => [field, body[name]] as const);
        await transactions.change(by, (staged) => {
          const settings = { ...staged.content.settings, ...Object.fromEntries(sent) };
          const content = { ...staged.content, settings };
          return Promise.resolve({ staged: { ...staged, content }, told: undefined });
        });
        return shown(transactions.view(by));
      },
    }),
  ];
}
