/**
 * The error table as `README.md` shows it, made from the one in `src/base/errors.ts`. Run as a program it prints the
 * lines to paste between the markers; further columns may follow there.
 */
import { ERRORS } from '../../src/base/errors.ts';

export const MARKERS = ['<!-- errors -->', '<!-- /errors -->'] as const;

export const HEAD = ['code', 'SSH disconnect', 'HTTP status', 'shown to the peer'] as const;

/** One row per code: the cells of the table. */
export function errorRows(): string[][] {
  return Object.entries(ERRORS).map(([code, kind]) => [
    `\`${code}\``,
    String(kind.disconnect),
    String(kind.status),
    kind.expose ? 'yes' : 'no',
  ]);
}

/** The cells of a Markdown table's rows, without head and rule. */
export function cellsOf(markdown: string): string[][] {
  const lines = markdown.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** What stands between two markers of a document; undefined without them. */
export function between(text: string, markers: readonly [string, string]): string | undefined {
  const start = text.indexOf(markers[0]);
  const end = text.indexOf(markers[1]);
  return start < 0 || end < start ? undefined : text.slice(start + markers[0].length, end);
}

if (import.meta.main) {
  const rows = [[...HEAD], HEAD.map(() => '---'), ...errorRows()];
  console.log(MARKERS[0] + '\n');
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
  console.log('\n' + MARKERS[1]);
}
