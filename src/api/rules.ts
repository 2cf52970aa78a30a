/** Rules, Sallyport's own part of the configuration: which groups reach which accounts on which targets, and how. */
import { newObjectId, newUuid } from '../base/ids.ts';
import { objectShapes } from '../config/inventory-shape.ts';
import { z } from '../config/schema.ts';
import type { RuleRow } from '../store/rows.ts';
import { sentReference } from './collection.ts';
import type { Collection } from './collection.ts';
import { reference, referenceShape } from './meta.ts';
import { GROUPS } from './people.ts';
import { refuse, refuseTaken, withoutRow, withRow } from './refuse.ts';
import { TARGETS } from './targets.ts';
import type { Staged } from './transactions.ts';

export const RULES = '/api/configuration/ssh/rules';

const { name, rule } = objectShapes;
const { channels, forward_to } = rule.shape;
const references = z.array(sentReference).max(10_000);

const sentRule = z.strictObject({
  name,
  groups: references,
  targets: references,
  accounts: z.array(name).max(10_000),
  channels,
  forward_to: forward_to.unwrap().unwrap().nullable().default(null),
});
type SentRule = z.output<typeof sentRule>;

const body = z.strictObject({
  name: z.string(),
  groups: z.array(referenceShape),
  targets: z.array(referenceShape),
  accounts: z.array(z.string()),
  channels: z.array(z.string()),
  forward_to: z.array(z.string()).nullable(),
});

/** The collection of rules. */
export function rulesCollection(now: () => number): Collection<SentRule> {
  const put = (staged: Staged, sent: SentRule, was: RuleRow | undefined): [Staged, string] => {
    const { content } = staged;
    refuseTaken(content.rules, sent.name, was?.id);
    const groups = namesOf('groups', content.groups, sent.groups);
    const targets = namesOf('targets', content.targets, sent.targets);
    const reached = content.targets.filter((target) => targets.includes(target.name));
    const accounts = new Set(reached.flatMap((target) => target.accounts.map((one) => one.name)));
    sent.accounts.forEach((account, at) => {
      if (!accounts.has(account)) {
        refuse(`accounts.${at}`, `none of the targets has an account ${JSON.stringify(account)}`);
      }
    });
    const row: RuleRow = {
      id: was?.id ?? newObjectId(),
      uuid: was?.uuid ?? newUuid(now()),
      name: sent.name,
      groups,
      targets,
      accounts: [...new Set(sent.accounts)],
      channels: [...new Set(sent.channels)] as RuleRow['channels'],
      forwardTo: sent.forward_to && [...new Set(sent.forward_to)],
    };
    return [{ ...staged, content: { ...content, rules: withRow(content.rules, row) } }, row.id];
  };
  return {
    path: RULES,
    name: 'rule',
    object: '/special/ssh',
    sent: sentRule,
    body,
    list: (staged) =>
      staged.content.rules.map((row) => ({ key: row.id, body: ruleShown(staged, row) })),
    create: ({ staged, sent }) => {
      const [next, key] = put(staged, sent, undefined);
      return Promise.resolve({ staged: next, key });
    },
    replace: ({ staged, sent }, key) => {
      const was = staged.content.rules.find(({ id }) => id === key);
      return Promise.resolve(put(staged, sent, was)[0]);
    },
    remove: (staged, key) => {
      const { content } = staged;
      return { ...staged, content: { ...content, rules: withoutRow(content.rules, key) } };
    },
  };
}

type Named = readonly { readonly id: string; readonly name: string }[];

function namesOf(field: string, rows: Named, ids: readonly string[]): string[] {
  const names = ids.map((id, at) => {
    const row = rows.find((one) => one.id === id);
    return row?.name ?? refuse(`${field}.${at}`, `there is no ${JSON.stringify(id)}`);
  });
  return [...new Set(names)];
}

function ruleShown({ content }: Staged, row: RuleRow) {
  const shown = (path: string, rows: Named, names: readonly string[]) =>
    names.flatMap((own) => {
      const found = rows.find((one) => one.name === own);
      return found ? [reference(path, found.id)] : [];
    });
  return {
    name: row.name,
    groups: shown(GROUPS, content.groups, row.groups),
    targets: shown(TARGETS, content.targets, row.targets),
    accounts: [...row.accounts],
    channels: [...row.channels],
    forward_to: row.forwardTo && [...row.forwardTo],
  };
}
