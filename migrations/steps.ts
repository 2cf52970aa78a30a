/**
 * Every migration, oldest first. A new one gets its own file, named by the millisecond of its making and what it does,
 * and a line here.
 */
import { initial } from './1795399963360-initial.ts';
import { forwards } from './1795572000000-forwards.ts';
import { connectionParent } from './1795575900000-connection-parent.ts';
import { legAlgorithms } from './1795576500000-leg-algorithms.ts';
import { files } from './1795577400000-files.ts';
import { api } from './1795598000000-api.ts';
import type { Migration } from './schema.ts';

export const MIGRATIONS: readonly Migration[] = [
  initial,
  forwards,
  connectionParent,
  legAlgorithms,
  files,
  api,
];
