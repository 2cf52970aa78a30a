/**
 * Tables as CSV (RFC 4180, a header line, CRLF). What is in them was chosen by strangers and is opened in spreadsheets,
 * which take a cell that begins like a formula for one: such a text gets an apostrophe before it. Every text is quoted, so
 * that none can end its cell.
 */
const FORMULA = /^[\t\r\n \u00a0\u3000]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/;

/** One line of a table. */
export function csvLine(cells: readonly unknown[]): string {
  return `${cells.map(cell).join(',')}\r\n`;
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
