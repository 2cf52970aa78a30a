/**
 * How values are said to people: on one line, of bounded length, and harmless in a terminal whatever a peer put into
 * them.
 */

/** Any value on one line; control characters that JSON lets through are escaped too. */
export function say(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
  return text.replace(OBEYED, (character) => `\\x${character.charCodeAt(0).toString(16)}`);
}

const OBEYED = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** A text of at most `max` characters; what is left out is counted. */
export function shorten(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max)}... (${grouped(text.length)} characters)`;
}

/** `1,234,567`. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 commit`, `2,000 commits`. */
export function counted(count: number, what: string): string {
  return `${grouped(count)} ${what}${count === 1 ? '' : 's'}`;
}

/** A word as a shell takes it, quoted where it must be. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
