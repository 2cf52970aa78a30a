/**
 * The configuration as rows: read as one frozen value, written as one commit. Every change goes through `writeCommit`,
 * which puts the rows and the audit row into the same transaction, so neither exists without the other.
 */
import { AppError } from '../base/errors.ts';
import { appendCommit, headOf } from './audit.ts';
import type { Database } from './database.ts';
import {
  AccountEntity,
  AclEntity,
  GroupEntity,
  HostKeyEntity,
  MembershipEntity,
  RuleEntity,
  SettingEntity,
  TargetEntity,
  UserEntity,
} from './entities.ts';
import type { AccountRecord, SettingRecord } from './entities.ts';
import { diffInventory } from './inventory-diff.ts';
import type { Change, InventoryContent, ObjectKind } from './inventory-diff.ts';
import { In } from './orm.ts';
import type { EntityManager } from './orm.ts';
import { DEFAULT_SETTINGS } from './rows.ts';
import type { AclRow, Credential, Inventory, RuleRow, SettingsRow, TargetRow } from './rows.ts';

/** SQLite and PostgreSQL both take far more parameters than this in one statement. */
const ROWS_AT_ONCE = 200;

/** The whole configuration at the newest commit. */
export function readInventory(db: Database): Promise<Inventory> {
  return db.read(loadInventory);
}

/** The whole configuration as this transaction sees it; every list sorted by name, every value frozen. */
export async function loadInventory(manager: EntityManager): Promise<Inventory> {
  const { number: commit } = await headOf(manager);
  const groups = await manager.find(GroupEntity, { order: { name: 'ASC' } });
  const users = await manager.find(UserEntity, { order: { name: 'ASC' } });
  const memberships = await manager.find(MembershipEntity);
  const targets = await manager.find(TargetEntity, { order: { name: 'ASC' } });
  const hostKeys = await manager.find(HostKeyEntity, { order: { ordinal: 'ASC' } });
  const accounts = await manager.find(AccountEntity, { order: { name: 'ASC' } });
  const rules = await manager.find(RuleEntity, { order: { name: 'ASC' } });
  const acls = await manager.find(AclEntity, { order: { groupName: 'ASC', permission: 'ASC' } });

  const settings = await manager.find(SettingEntity);

  const groupNames = new Map(groups.map(({ id, name }) => [id, name]));
  const groupsOf = Map.groupBy(memberships, ({ userId }) => userId);
  const keysOf = Map.groupBy(hostKeys, ({ targetId }) => targetId);
  const accountsOf = Map.groupBy(accounts, ({ targetId }) => targetId);
  return deepFreeze({
    commit,
    users: users.map(({ id, uuid, name, passwordHash, keys, disabled, ...more }) => ({
      id,
      uuid,
      name,
      passwordHash,
      keys: JSON.parse(keys) as string[],
      groups: (groupsOf.get(id) ?? []).map(({ groupId }) => groupNames.get(groupId) ?? '').sort(),
      disabled,
      // A password from before they were objects has the id of its user.
      passwordId: passwordHash === null ? null : (more.passwordId ?? uuid),
      passwordCreated: more.passwordCreated,
      expires: more.expires,
    })),
    groups: groups.map(({ id, uuid, name }) => ({ id, uuid, name })),
    targets: targets.map(({ id, uuid, name, address, port, hostKeyPolicy, algorithms }) => ({
      id,
      uuid,
      name,
      address,
      port,
      hostKeys: (keysOf.get(id) ?? []).map(({ hostKey }) => hostKey),
      // Anything but the one word that opens a door is the closed state.
      hostKeyPolicy: hostKeyPolicy === 'accept-new' ? 'accept-new' : 'pinned',
      algorithms: JSON.parse(algorithms) as TargetRow['algorithms'],
      accounts: (accountsOf.get(id) ?? []).map((account) => ({
        id: account.id,
        uuid: account.uuid,
        name: account.name,
        credential: credentialOf(account),
      })),
    })),
    rules: rules.map((rule) => ({
      id: rule.id,
      uuid: rule.uuid,
      name: rule.name,
      groups: JSON.parse(rule.groups) as string[],
      targets: JSON.parse(rule.targets) as string[],
      accounts: JSON.parse(rule.accounts) as string[],
      channels: JSON.parse(rule.channels) as RuleRow['channels'],
      forwardTo:
        rule.forwardTo === null ? null : (JSON.parse(rule.forwardTo) as RuleRow['forwardTo']),
    })),
    acls: acls.map(({ id, uuid, groupName, objects, permission }) => ({
      id,
      uuid,
      group: groupName,
      objects: JSON.parse(objects) as string[],
      permission: (permission === 'write' ? 'write' : 'read') satisfies AclRow['permission'],
    })),
    settings: settingsOf(settings),
  });
}

/** A setting that this version does not know, or another value than it takes, is as if nobody had said it. */
function settingsOf(rows: readonly SettingRecord[]): SettingsRow {
  const said = new Map(rows.map(({ name, value }) => [name, value]));
  const fields = Object.entries(DEFAULT_SETTINGS).map(([name, value]) => {
    const text = said.get(name);
    return [name, text === 'true' ? true : text === 'false' ? false : value];
  });
  return Object.fromEntries(fields) as SettingsRow;
}

function credentialOf({ id, credentialKind: kind, sealed }: AccountRecord): Credential {
  if (kind === 'agent' || kind === 'ask') return { kind };
  if ((kind === 'private-key' || kind === 'password') && sealed !== null) return { kind, sealed };
  throw new AppError('internal', `account ${id} has no readable credential`);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) deepFreeze(item);
    Object.freeze(value);
  }
  return value;
}

/** Who changes the configuration, why and when (microseconds UTC). */
export interface CommitBy {
  readonly author: string;
  readonly message: string;
  readonly time: number;
}

export interface Committed {
  readonly commit: number;
  readonly changes: readonly Change[];
}

/**
 * Writes the configuration `after` in place of `before` as one commit, or nothing (null) when they are the same.
 * `before` must be what this transaction sees: whoever planned on an older commit plans again.
 */
export async function writeCommit(
  manager: EntityManager,
  before: Inventory,
  after: InventoryContent,
  by: CommitBy,
): Promise<Committed | null> {
  const head = await headOf(manager);
  if (head.number !== before.commit) {
    throw new AppError('internal', `planned on commit ${before.commit}, found ${head.number}`);
  }
  const changes = diffInventory(before, after);
  if (changes.length === 0) return null;
  await removeRows(manager, changes);
  await writeRows(manager, changes, after);
  const { author, message, time } = by;
  const commit = await appendCommit(manager, { author, message, time, diff: changes });
  return { commit, changes };
}

/** The ids of the objects of a kind that the changes remove, or of those that they create or change. */
function idsOf(changes: readonly Change[], kind: ObjectKind, what: 'removed' | 'kept'): string[] {
  return changes
    .filter(
      (change) => change.kind === kind && (change.action === 'removed') === (what === 'removed'),
    )
    .map((change) => change.id);
}

function* chunks<T>(list: readonly T[]): Generator<T[]> {
  for (let i = 0; i < list.length; i += ROWS_AT_ONCE) yield list.slice(i, i + ROWS_AT_ONCE);
}

/** Deletes what goes, and the dependent rows of what changes (they are written anew), children first. */
async function removeRows(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  const users = idsOf(changes, 'user', 'removed');
  const targets = idsOf(changes, 'target', 'removed');
  for (const ids of chunks([...users, ...idsOf(changes, 'user', 'kept')])) {
    await manager.delete(MembershipEntity, { userId: In(ids) });
  }
  for (const ids of chunks([...targets, ...idsOf(changes, 'target', 'kept')])) {
    await manager.delete(HostKeyEntity, { targetId: In(ids) });
  }
  const tables = [
    [AccountEntity, idsOf(changes, 'account', 'removed')],
    [UserEntity, users],
    [GroupEntity, idsOf(changes, 'group', 'removed')],
    [TargetEntity, targets],
    [RuleEntity, idsOf(changes, 'rule', 'removed')],
    [AclEntity, idsOf(changes, 'acl', 'removed')],
  ] as const;
  for (const [entity, all] of tables) {
    for (const ids of chunks(all)) {
      await manager
        .createQueryBuilder()
        .delete()
        .from(entity)
        .where({ id: In(ids) })
        .execute();
    }
  }
}

async function writeRows(
  manager: EntityManager,
  changes: readonly Change[],
  after: InventoryContent,
): Promise<void> {
  const touched = new Set(changes.map((change) => change.id));
  const groups = after.groups.filter(({ id }) => touched.has(id));
  const users = after.users.filter(({ id }) => touched.has(id));
  const targets = after.targets.filter(({ id }) => touched.has(id));
  const groupIds = new Map(after.groups.map(({ id, name }) => [name, id]));
  const memberships = users.flatMap((user) =>
    user.groups.map((group) => ({ userId: user.id, groupId: groupIds.get(group) ?? '' })),
  );
  const hostKeys = targets.flatMap(({ id, hostKeys: keys }) =>
    keys.map((hostKey, ordinal) => ({ targetId: id, ordinal, hostKey })),
  );
  const accounts = after.targets.flatMap((target) =>
    target.accounts
      .filter(({ id }) => touched.has(id))
      .map(({ id, uuid, name, credential }) => ({
        id,
        uuid,
        targetId: target.id,
        name,
        credentialKind: credential.kind,
        sealed: 'sealed' in credential ? credential.sealed : null,
      })),
  );
  for (const rows of chunks(groups.map(({ id, uuid, name }) => ({ id, uuid, name })))) {
    await manager.upsert(GroupEntity, rows, ['id']);
  }
  for (const rows of chunks(users)) {
    const records = rows.map(({ id, uuid, name, passwordHash, keys, disabled, ...more }) => ({
      id,
      uuid,
      name,
      passwordHash,
      keys: JSON.stringify(keys),
      disabled,
      passwordId: more.passwordId,
      passwordCreated: more.passwordCreated,
      expires: more.expires,
    }));
    await manager.upsert(UserEntity, records, ['id']);
  }
  for (const rows of chunks(memberships)) await manager.insert(MembershipEntity, rows);
  for (const rows of chunks(targets)) {
    const records = rows.map(({ id, uuid, name, address, port, hostKeyPolicy, algorithms }) => ({
      id,
      uuid,
      name,
      address,
      port,
      hostKeyPolicy,
      algorithms: JSON.stringify(algorithms),
    }));
    await manager.upsert(TargetEntity, records, ['id']);
  }
  for (const rows of chunks(hostKeys)) await manager.insert(HostKeyEntity, rows);
  for (const rows of chunks(accounts)) await manager.upsert(AccountEntity, rows, ['id']);
  for (const rows of chunks(after.rules.filter(({ id }) => touched.has(id)))) {
    const records = rows.map((rule) => ({
      id: rule.id,
      uuid: rule.uuid,
      name: rule.name,
      groups: JSON.stringify(rule.groups),
      targets: JSON.stringify(rule.targets),
      accounts: JSON.stringify(rule.accounts),
      channels: JSON.stringify(rule.channels),
      forwardTo: rule.forwardTo === null ? null : JSON.stringify(rule.forwardTo),
    }));
    await manager.upsert(RuleEntity, records, ['id']);
  }
  if (touched.has(after.settings.id)) {
    const records = Object.entries(after.settings)
      .filter(([name]) => name !== 'id')
      .map(([name, value]) => ({ name, value: JSON.stringify(value) }));
    await manager.upsert(SettingEntity, records, ['name']);
  }
  for (const rows of chunks(after.acls.filter(({ id }) => touched.has(id)))) {
    const records = rows.map(({ id, uuid, group, objects, permission }) => ({
      id,
      uuid,
      groupName: group,
      objects: JSON.stringify(objects),
      permission,
    }));
    await manager.upsert(AclEntity, records, ['id']);
  }
}
