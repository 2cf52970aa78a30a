/** The configuration as the API has it: its collections and single objects, their routes, and all of it as it is shown. */
import type { Secrets } from '../vault/secrets.ts';
import { aclRoutes, aclsShown } from './acls.ts';
import { collectionRoutes, shownOf } from './collection.ts';
import type { Shown } from './configuration-diff.ts';
import { groupsCollection, usersCollection } from './people.ts';
import type { Route } from './route.ts';
import { rulesCollection } from './rules.ts';
import { settingsRoutes, settingsShown } from './settings.ts';
import { accountsCollection, targetsCollection } from './targets.ts';
import type { Staged, Transactions } from './transactions.ts';

export interface ConfigurationTools {
  readonly secrets: Secrets;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class Configuration {
  readonly routes: readonly Route[];
  readonly #users;
  readonly #groups;
  readonly #targets;
  readonly #accounts;
  readonly #rules;

  constructor(transactions: Transactions, tools: ConfigurationTools) {
    this.#users = usersCollection(tools);
    this.#groups = groupsCollection(tools);
    this.#targets = targetsCollection(tools);
    this.#accounts = accountsCollection(tools);
    this.#rules = rulesCollection(tools.now);
    this.routes = [
      ...collectionRoutes(this.#users, transactions),
      ...collectionRoutes(this.#groups, transactions),
      ...aclRoutes(transactions, tools.now),
      ...collectionRoutes(this.#targets, transactions),
      ...collectionRoutes(this.#accounts, transactions),
      ...collectionRoutes(this.#rules, transactions),
      ...settingsRoutes(transactions),
    ];
  }

  /** Every object as the API shows it. */
  shown(staged: Staged): Shown[] {
    return [
      ...shownOf(this.#users, staged),
      ...shownOf(this.#groups, staged),
      aclsShown(staged),
      ...shownOf(this.#targets, staged),
      ...staged.content.targets.flatMap(({ id }) =>
        shownOf(this.#accounts, staged, { target: id }),
      ),
      ...shownOf(this.#rules, staged),
      ...settingsShown(staged),
    ];
  }
}
