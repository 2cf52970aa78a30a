/**
 * The list of what a user may reach, as text: numbered, in pages of a terminal's size, with what a typed line means in
 * it. Pure; names are escaped, so that none of them can act on a terminal.
 */
import type { Destination } from '../access/policy.ts';
import { printable } from '../wire/channel-request.ts';

/** What a line means: one of the list, or what to show now. */
export type Choice =
  | { readonly kind: 'chosen'; readonly destination: Destination }
  | { readonly kind: 'show'; readonly text: string };

/** A terminal's size. */
export interface Screen {
  readonly rows: number;
  readonly columns: number;
}

const NEWLINE = '\r\n';
/** Rows around a page: heading, prompt, and one that is left free. */
const AROUND = 3;
const MIN_PAGE = 5;
const MAX_PAGE = 500;
const MIN_COLUMNS = 20;
const MAX_COLUMNS = 500;

interface Entry {
  readonly number: number;
  readonly name: string;
  readonly destination: Destination;
}

/** `account@target`. */
export function nameOf({ account, target }: Destination): string {
  return printable(Buffer.from(`${account.name}@${target.name}`));
}

export class TargetList {
  readonly #entries: readonly Entry[];
  #shown: readonly Entry[];
  #next = 0;

  /** In the order in which they are shown. */
  constructor(destinations: readonly Destination[]) {
    this.#entries = destinations.map((destination, at) => ({
      number: at + 1,
      name: nameOf(destination),
      destination,
    }));
    this.#shown = this.#entries;
  }

  /** The next page and the prompt; after the last page comes the first. */
  page(screen: Screen): string {
    const shown = this.#shown;
    const size = Math.min(MAX_PAGE, Math.max(MIN_PAGE, screen.rows - AROUND));
    if (this.#next >= shown.length) this.#next = 0;
    const from = this.#next;
    const page = shown.slice(from, from + size);
    this.#next = from + page.length;
    const widest = shown.reduce((most, { name }) => Math.max(most, name.length), 0);
    const lines = page.map((entry) => this.#line(entry, widest, screen));
    const whole = page.length === shown.length;
    const range = whole ? '' : `${from + 1} to ${this.#next} of ${shown.length}, Enter for more. `;
    return [...lines, `${range}Number or part of a name, ^D to leave: `].join(NEWLINE);
  }

  #line({ number, name, destination }: Entry, widest: number, { columns }: Screen): string {
    const digits = String(this.#entries.length).length;
    const { address, port } = destination.target;
    const place = printable(Buffer.from(port === 22 ? address : `${address} port ${port}`));
    const text = `  ${String(number).padStart(digits)}  ${name.padEnd(widest)}  ${place}`;
    const width = Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, columns));
    // By code points, so that none is cut in two.
    return Array.from(text)
      .slice(0, width - 1)
      .join('')
      .trimEnd();
  }

  /** What a line means; what it shows is followed by the prompt. */
  choose(line: string, screen: Screen): Choice {
    const wanted = line.trim();
    const folded = wanted.toLowerCase();
    if (wanted === '') return { kind: 'show', text: this.page(screen) };
    const exact = this.#entries.find(({ name }) => name.toLowerCase() === folded);
    const numbered = /^\d{1,6}$/.test(wanted) ? this.#entries[Number(wanted) - 1] : undefined;
    const parts = this.#entries.filter(({ name }) => name.toLowerCase().includes(folded));
    const [only, ...others] = parts;
    const chosen = exact ?? numbered ?? (others.length === 0 ? only : undefined);
    if (chosen) return { kind: 'chosen', destination: chosen.destination };
    if (parts.length > 0) {
      this.#shown = parts;
      this.#next = 0;
      return { kind: 'show', text: this.page(screen) };
    }
    this.#shown = this.#entries;
    this.#next = 0;
    const text = `Nothing here is called "${printable(Buffer.from(wanted))}".${NEWLINE}`;
    return { kind: 'show', text: text + this.page(screen) };
  }
}

/** What follows `ssh` for each of them, one line each, for who has no terminal. */
export function commandsFor(
  user: string,
  gate: { readonly host: string; readonly port: number },
  destinations: readonly Destination[],
): string {
  const flag = gate.port === 22 ? '' : `-p ${gate.port} `;
  const lines = destinations.map(({ account, target }) => {
    const name = `${user}@${account.name}@${target.name}@${gate.host}`;
    return `  ssh ${flag}${quoted(printable(Buffer.from(name)))}\n`;
  });
  return lines.join('');
}

/** A word as a POSIX shell takes it. */
function quoted(word: string): string {
  return /^[\p{L}\p{N}._@%:+,=-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
