/**
 * Forwards: where a rule lets them lead, and what a channel that forwards is for.
 */
import type { ColumnShape, Migration } from './schema.ts';

/** Rows of before were of sessions: nothing to say. */
const words = (name: string): ColumnShape => ({ name, type: 'text', default: '' });

export const forwards: Migration = {
  name: 'Forwards1795572000000',

  async up(schema) {
    await schema.addColumn('rules', { name: 'forwardTo', type: 'text', isNullable: true });
    for (const name of ['destination', 'originator', 'protocol']) {
      await schema.addColumn('channels', words(name));
    }
  },

  async down(schema) {
    for (const name of ['protocol', 'originator', 'destination']) {
      await schema.dropColumn('channels', name);
    }
    await schema.dropColumn('rules', 'forwardTo');
  },
};
