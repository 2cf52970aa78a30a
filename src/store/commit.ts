/**
 * One commit on whatever the configuration is by then: read, changed and written in one transaction of the database, so
 * that nobody else's commit comes in between.
 */
import type { Database } from './database.ts';
import { loadInventory, writeCommit } from './inventory.ts';
import type { CommitBy, Committed } from './inventory.ts';
import type { InventoryContent } from './inventory-diff.ts';
import type { Inventory } from './rows.ts';

/** Writes what `make` makes of the newest configuration; null when nothing differs. What `make` throws undoes it. */
export function commitInventory(
  db: Database,
  make: (newest: Inventory) => InventoryContent,
  by: CommitBy,
): Promise<Committed | null> {
  return db.transaction(async (manager) => {
    const newest = await loadInventory(manager);
    return writeCommit(manager, newest, make(newest), by);
  });
}
