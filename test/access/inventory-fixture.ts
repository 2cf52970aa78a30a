/** Small configurations for the tests of access. */
import { DEFAULT_SETTINGS } from '../../src/store/rows.ts';
import type { AccountRow, Inventory, RuleRow, TargetRow, UserRow } from '../../src/store/rows.ts';

const ids = (name: string) => ({ id: `id-${name}`, uuid: `uuid-${name}`, name });

export function user(name: string, more: Partial<UserRow> = {}): UserRow {
  const password = { passwordHash: null, passwordId: null, passwordCreated: null };
  const plain = { keys: [], groups: ['ops'], disabled: false, expires: null };
  return { ...ids(name), ...password, ...plain, ...more };
}

export function account(name: string): AccountRow {
  return { ...ids(name), credential: { kind: 'ask' } };
}

export function target(name: string, accounts: readonly string[]): TargetRow {
  return {
    ...ids(name),
    address: '127.0.0.1',
    port: 22,
    hostKeys: [],
    hostKeyPolicy: 'pinned',
    algorithms: {},
    accounts: accounts.map(account),
  };
}

export function rule(name: string, more: Partial<RuleRow>): RuleRow {
  const none = { groups: [], targets: [], accounts: [], channels: [], forwardTo: null };
  return { ...ids(name), ...none, ...more };
}

export function inventory(more: Partial<Inventory>): Inventory {
  const groups = ['dev', 'ops'].map(ids);
  const none = { users: [], targets: [], rules: [], acls: [] };
  return { commit: 7, groups, settings: DEFAULT_SETTINGS, ...none, ...more };
}
