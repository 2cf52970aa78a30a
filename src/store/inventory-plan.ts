/**
 * From the configuration as it is and an inventory document to the configuration as it shall be. Nothing is written
 * here; a reference to something unknown fails with the line it was written on.
 *
 * What the document does not name stays, whether an object or a field of one; with `prune` the objects go. A password
 * that the stored hash already accepts, and a secret equal to the sealed one, stay as they are, so that a second run of
 * the same file plans nothing new.
 */
import { newObjectId, newUuid } from '../base/ids.ts';
import type { Secret } from '../base/secret.ts';
import { inventoryError } from '../config/inventory-file.ts';
import type {
  AccountEntry,
  InventoryDocument,
  Reference,
  TargetEntry,
  UserEntry,
} from '../config/inventory-file.ts';
import type { InventoryContent } from './inventory-diff.ts';
import { credentialContext } from './rows.ts';
import type { AccountRow, Credential, Inventory, TargetRow, UserRow } from './rows.ts';

/** What the plan needs of those who know passwords and keys. */
export interface PlanTools {
  hashPassword(plain: Secret): Promise<string>;
  verifyPassword(hash: string, plain: Secret): Promise<boolean>;
  seal(plain: Secret, context: string): string;
  open(sealed: string, context: string): Secret;
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** Whether objects that the document does not name are removed. */
  readonly prune: boolean;
}

interface Identity {
  readonly id: string;
  readonly uuid: string;
}

/** The configuration after the document is applied to `current`. */
export async function planInventory(
  current: Inventory,
  document: InventoryDocument,
  tools: PlanTools,
): Promise<InventoryContent> {
  return new Plan(current, document, tools).make();
}

class Plan {
  readonly #current: Inventory;
  readonly #document: InventoryDocument;
  readonly #tools: PlanTools;

  constructor(current: Inventory, document: InventoryDocument, tools: PlanTools) {
    this.#current = current;
    this.#document = document;
    this.#tools = tools;
  }

  async make(): Promise<InventoryContent> {
    const document = this.#document;
    const current = this.#current;
    const groups = this.#merge(current.groups, document.groups, byName, ({ name }, was) => ({
      ...(was ?? this.#identity()),
      name,
    }));
    const groupNames = new Set(groups.map(byName));
    const users = await this.#mergeAsync(current.users, document.users, (entry, was) =>
      this.#user(entry, was, groupNames),
    );
    const targets = this.#merge(current.targets, document.targets, byName, (entry, was) =>
      this.#target(entry, was),
    );
    const rules = this.#merge(current.rules, document.rules, byName, (entry, was) => ({
      ...(was ?? this.#identity()),
      name: entry.name,
      groups: entry.groups.map(byName),
      targets: entry.targets.map(byName),
      accounts: entry.accounts.map(byName),
      channels: entry.channels,
      forwardTo: entry.forwardTo === undefined ? (was?.forwardTo ?? null) : entry.forwardTo,
    }));
    const acls = this.#merge(
      current.acls,
      document.acls.map((acl) => ({ ...acl, group: acl.group.name })),
      ({ group, permission }) => `${group}:${permission}`,
      ({ group, objects, permission }, was) => ({
        ...(was ?? this.#identity()),
        group,
        objects,
        permission,
      }),
    );
    const settings = { ...current.settings, ...document.settings };
    const content = { groups, users, targets, rules, acls, settings };
    this.#checkReferences(content, groupNames);
    return content;
  }

  /** The current rows with the entries laid over them; without entry a row stays unless pruned. */
  #merge<Row, Entry>(
    rows: readonly Row[],
    entries: readonly Entry[],
    keyOf: (item: Row | Entry) => string,
    make: (entry: Entry, was: Row | undefined) => Row,
    prune = this.#tools.prune,
  ): Row[] {
    const given = new Map(entries.map((entry) => [keyOf(entry), entry]));
    const known = new Set(rows.map(keyOf));
    const kept = rows.flatMap((row) => {
      const entry = given.get(keyOf(row));
      if (entry !== undefined) return [make(entry, row)];
      return prune ? [] : [row];
    });
    const added = entries.filter((entry) => !known.has(keyOf(entry)));
    return [...kept, ...added.map((entry) => make(entry, undefined))];
  }

  async #mergeAsync(
    rows: readonly UserRow[],
    entries: readonly UserEntry[],
    make: (entry: UserEntry, was: UserRow | undefined) => Promise<UserRow>,
  ): Promise<UserRow[]> {
    const made = new Map<string, UserRow>();
    const before = new Map(rows.map((row) => [row.name, row]));
    // One after the other: argon2 is dear, and others wait for it too.
    for (const entry of entries) made.set(entry.name, await make(entry, before.get(entry.name)));
    return this.#merge(rows, [...made.values()], byName, (row) => row);
  }

  async #user(
    entry: UserEntry,
    was: UserRow | undefined,
    known: ReadonlySet<string>,
  ): Promise<UserRow> {
    for (const group of entry.groups ?? []) {
      if (!known.has(group.name)) {
        this.#fail(group, `user "${entry.name}" names the unknown group "${group.name}"`);
      }
    }
    const { id, uuid } = was ?? this.#identity();
    // A group that is pruned away takes its memberships along.
    const staying = (was?.groups ?? []).filter((group) => known.has(group));
    return {
      id,
      uuid,
      name: entry.name,
      ...(await this.#password(entry, was)),
      keys: entry.keys ?? was?.keys ?? [],
      groups: (entry.groups?.map(byName) ?? staying).toSorted(),
      disabled: entry.disabled ?? was?.disabled ?? false,
      expires: entry.expires === undefined ? (was?.expires ?? null) : entry.expires,
    };
  }

  /** A hash that is new is a new password object. */
  async #password(
    entry: UserEntry,
    was: UserRow | undefined,
  ): Promise<Pick<UserRow, 'passwordHash' | 'passwordId' | 'passwordCreated'>> {
    const passwordHash = await this.#passwordHash(entry, was);
    if (was && passwordHash === was.passwordHash) {
      const { passwordId, passwordCreated } = was;
      return { passwordHash, passwordId, passwordCreated };
    }
    if (passwordHash === null) return { passwordHash, passwordId: null, passwordCreated: null };
    const now = this.#tools.now();
    const made = { passwordId: newUuid(now), passwordCreated: Math.floor(now / 1000) };
    return { passwordHash, ...made };
  }

  async #passwordHash(entry: UserEntry, was: UserRow | undefined): Promise<string | null> {
    const { password } = entry;
    const hash = was?.passwordHash ?? null;
    if (password === undefined) return hash;
    if (password === null) return null;
    if (hash !== null && (await this.#tools.verifyPassword(hash, password))) return hash;
    return this.#tools.hashPassword(password);
  }

  #target(entry: TargetEntry, was: TargetRow | undefined): TargetRow {
    const title = `target "${entry.name}"`;
    const address = entry.address ?? was?.address;
    if (address === undefined) this.#fail(entry, `${title} has no address`);
    const hostKeys = entry.hostKeys ?? was?.hostKeys ?? [];
    const hostKeyPolicy = entry.hostKeyPolicy ?? was?.hostKeyPolicy ?? 'pinned';
    if (hostKeyPolicy === 'pinned' && hostKeys.length === 0) {
      this.#fail(entry, `${title} has neither host_keys nor host_key_policy: accept-new`);
    }
    const { id, uuid } = was ?? this.#identity();
    const algorithms = entry.algorithms ?? was?.algorithms ?? {};
    return {
      id,
      uuid,
      name: entry.name,
      address,
      port: entry.port ?? was?.port ?? 22,
      hostKeys,
      hostKeyPolicy,
      algorithms: Object.fromEntries(
        Object.entries(algorithms).filter(([, list]: [string, string[]]) => list.length > 0),
      ),
      accounts: this.#merge(was?.accounts ?? [], entry.accounts, byName, (account, old) =>
        this.#account(entry, account, old),
      ),
    };
  }

  #account(target: TargetEntry, entry: AccountEntry, was: AccountRow | undefined): AccountRow {
    const { id, uuid } = was ?? this.#identity();
    return { id, uuid, name: entry.name, credential: this.#credential(target, entry, was, id) };
  }

  #credential(
    target: TargetEntry,
    entry: AccountEntry,
    was: AccountRow | undefined,
    id: string,
  ): Credential {
    const given = entry.credential;
    const old = was?.credential;
    if (!given) {
      return (
        old ??
        this.#fail(
          entry,
          `account "${entry.name}" of target "${target.name}" has no way to log in: give ` +
            'private_key_file, private_key, password, agent: true or ask: true',
        )
      );
    }
    if (given.kind === 'agent' || given.kind === 'ask') return { kind: given.kind };
    const context = credentialContext(id);
    if (old?.kind === given.kind && this.#opens(old.sealed, context, given.secret)) return old;
    return { kind: given.kind, sealed: this.#tools.seal(given.secret, context) };
  }

  /** Whether the sealed value holds this secret; one that no longer opens is replaced by what is given. */
  #opens(sealed: string, context: string, secret: Secret): boolean {
    try {
      return this.#tools.open(sealed, context).equals(secret);
    } catch {
      return false;
    }
  }

  #checkReferences(content: InventoryContent, groups: ReadonlySet<string>): void {
    const targets = new Map(content.targets.map((target) => [target.name, target]));
    for (const rule of this.#document.rules) {
      const title = `rule "${rule.name}"`;
      for (const group of rule.groups) {
        if (!groups.has(group.name)) {
          this.#fail(group, `${title} names the unknown group "${group.name}"`);
        }
      }
      for (const target of rule.targets) {
        if (!targets.has(target.name)) {
          this.#fail(target, `${title} names the unknown target "${target.name}"`);
        }
      }
      const reached = rule.targets.flatMap(({ name }) => targets.get(name)?.accounts ?? []);
      const accounts = new Set(reached.map(byName));
      for (const account of rule.accounts) {
        if (!accounts.has(account.name)) {
          this.#fail(
            account,
            `${title} names the account "${account.name}", which none of its targets has`,
          );
        }
      }
    }
    for (const { group, line } of this.#document.acls) {
      if (!groups.has(group.name)) {
        this.#fail({ line }, `an acl names the unknown group "${group.name}"`);
      }
    }
  }

  #identity(): Identity {
    return { id: newObjectId(), uuid: newUuid(this.#tools.now()) };
  }

  #fail(at: Pick<Reference, 'line'>, reason: string): never {
    throw inventoryError(this.#document.file, at.line, reason);
  }
}

function byName({ name }: { readonly name: string }): string {
  return name;
}
