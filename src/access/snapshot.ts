/**
 * The configuration at one commit as logins and rules ask it: by name, without a database and
 * without waiting. A snapshot never changes; a commit makes a new one, and `SnapshotHolder` is
 * where the current one is found. So a login is judged by one commit from its first word to its
 * last.
 *
 * What a row names and the inventory does not hold (a removed group, an unreadable key) counts as
 * absent: it grants nothing.
 */
import { isIPv6, SocketAddress } from 'node:net';

import { parseAuthorizedKey } from '../wire/publickey.ts';
import type { AuthorizedKey } from '../wire/publickey.ts';
import { DEFAULT_SETTINGS } from '../store/rows.ts';
import type { Inventory, RuleRow, TargetRow, UserRow } from '../store/rows.ts';

const EMPTY: Inventory = {
  commit: 0,
  users: [],
  groups: [],
  targets: [],
  rules: [],
  acls: [],
  settings: DEFAULT_SETTINGS,
};

/** One commit of the configuration, read-only. */
export class Snapshot {
  readonly commit: number;
  /** All of it, as it was committed. */
  readonly inventory: Inventory;
  readonly #users: ReadonlyMap<string, UserRow>;
  readonly #targets: ReadonlyMap<string, TargetRow>;
  readonly #places: ReadonlyMap<string, readonly TargetRow[]>;
  readonly #groups: ReadonlySet<string>;
  readonly #rules: ReadonlyMap<string, readonly RuleRow[]>;
  /**
   * Keys are parsed when their user first logs in: ten thousand of them at once would stop the
   * loop.
   */
  readonly #keys = new Map<string, readonly AuthorizedKey[]>();

  constructor(inventory: Inventory) {
    this.commit = inventory.commit;
    this.inventory = inventory;
    this.#users = new Map(inventory.users.map((row) => [row.name, row]));
    this.#targets = new Map(inventory.targets.map((row) => [row.name, row]));
    const places = new Map<string, TargetRow[]>();
    for (const row of inventory.targets.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      for (const place of placesOf(row)) {
        const list = places.get(place);
        if (list) list.push(row);
        else places.set(place, [row]);
      }
    }
    this.#places = places;
    this.#groups = new Set(inventory.groups.map((row) => row.name));
    const rules = new Map<string, RuleRow[]>();
    for (const rule of inventory.rules) {
      for (const group of new Set(rule.groups)) {
        const list = rules.get(group);
        if (list) list.push(rule);
        else rules.set(group, [rule]);
      }
    }
    this.#rules = rules;
  }

  /** A configuration that knows nobody and allows nothing. */
  static empty(): Snapshot {
    return new Snapshot(EMPTY);
  }

  user(name: string): UserRow | undefined {
    return this.#users.get(name);
  }

  get targets(): readonly TargetRow[] {
    return [...this.#targets.values()];
  }

  /**
   * The targets that a client means by a host and a port: by the target's name, on its own port or the usual one, in any
   * case since clients fold it; or by its address and port. Sorted by name.
   */
  targetsAt(host: string, port: number): readonly TargetRow[] {
    return this.#places.get(placeOf(host, port)) ?? [];
  }

  target(name: string): TargetRow | undefined {
    return this.#targets.get(name);
  }

  /** The groups of a user that exist; sorted, each once. */
  groupsOf(user: UserRow): readonly string[] {
    return [...new Set(user.groups)].filter((name) => this.#groups.has(name)).sort();
  }

  /** The keys a user may log in with. A line that cannot be read is no key. */
  keysOf(user: UserRow): readonly AuthorizedKey[] {
    const known = this.#keys.get(user.name);
    if (known) return known;
    const keys = user.keys.flatMap((line) => {
      try {
        return [parseAuthorizedKey(line)];
      } catch {
        return [];
      }
    });
    this.#keys.set(user.name, keys);
    return keys;
  }

  /** The rules that name one of the groups, each once, in the order of their names. */
  rulesFor(groups: readonly string[]): readonly RuleRow[] {
    const found = new Set<RuleRow>();
    for (const group of groups) {
      if (!this.#groups.has(group)) continue;
      for (const rule of this.#rules.get(group) ?? []) found.add(rule);
    }
    return [...found].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/** What `ssh host` asks for where no port is named. */
const SSH_PORT = 22;

/** A host and port in one form: host names in lower case, IPv6 addresses as short as they can be. */
function placeOf(host: string, port: number): string {
  let address = host;
  if (isIPv6(host) && !host.includes('%')) {
    address = new SocketAddress({ address: host, family: 'ipv6' }).address;
  }
  return `${address.toLowerCase()} ${port}`;
}

function placesOf({ name, address, port }: TargetRow): ReadonlySet<string> {
  return new Set([placeOf(name, SSH_PORT), placeOf(name, port), placeOf(address, port)]);
}

/** Where the current snapshot is found; a commit replaces it and the next login sees it. */
export class SnapshotHolder {
  #current: Snapshot;

  constructor(first: Snapshot) {
    this.#current = first;
  }

  get current(): Snapshot {
    return this.#current;
  }

  replace(next: Snapshot): void {
    this.#current = next;
  }
}
