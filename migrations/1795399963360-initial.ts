/**
 * The first tables: configuration, its commits, connections and channels. A migration that was released is never changed; a later one follows it.
 */
import type { ColumnShape, ForeignKeyShape, IndexShape, Migration, TableShape } from './schema.ts';

const objectId = (name: string): ColumnShape => ({ name, type: 'varchar', length: '22' });
const uuid = (name: string): ColumnShape => ({ name, type: 'varchar', length: '36' });
const text = (name: string): ColumnShape => ({ name, type: 'text' });
const whole = (name: string): ColumnShape => ({ name, type: 'integer' });
const big = (name: string): ColumnShape => ({ name, type: 'bigint' });
const key = (column: ColumnShape): ColumnShape => ({ ...column, isPrimary: true });
const maybe = (column: ColumnShape): ColumnShape => ({ ...column, isNullable: true });
const unique = (name: string, ...columnNames: string[]): IndexShape => ({
  name,
  columnNames,
  isUnique: true,
});
const index = (name: string, ...columnNames: string[]): IndexShape => ({
  name,
  columnNames,
  isUnique: false,
});
const foreign = (name: string, column: string, table: string): ForeignKeyShape => ({
  name,
  columnNames: [column],
  referencedTableName: table,
  referencedColumnNames: ['id'],
});

const TABLES: readonly TableShape[] = [
  {
    name: 'users',
    columns: [
      key(objectId('id')),
      uuid('uuid'),
      text('name'),
      maybe(text('passwordHash')),
      text('keys'),
      { name: 'disabled', type: 'boolean' },
    ],
    indices: [unique('users_name', 'name')],
  },
  {
    name: 'groups',
    columns: [key(objectId('id')), uuid('uuid'), text('name')],
    indices: [unique('groups_name', 'name')],
  },
  {
    name: 'memberships',
    columns: [key(objectId('userId')), key(objectId('groupId'))],
    indices: [index('memberships_group', 'groupId')],
    foreignKeys: [
      foreign('memberships_user_fk', 'userId', 'users'),
      foreign('memberships_group_fk', 'groupId', 'groups'),
    ],
  },
  {
    name: 'targets',
    columns: [
      key(objectId('id')),
      uuid('uuid'),
      text('name'),
      text('address'),
      whole('port'),
      text('hostKeyPolicy'),
      text('algorithms'),
    ],
    indices: [unique('targets_name', 'name')],
  },
  {
    name: 'host_keys',
    columns: [key(objectId('targetId')), key(whole('ordinal')), text('hostKey')],
    foreignKeys: [foreign('host_keys_target_fk', 'targetId', 'targets')],
  },
  {
    name: 'accounts',
    columns: [
      key(objectId('id')),
      uuid('uuid'),
      objectId('targetId'),
      text('name'),
      text('credentialKind'),
      maybe(text('sealed')),
    ],
    indices: [unique('accounts_target_name', 'targetId', 'name')],
    foreignKeys: [foreign('accounts_target_fk', 'targetId', 'targets')],
  },
  {
    name: 'rules',
    columns: [
      key(objectId('id')),
      uuid('uuid'),
      text('name'),
      text('groups'),
      text('targets'),
      text('accounts'),
      text('channels'),
    ],
    indices: [unique('rules_name', 'name')],
  },
  {
    name: 'acls',
    columns: [
      key(objectId('id')),
      uuid('uuid'),
      text('groupName'),
      text('objects'),
      text('permission'),
    ],
    indices: [unique('acls_group_permission', 'groupName', 'permission')],
  },
  {
    name: 'commits',
    columns: [
      key(whole('number')),
      text('author'),
      big('time'),
      text('message'),
      text('diff'),
      { name: 'digest', type: 'varchar', length: '64' },
    ],
  },
  {
    name: 'connections',
    columns: [
      key(uuid('id')),
      { name: 'shortId', type: 'varchar', length: '22' },
      uuid('instance'),
      text('userId'),
      text('user'),
      text('loginName'),
      text('sourceAddress'),
      whole('sourcePort'),
      text('clientVersion'),
      text('authMethod'),
      text('keyFingerprint'),
      maybe(text('targetId')),
      maybe(text('target')),
      maybe(text('accountId')),
      maybe(text('account')),
      maybe(text('address')),
      maybe(whole('port')),
      maybe(text('rule')),
      big('startedAt'),
      maybe(big('endedAt')),
      big('bytesIn'),
      big('bytesOut'),
      text('status'),
      maybe(text('reason')),
      big('lastSequence'),
    ],
    indices: [
      unique('connections_short_id', 'shortId'),
      index('connections_started', 'startedAt'),
      index('connections_user', 'user', 'startedAt'),
      index('connections_target', 'target', 'startedAt'),
      index('connections_status', 'status', 'startedAt'),
    ],
  },
  {
    name: 'channels',
    columns: [
      key(uuid('connectionId')),
      key(whole('ordinal')),
      text('kind'),
      text('command'),
      big('openedAt'),
      maybe(big('endedAt')),
      big('bytesIn'),
      big('bytesOut'),
      maybe(text('result')),
    ],
    foreignKeys: [foreign('channels_connection_fk', 'connectionId', 'connections')],
  },
];

export const initial: Migration = {
  name: 'Initial1795399963360',

  async up(schema) {
    for (const table of TABLES) await schema.createTable(table);
  },

  async down(schema) {
    for (const table of TABLES.toReversed()) await schema.dropTable(table.name);
  },
};
