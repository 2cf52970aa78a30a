/** What the API needs: passwords as objects, users that expire, settings, and sessions of those who logged in. */
import type { Migration, TableShape } from './schema.ts';

const SETTINGS: TableShape = {
  name: 'settings',
  columns: [
    { name: 'name', type: 'varchar', length: '64', isPrimary: true },
    { name: 'value', type: 'text' },
  ],
};

const LOGIN_SESSIONS: TableShape = {
  name: 'login_sessions',
  columns: [
    { name: 'digest', type: 'varchar', length: '64', isPrimary: true },
    { name: 'userId', type: 'varchar', length: '22' },
    { name: 'data', type: 'text' },
    { name: 'createdAt', type: 'bigint' },
    { name: 'expiresAt', type: 'bigint' },
  ],
  indices: [{ name: 'login_sessions_expires', columnNames: ['expiresAt'], isUnique: false }],
};

export const api: Migration = {
  name: 'Api1795598000000',

  async up(schema) {
    await schema.addColumn('users', {
      name: 'passwordId',
      type: 'varchar',
      length: '36',
      isNullable: true,
    });
    await schema.addColumn('users', { name: 'passwordCreated', type: 'bigint', isNullable: true });
    await schema.addColumn('users', { name: 'expires', type: 'bigint', isNullable: true });
    await schema.createTable(SETTINGS);
    await schema.createTable(LOGIN_SESSIONS);
  },

  async down(schema) {
    await schema.dropTable(LOGIN_SESSIONS.name);
    await schema.dropTable(SETTINGS.name);
    await schema.dropColumn('users', 'expires');
    await schema.dropColumn('users', 'passwordCreated');
    await schema.dropColumn('users', 'passwordId');
  },
};
