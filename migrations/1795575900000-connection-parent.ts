/**
 * Connections that came through another one (`ssh -J`): what a connection is for, and which it came through. Those from
 * before had all named a target.
 */
import type { Migration } from './schema.ts';

const TABLE = 'connections';

export const connectionParent: Migration = {
  name: 'ConnectionParent1795575900000',
  async up(schema) {
    await schema.addColumn(TABLE, { name: 'kind', type: 'text', default: 'target' });
    const parent = { name: 'parentId', type: 'varchar', length: '36', isNullable: true } as const;
    await schema.addColumn(TABLE, parent);
  },
  async down(schema) {
    await schema.dropColumn(TABLE, 'parentId');
    await schema.dropColumn(TABLE, 'kind');
  },
};
