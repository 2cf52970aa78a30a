/** `sallyport export-inventory`: the configuration in the form that `apply` reads, without its secrets. */
import type { Database } from '../store/database.ts';
import { readInventory } from '../store/inventory.ts';
import { exportInventory } from '../store/inventory-export.ts';
import { withDatabase } from './configuration.ts';
import type { Output } from './output.ts';

export async function exportInventoryFile(
  { dir }: { readonly dir: string },
  output: Output,
): Promise<void> {
  const inventory = await withDatabase(dir, (db: Database) => readInventory(db));
  await output.write(exportInventory(inventory));
}
