/**
 * Makes the newest commit the one that logins are judged by, and ends the connections that it took the ground from.
 */
import { reasonOf } from '../base/errors.ts';
import type { Log } from '../ops/log.ts';
import { commits } from '../store/audit.ts';
import type { Database } from '../store/database.ts';
import { readInventory } from '../store/inventory.ts';
import { groundLost } from './commit-effects.ts';
import type { GroundLost } from './commit-effects.ts';
import type { LiveConnections } from './live.ts';
import { Snapshot } from './snapshot.ts';
import type { SnapshotHolder } from './snapshot.ts';

export interface RenewalNeeds {
  readonly db: Database;
  readonly snapshots: SnapshotHolder;
  readonly live: LiveConnections;
  readonly log: Log;
  /** Microseconds since 1970. */
  readonly wallUs: () => number;
}

/** Reads the configuration anew; the ends of connections are begun and not waited for. */
export async function renewSnapshot(needs: RenewalNeeds): Promise<void> {
  const { db, snapshots, live, wallUs } = needs;
  const inventory = await readInventory(db);
  const before = snapshots.current;
  // Another renewal has read a later one meanwhile.
  if (inventory.commit <= before.commit) return;
  snapshots.replace(new Snapshot(inventory));
  const lost = groundLost(before.inventory, inventory, live.list(), wallUs());
  if (lost.length === 0) return;
  const known = await commits(db, 1).catch(() => []);
  const by = known[0]?.author ?? 'the configuration';
  for (const one of lost) void endOne(needs, one, { by, commit: inventory.commit });
}

async function endOne(
  { live, log }: RenewalNeeds,
  { id, reason }: GroundLost,
  { by, commit }: { readonly by: string; readonly commit: number },
): Promise<void> {
  log.audit({ event: 'terminate', connection: id, by, reason, commit }, 'session terminated');
  try {
    await live.terminate(id, { by, reason: `${reason} (commit ${commit})` });
  } catch (error) {
    // One that ended by itself meanwhile is as it should be.
    if (live.has(id)) {
      log.error({ event: 'terminate', connection: id, reason: reasonOf(error) }, 'not terminated');
    }
  }
}
