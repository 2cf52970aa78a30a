/**
 * What a commit does to connections that run. Each stands on its user, its target and account, and the rules that let it
 * in; one that loses any of these by a commit ends, unless the configuration says otherwise (`endSessionsOnChange`).
 *
 * Objects are known by id, so a new name takes nothing away. A rule that came later does not hold up a connection: what
 * may pass in it was decided by those of its beginning. What was missing before the commit was not taken by it.
 */
import type { AccountRow, Inventory, RuleRow, TargetRow, UserRow } from '../store/rows.ts';
import { whyNotEnabled } from './enabled.ts';
import type { LiveConnection } from './live.ts';

/** What a connection stands on. */
export type Standing = Pick<
  LiveConnection,
  'id' | 'userId' | 'user' | 'target' | 'account' | 'ground'
>;

/** A connection that the commit ends, and why. */
export interface GroundLost {
  readonly id: string;
  readonly reason: string;
}

/** The connections that the commit from `before` to `after` takes the ground from; `wallUs` is now, in UTC. */
export function groundLost(
  before: Inventory,
  after: Inventory,
  live: readonly Standing[],
  wallUs: number,
): readonly GroundLost[] {
  if (!after.settings.endSessionsOnChange || live.length === 0) return [];
  const [was, is] = [new Ground(before), new Ground(after)];
  return live.flatMap((standing) => {
    const reason = is.missing(standing, wallUs);
    if (reason === undefined || was.missing(standing, wallUs) !== undefined) return [];
    return [{ id: standing.id, reason }];
  });
}

/** One configuration by the ids of its objects. */
class Ground {
  readonly #users: ReadonlyMap<string, UserRow>;
  readonly #targets: ReadonlyMap<string, TargetRow>;
  readonly #rules: ReadonlyMap<string, RuleRow>;
  readonly #groups: ReadonlySet<string>;

  constructor({ users, targets, rules, groups }: Inventory) {
    this.#users = new Map(users.map((row) => [row.id, row]));
    this.#targets = new Map(targets.map((row) => [row.id, row]));
    this.#rules = new Map(rules.map((row) => [row.id, row]));
    this.#groups = new Set(groups.map(({ name }) => name));
  }

  /** What a connection stands on that is not there; undefined when all is. */
  missing(standing: Standing, wallUs: number): string | undefined {
    const { userId, user: userName, target: targetName, account: accountName, ground } = standing;
    const user = this.#users.get(userId);
    const why = whyNotEnabled(user, wallUs);
    if (!user || why !== undefined)
      return `user "${userName}" ${why === 'expired' ? 'has expired' : `was ${why ?? 'removed'}`}`;
    // He has chosen no target yet, or this is what others came through.
    if (!ground) return undefined;
    const target = this.#targets.get(ground.targetId);
    if (!target) return `target "${targetName}" was removed`;
    const account = target.accounts.find(({ id }) => id === ground.accountId);
    if (!account) return `account "${accountName}" of target "${targetName}" was removed`;
    const holds = ground.ruleIds.some((id) => this.#allows(id, user, target, account));
    return holds ? undefined : `no rule that let "${userName}" in does so any longer`;
  }

  #allows(ruleId: string, user: UserRow, target: TargetRow, account: AccountRow): boolean {
    const rule = this.#rules.get(ruleId);
    return (
      rule !== undefined &&
      rule.targets.includes(target.name) &&
      rule.accounts.includes(account.name) &&
      user.groups.some((group) => this.#groups.has(group) && rule.groups.includes(group))
    );
  }
}
