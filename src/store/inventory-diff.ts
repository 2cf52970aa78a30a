/**
 * What differs between two configurations, object by object, in the words of the inventory file. This is what a commit
 * keeps and what `apply` prints, so a secret never enters it: neither a hash nor a sealed value, only `[secret]`.
 */
import { rfc3339 } from '../base/time.ts';
import { canonicalJson } from './audit.ts';
import type { Inventory } from './rows.ts';

const MASK = '[secret]';
const SECRET_FIELDS: ReadonlySet<string> = new Set(['password', 'secret']);

export type ObjectKind = 'group' | 'user' | 'target' | 'account' | 'rule' | 'acl' | 'setting';
type View = Readonly<Record<string, unknown>>;

/** One object that a commit created, changed or removed. */
export interface Change {
  readonly action: 'created' | 'changed' | 'removed';
  readonly kind: ObjectKind;
  readonly id: string;
  /** Its name; an account is `account@target`, an ACL `group:permission`. */
  readonly name: string;
  /** The fields that differ, for `changed`; says that a secret changed where before and after look the same. */
  readonly fields?: readonly string[];
  readonly before?: View;
  readonly after?: View;
}

/** A configuration without its commit. */
export type InventoryContent = Omit<Inventory, 'commit'>;

interface Item {
  readonly kind: ObjectKind;
  readonly id: string;
  readonly name: string;
  readonly view: View;
}

function itemsOf(inventory: InventoryContent): Item[] {
  const items: Item[] = [];
  for (const { id, name } of inventory.groups) {
    items.push({ kind: 'group', id, name, view: { name } });
  }
  for (const { id, name, passwordHash, keys, groups, disabled, expires } of inventory.users) {
    const until = expires === null ? {} : { expires: rfc3339(expires) };
    const view = { name, password: passwordHash, keys, groups, disabled, ...until };
    items.push({ kind: 'user', id, name, view });
  }
  for (const target of inventory.targets) {
    const { id, name, address, port, algorithms } = target;
    const view = {
      name,
      address,
      port,
      host_keys: target.hostKeys,
      host_key_policy: target.hostKeyPolicy,
      algorithms,
    };
    items.push({ kind: 'target', id, name, view });
    for (const account of target.accounts) {
      const { credential } = account;
      const secret = 'sealed' in credential ? credential.sealed : null;
      const accountView = { target: name, name: account.name, login: credential.kind, secret };
      const full = `${account.name}@${name}`;
      items.push({ kind: 'account', id: account.id, name: full, view: accountView });
    }
  }
  for (const { id, name, groups, targets, accounts, channels, forwardTo } of inventory.rules) {
    const view = { name, groups, targets, accounts, channels, forward_to: forwardTo };
    items.push({ kind: 'rule', id, name, view });
  }
  for (const { id, group, objects, permission } of inventory.acls) {
    const view = { group, objects, permission };
    items.push({ kind: 'acl', id, name: `${group}:${permission}`, view });
  }
  const { id, ...settings } = inventory.settings;
  const said = {
    require_commit_message: settings.requireCommitMessage,
    implicit_transactions: settings.implicitTransactions,
    end_sessions_on_change: settings.endSessionsOnChange,
    rights_at_once: settings.rightsAtOnce,
  };
  items.push({ kind: 'setting', id, name: 'settings', view: said });
  return items;
}

function masked(view: View): View {
  const entries = Object.entries(view).map(([field, value]) => [
    field,
    SECRET_FIELDS.has(field) && value !== null ? MASK : value,
  ]);
  return Object.fromEntries(entries) as View;
}

/** The changes that lead from one configuration to the other: first what is removed, then the rest by kind. */
export function diffInventory(before: InventoryContent, after: InventoryContent): Change[] {
  const old = new Map(itemsOf(before).map((item) => [item.id, item]));
  const changes: Change[] = [];
  for (const item of itemsOf(after)) {
    const { kind, id, name, view } = item;
    const was = old.get(id);
    old.delete(id);
    if (!was) {
      changes.push({ action: 'created', kind, id, name, after: masked(view) });
      continue;
    }
    const fields = Object.keys({ ...was.view, ...view }).filter(
      (field) => canonicalJson(view[field] ?? null) !== canonicalJson(was.view[field] ?? null),
    );
    if (fields.length === 0) continue;
    const seen = { before: masked(was.view), after: masked(view) };
    changes.push({ action: 'changed', kind, id, name, fields, ...seen });
  }
  const removed = [...old.values()].map(({ kind, id, name, view }): Change => ({
    action: 'removed',
    kind,
    id,
    name,
    before: masked(view),
  }));
  return [...removed, ...changes];
}
