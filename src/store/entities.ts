/**
 * The tables of the configuration and its commits, as TypeORM entities without decorators. Every index and foreign key
 * has a name of its own, so that migrations can speak of it.
 *
 * The migrations make the tables; a test holds that they and these schemas agree. Nothing outside `store/` sees a
 * record of this file: `rows.ts` has the shapes that leave.
 */
import { big, entity, nullable, objectId, primary, text, uuid, whole } from './columns.ts';

export interface UserRecord {
  id: string;
  uuid: string;
  name: string;
  passwordHash: string | null;
  /** JSON array of `authorized_keys` lines. */
  keys: string;
  disabled: boolean;
  passwordId: string | null;
  passwordCreated: number | null;
  expires: number | null;
}

export const UserEntity = entity<UserRecord>({
  name: 'User',
  tableName: 'users',
  columns: {
    id: { ...objectId, ...primary },
    uuid,
    name: text,
    passwordHash: { ...text, ...nullable },
    keys: text,
    disabled: { type: 'boolean' },
    passwordId: { ...uuid, ...nullable },
    passwordCreated: { ...big, ...nullable },
    expires: { ...big, ...nullable },
  },
  indices: [{ name: 'users_name', columns: ['name'], unique: true }],
});

export interface GroupRecord {
  id: string;
  uuid: string;
  name: string;
}

export const GroupEntity = entity<GroupRecord>({
  name: 'Group',
  tableName: 'groups',
  columns: { id: { ...objectId, ...primary }, uuid, name: text },
  indices: [{ name: 'groups_name', columns: ['name'], unique: true }],
});

export interface MembershipRecord {
  userId: string;
  groupId: string;
}

export const MembershipEntity = entity<MembershipRecord>({
  name: 'Membership',
  tableName: 'memberships',
  columns: { userId: { ...objectId, ...primary }, groupId: { ...objectId, ...primary } },
  indices: [{ name: 'memberships_group', columns: ['groupId'] }],
  foreignKeys: [
    {
      name: 'memberships_user_fk',
      target: 'User',
      columnNames: ['userId'],
      referencedColumnNames: ['id'],
    },
    {
      name: 'memberships_group_fk',
      target: 'Group',
      columnNames: ['groupId'],
      referencedColumnNames: ['id'],
    },
  ],
});

export interface TargetRecord {
  id: string;
  uuid: string;
  name: string;
  address: string;
  port: number;
  hostKeyPolicy: string;
  /** JSON object of `ExtraAlgorithms`. */
  algorithms: string;
}

export const TargetEntity = entity<TargetRecord>({
  name: 'Target',
  tableName: 'targets',
  columns: {
    id: { ...objectId, ...primary },
    uuid,
    name: text,
    address: text,
    port: whole,
    hostKeyPolicy: text,
    algorithms: text,
  },
  indices: [{ name: 'targets_name', columns: ['name'], unique: true }],
});

export interface HostKeyRecord {
  targetId: string;
  ordinal: number;
  /** `type base64`. */
  hostKey: string;
}

export const HostKeyEntity = entity<HostKeyRecord>({
  name: 'HostKey',
  tableName: 'host_keys',
  columns: {
    targetId: { ...objectId, ...primary },
    ordinal: { ...whole, ...primary },
    hostKey: text,
  },
  foreignKeys: [
    {
      name: 'host_keys_target_fk',
      target: 'Target',
      columnNames: ['targetId'],
      referencedColumnNames: ['id'],
    },
  ],
});

export interface AccountRecord {
  id: string;
  uuid: string;
  targetId: string;
  name: string;
  credentialKind: string;
  sealed: string | null;
}

export const AccountEntity = entity<AccountRecord>({
  name: 'Account',
  tableName: 'accounts',
  columns: {
    id: { ...objectId, ...primary },
    uuid,
    targetId: objectId,
    name: text,
    credentialKind: text,
    sealed: { ...text, ...nullable },
  },
  indices: [{ name: 'accounts_target_name', columns: ['targetId', 'name'], unique: true }],
  foreignKeys: [
    {
      name: 'accounts_target_fk',
      target: 'Target',
      columnNames: ['targetId'],
      referencedColumnNames: ['id'],
    },
  ],
});

export interface RuleRecord {
  id: string;
  uuid: string;
  name: string;
  /** JSON arrays of names, as the rule was written. */
  groups: string;
  targets: string;
  accounts: string;
  channels: string;
  /** JSON array of destinations; null: any. */
  forwardTo: string | null;
}

export const RuleEntity = entity<RuleRecord>({
  name: 'Rule',
  tableName: 'rules',
  columns: {
    id: { ...objectId, ...primary },
    uuid,
    name: text,
    groups: text,
    targets: text,
    accounts: text,
    channels: text,
    forwardTo: { ...text, ...nullable },
  },
  indices: [{ name: 'rules_name', columns: ['name'], unique: true }],
});

export interface AclRecord {
  id: string;
  uuid: string;
  groupName: string;
  /** JSON array of paths. */
  objects: string;
  permission: string;
}

export const AclEntity = entity<AclRecord>({
  name: 'Acl',
  tableName: 'acls',
  columns: {
    id: { ...objectId, ...primary },
    uuid,
    groupName: text,
    objects: text,
    permission: text,
  },
  indices: [{ name: 'acls_group_permission', columns: ['groupName', 'permission'], unique: true }],
});

export interface SettingRecord {
  name: string;
  /** JSON. */
  value: string;
}

export const SettingEntity = entity<SettingRecord>({
  name: 'Setting',
  tableName: 'settings',
  columns: { name: { type: 'varchar', length: 64, ...primary }, value: text },
});

export interface CommitRecord {
  number: number;
  author: string;
  time: number;
  message: string;
  /** Canonical JSON; its exact text is what the digest covers (`audit.ts`). */
  diff: string;
  /** 64 hexadecimal digits. */
  digest: string;
}

export const CommitEntity = entity<CommitRecord>({
  name: 'Commit',
  tableName: 'commits',
  columns: {
    number: { ...whole, ...primary },
    author: text,
    time: big,
    message: text,
    diff: text,
    digest: { type: 'varchar', length: 64 },
  },
});

export interface LoginSessionRecord {
  /** 64 hexadecimal digits. */
  digest: string;
  userId: string;
  /** JSON, its owner's to read. */
  data: string;
  /** Microseconds since 1970. */
  createdAt: number;
  expiresAt: number;
}

export const LoginSessionEntity = entity<LoginSessionRecord>({
  name: 'LoginSession',
  tableName: 'login_sessions',
  columns: {
    digest: { type: 'varchar', length: 64, ...primary },
    userId: objectId,
    data: text,
    createdAt: big,
    expiresAt: big,
  },
  indices: [{ name: 'login_sessions_expires', columns: ['expiresAt'] }],
});

/** In an order in which each names only those before it. */
export const CONFIGURATION_ENTITIES = [
  UserEntity,
  GroupEntity,
  MembershipEntity,
  TargetEntity,
  HostKeyEntity,
  AccountEntity,
  RuleEntity,
  AclEntity,
  SettingEntity,
  CommitEntity,
] as const;
