/**
 * Text tables for people: columns as wide as their widest cell, the last one free. A cell is one line and harmless in a
 * terminal, whatever is in it.
 */
import { say } from './words.ts';

const GAP = '  ';

/** A heading and rows as text; every row has as many cells as there are headings. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows].map((row) => row.map((cell) => say(cell)));
  const widths = headings.map((_, at) => Math.max(...lines.map((row) => row[at]?.length ?? 0)));
  const text = lines.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
  return `${text.join('\n')}\n`;
}
