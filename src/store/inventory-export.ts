/**
 * The configuration as an inventory file, in the form that `apply` reads. Secrets are left out and a comment says where
 * one was; since `apply` keeps what it is not given, the text applied to the same database changes nothing.
 */
import { rfc3339 } from '../base/time.ts';
import { DEFAULT_SETTINGS } from './rows.ts';
import type { AccountRow, Inventory, SettingsRow, TargetRow, UserRow } from './rows.ts';

/** The text of an inventory file; the same configuration always gives the same text. */
export function exportInventory(inventory: Inventory): string {
  const { users, groups, targets, rules, acls, settings } = inventory;
  return [
    `# Configuration at commit ${inventory.commit}. Secrets are left out.`,
    ...section('users', users.toSorted(byName), userLines),
    ...section('groups', groups.toSorted(byName), ({ name }) => [`- { name: ${scalar(name)} }`]),
    ...section('targets', targets.toSorted(byName), targetLines),
    ...section('rules', rules.toSorted(byName), (rule) => [
      `- name: ${scalar(rule.name)}`,
      `  groups: ${list(rule.groups)}`,
      `  targets: ${list(rule.targets)}`,
      `  accounts: ${list(rule.accounts)}`,
      `  channels: ${list(rule.channels)}`,
      ...(rule.forwardTo === null ? [] : [`  forward_to: ${list(rule.forwardTo)}`]),
    ]),
    ...section(
      'acls',
      acls.toSorted((a, b) => compare(`${a.group}:${a.permission}`, `${b.group}:${b.permission}`)),
      ({ group, objects, permission }) => [
        `- { group: ${scalar(group)}, objects: ${list(objects)}, permission: ${permission} }`,
      ],
    ),
    ...settingLines(settings),
    '',
  ].join('\n');
}

/** Those that are not as they come. */
function settingLines(settings: SettingsRow): string[] {
  const said = Object.entries(settings).filter(
    ([name, value]) => DEFAULT_SETTINGS[name as keyof typeof DEFAULT_SETTINGS] !== value,
  );
  if (said.length === 0) return [];
  const nameOf = (name: string): string =>
    name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return ['settings:', ...said.map(([name, value]) => `  ${nameOf(name)}: ${value}`)];
}

function userLines({ name, passwordHash, keys, groups, disabled, expires }: UserRow): string[] {
  return [
    `- name: ${scalar(name)}`,
    ...(passwordHash === null ? [] : ['  # password: left out']),
    ...lines('  keys', keys),
    `  groups: ${list(groups)}`,
    ...(disabled ? ['  disabled: true'] : []),
    ...(expires === null ? [] : [`  expires: ${scalar(rfc3339(expires))}`]),
  ];
}

function targetLines(target: TargetRow): string[] {
  const { kex, hostKey, cipher, mac } = target.algorithms;
  const extra = Object.entries({ kex, host_key: hostKey, cipher, mac }).flatMap(([kind, names]) =>
    names && names.length > 0 ? [`    ${kind}: ${list(names)}`] : [],
  );
  return [
    `- name: ${scalar(target.name)}`,
    `  address: ${scalar(target.address)}`,
    `  port: ${target.port}`,
    ...lines('  host_keys', target.hostKeys),
    `  host_key_policy: ${target.hostKeyPolicy}`,
    ...(extra.length > 0 ? ['  algorithms:', ...extra] : []),
    ...(target.accounts.length > 0 ? ['  accounts:'] : []),
    ...target.accounts.toSorted(byName).map((account) => `    ${accountLine(account)}`),
  ];
}

function accountLine({ name, credential }: AccountRow): string {
  switch (credential.kind) {
    case 'agent':
    case 'ask':
      return `- { name: ${scalar(name)}, ${credential.kind}: true }`;
    case 'private-key':
      return `- { name: ${scalar(name)} } # private_key: left out`;
    case 'password':
      return `- { name: ${scalar(name)} } # password: left out`;
  }
}

function section<T>(title: string, items: readonly T[], write: (item: T) => string[]): string[] {
  if (items.length === 0) return [];
  return [`${title}:`, ...items.flatMap(write).map((line) => `  ${line}`)];
}

function lines(field: string, values: readonly string[]): string[] {
  if (values.length === 0) return [];
  return [`${field}:`, ...values.map((value) => `    - ${scalar(value)}`)];
}

function list(values: readonly string[]): string {
  return `[${values.map(scalar).join(', ')}]`;
}

/** A plain word where YAML cannot mistake it for anything else, or a JSON string, which YAML reads as it is. */
function scalar(text: string): string {
  const plain =
    /^[A-Za-z][A-Za-z0-9_.-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return compare(a.name, b.name);
}
