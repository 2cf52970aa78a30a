/** What a configuration refers to and does not have: two changes that were each right alone may leave such a thing. */
import type { InventoryContent } from './inventory-diff.ts';

/** The first reference to something that is not there, in words; undefined if there is none. */
export function danglingReference(content: InventoryContent): string | undefined {
  const groups = new Set(content.groups.map(({ name }) => name));
  const targets = new Map(content.targets.map((target) => [target.name, target]));
  const missing = (names: readonly string[], known: { has(name: string): boolean }) =>
    names.find((name) => !known.has(name));
  for (const user of content.users) {
    const group = missing(user.groups, groups);
    if (group !== undefined) return `user ${user.name} is in the group ${group}, which is gone`;
  }
  for (const rule of content.rules) {
    const group = missing(rule.groups, groups);
    if (group !== undefined) return `rule ${rule.name} names the group ${group}, which is gone`;
    const target = missing(rule.targets, targets);
    if (target !== undefined) return `rule ${rule.name} names the target ${target}, which is gone`;
    const reached = rule.targets.flatMap((name) => targets.get(name)?.accounts ?? []);
    const account = missing(rule.accounts, new Set(reached.map(({ name }) => name)));
    if (account !== undefined) {
      return `rule ${rule.name} names the account ${account}, which none of its targets has`;
    }
  }
  const acl = content.acls.find(({ group }) => !groups.has(group));
  return acl && `an ACL names the group ${acl.group}, which is gone`;
}
