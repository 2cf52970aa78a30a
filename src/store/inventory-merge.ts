/**
 * A three-way merge of configurations: changes that somebody prepared on an older commit are laid over the newest one.
 * Objects are matched by id and merged field by field; where both sides changed the same field in different ways, or
 * one changed what the other removed, it is a conflict, and nothing is merged.
 */
import { canonicalJson } from './audit.ts';
import type { InventoryContent } from './inventory-diff.ts';

/** A field that was changed on both sides. */
export interface MergeConflict {
  readonly list: keyof InventoryContent;
  readonly id: string;
  /** Empty if the object as a whole. */
  readonly field: string;
}

export type Merged =
  | { readonly ok: true; readonly content: InventoryContent }
  | { readonly ok: false; readonly conflict: MergeConflict };

type Row = Readonly<Record<string, unknown>> & { readonly id: string };

class Conflict extends Error {
  readonly conflict: MergeConflict;

  constructor(conflict: MergeConflict) {
    super('conflict');
    this.conflict = conflict;
  }
}

/** What `mine` made of `base`, laid over `newest`. */
export function mergeInventory(
  base: InventoryContent,
  mine: InventoryContent,
  newest: InventoryContent,
): Merged {
  try {
    const lists = Object.keys(mine) as (keyof InventoryContent)[];
    const merged = lists.map((list) => [
      list,
      mergeAny(list, base[list], mine[list], newest[list]),
    ]);
    return { ok: true, content: Object.fromEntries(merged) as InventoryContent };
  } catch (error) {
    if (error instanceof Conflict) return { ok: false, conflict: error.conflict };
    throw error;
  }
}

function mergeAny(
  list: keyof InventoryContent,
  base: unknown,
  mine: unknown,
  newest: unknown,
): unknown {
  if (Array.isArray(mine)) {
    return mergeList(
      list,
      base as readonly Row[],
      mine as readonly Row[],
      newest as readonly Row[],
    );
  }
  return mergeRow(list, base as Row, mine as Row, newest as Row);
}

function mergeList(
  list: keyof InventoryContent,
  base: readonly Row[],
  mine: readonly Row[],
  newest: readonly Row[],
): Row[] {
  const was = new Map(base.map((row) => [row.id, row]));
  const now = new Map(newest.map((row) => [row.id, row]));
  const merged: Row[] = [];
  for (const row of mine) {
    const before = was.get(row.id);
    const other = now.get(row.id);
    now.delete(row.id);
    if (!before) merged.push(row);
    else if (other) merged.push(mergeRow(list, before, row, other));
    else if (!isSame(before, row)) throw new Conflict({ list, id: row.id, field: '' });
  }
  // What is left was made by others, or removed by me.
  for (const row of now.values()) {
    const before = was.get(row.id);
    if (!before) merged.push(row);
    else if (!isSame(before, row)) throw new Conflict({ list, id: row.id, field: '' });
  }
  return merged;
}

function mergeRow(list: keyof InventoryContent, base: Row, mine: Row, newest: Row): Row {
  if (isSame(base, mine)) return newest;
  const merged: Record<string, unknown> = { ...newest };
  for (const [field, value] of Object.entries(mine)) {
    if (isSame(base[field], value)) continue;
    if (!isSame(base[field], newest[field]) && !isSame(newest[field], value)) {
      throw new Conflict({ list, id: mine.id, field });
    }
    merged[field] = value;
  }
  return merged as Row;
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || canonicalJson(a ?? null) === canonicalJson(b ?? null);
}
