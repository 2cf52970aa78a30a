/** What the two legs of a connection agreed on in their key exchange. Of those from before, only the trail tells. */
import type { Migration } from './schema.ts';

const TABLE = 'connections';
const COLUMNS = ['downstreamAlgorithms', 'upstreamAlgorithms'] as const;

export const legAlgorithms: Migration = {
  name: 'LegAlgorithms1795576500000',
  async up(schema) {
    for (const name of COLUMNS) {
      await schema.addColumn(TABLE, { name, type: 'text', isNullable: true });
    }
  },
  async down(schema) {
    for (const name of COLUMNS) await schema.dropColumn(TABLE, name);
  },
};
