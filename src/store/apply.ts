/**
 * `apply`: an inventory document becomes at most one commit. The plan is made outside the transaction, since hashing a
 * password takes long and nobody else could write meanwhile; if another commit came in between, it is made again.
 */
import { AppError } from '../base/errors.ts';
import type { InventoryDocument } from '../config/inventory-file.ts';
import type { Database } from './database.ts';
import { loadInventory, readInventory, writeCommit } from './inventory.ts';
import type { Committed } from './inventory.ts';
import { planInventory } from './inventory-plan.ts';
import type { PlanTools } from './inventory-plan.ts';

const ATTEMPTS = 10;

export interface ApplyOptions extends PlanTools {
  readonly author: string;
  readonly message: string;
}

/** Applies the document, all or nothing; `commit` is null when nothing changed. */
export async function applyInventory(
  db: Database,
  document: InventoryDocument,
  options: ApplyOptions,
): Promise<Committed | { readonly commit: null }> {
  const { author, message } = options;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = await readInventory(db);
    const after = await planInventory(before, document, options);
    const result = await db.transaction(async (manager) => {
      const current = await loadInventory(manager);
      if (current.commit !== before.commit) return 'stale';
      const time = options.now() * 1000;
      return (await writeCommit(manager, current, after, { author, message, time })) ?? 'same';
    });
    if (result === 'same') return { commit: null };
    if (result !== 'stale') return result;
  }
  throw new AppError('busy', 'the configuration is being changed by others, apply again');
}
