/** The table of files that crossed: an index of the `file` records in the trails. */
import type { Migration, TableShape } from './schema.ts';

const FILES: TableShape = {
  name: 'files',
  columns: [
    { name: 'id', type: 'varchar', length: '36', isPrimary: true },
    { name: 'connectionId', type: 'varchar', length: '36' },
    { name: 'channel', type: 'integer' },
    { name: 'ordinal', type: 'bigint' },
    { name: 'path', type: 'text' },
    { name: 'direction', type: 'text' },
    { name: 'flags', type: 'text' },
    { name: 'size', type: 'bigint', isNullable: true },
    { name: 'moved', type: 'bigint' },
    { name: 'whole', type: 'boolean' },
    { name: 'sha256', type: 'varchar', length: '64', isNullable: true },
    { name: 'status', type: 'text' },
    { name: 'error', type: 'text' },
    { name: 'openedAt', type: 'bigint' },
    { name: 'closedAt', type: 'bigint' },
  ],
  indices: [
    { name: 'files_place', columnNames: ['connectionId', 'channel', 'ordinal'], isUnique: false },
    { name: 'files_sha256', columnNames: ['sha256'], isUnique: false },
    { name: 'files_closed', columnNames: ['closedAt'], isUnique: false },
  ],
  foreignKeys: [
    {
      name: 'files_connection_fk',
      columnNames: ['connectionId'],
      referencedTableName: 'connections',
      referencedColumnNames: ['id'],
    },
  ],
};

export const files: Migration = {
  name: 'Files1795577400000',

  async up(schema) {
    await schema.createTable(FILES);
  },

  async down(schema) {
    await schema.dropTable(FILES.name);
  },
};
