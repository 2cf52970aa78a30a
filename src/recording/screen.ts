/**
 * What a terminal showed, as lines of text in the order in which a person could have read them: backspaces, returns and
 * redraws are resolved by a terminal emulator, a line is told when it has left the screen, was cleared from it, or at
 * the end. The alternate screen, on which editors and pagers paint, is told as it was when it was left. The one importer
 * of @xterm/headless, which is loaded when a screen is made.
 *
 * What is written comes from strangers. The emulator answers device queries to nobody; memory is bounded by the size of
 * the screen and one chunk; sequences whose number would make it loop for minutes are left out.
 */
import { createRequire } from 'node:module';
import type * as Xterm from '@xterm/headless';
import type { TerminalSize } from './pty.ts';

/** A larger terminal wraps earlier than it did: nobody reads lines of more. */
export const MAX_SCREEN: TerminalSize = { columns: 300, rows: 100 };

/** Cells of the lines that may scroll away within one chunk: a character scrolls one line at most. */
const MAX_CELLS = 2_000_000;
const MAX_CHUNK = 16_384;
/** Text of cleared and alternate screens for each character of a chunk; a stranger could make a screen of a few. */
const SCREENS_PER_CHARACTER = 16;
/** More lines or tab stops than any screen has: a joke, for which the emulator would loop. */
const MAX_COUNT = 256;

// What stands on the character before it takes no room, so nothing else bounds it.
const MARKS = /([\p{M}\p{Cf}\u1160-\u11ff]{16})[\p{M}\p{Cf}\u1160-\u11ff]+/gu;
// What would act on the terminal of whoever reads the text: the emulator keeps none, but nobody should need to know.
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Control characters and marks that reorder text as `\xNN` and `\u{NNNN}`. */
export function harmless(text: string): string {
  return text.replace(OBEYED, (char) => {
    const code = char.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u{${code}}` : `\\x${code.padStart(2, '0')}`;
  });
}

export class Screen {
  readonly #terminal: Xterm.Terminal;
  /** The last line of the normal screen that was told. */
  #last: Xterm.IMarker | undefined;
  /** The last one above the screen that was told: a screen that is erased takes its markers along. */
  #lastAbove: Xterm.IMarker | undefined;
  #told: string[] = [];
  /** Of `#told`, what is of screens. */
  #screens = 0;
  #leftOut = 0;
  #isWithinLine = false;

  constructor(size: TerminalSize) {
    const require = createRequire(import.meta.url);
    const xterm = require('@xterm/headless') as typeof Xterm;
    this.#terminal = new xterm.Terminal({
      cols: size.columns,
      rows: size.rows,
      scrollback: scrollbackOf(size.columns) + size.rows,
      allowProposedApi: true,
      // Leaves lines as they were broken when the terminal is resized: what was told stays where it was.
      windowsPty: { backend: 'winpty', buildNumber: 1 },
      logLevel: 'off',
    });
    this.#guard();
    this.#watch();
  }

  /** Shows text; yields what is told with it, piece by piece. */
  async *write(text: string): AsyncGenerator<string> {
    for (let at = 0; at < text.length;) {
      const chunk = text.slice(at, at + scrollbackOf(this.#terminal.cols));
      at += chunk.length;
      await new Promise<void>((resolve) => {
        this.#terminal.write(chunk.replace(MARKS, '$1'), resolve);
      });
      this.#tellTo(this.#normal.baseY);
      yield this.#take();
    }
  }

  resize({ columns, rows }: TerminalSize): void {
    this.#terminal.options.scrollback = scrollbackOf(columns) + rows;
    this.#terminal.resize(columns, rows);
  }

  /** What is on the screen at the end. */
  end(): string {
    this.#tellTo(this.#lastLine());
    if (this.#isAlternate) this.#tellAlternate('at the end');
    if (this.#isWithinLine) this.#told.push('\n');
    this.#isWithinLine = false;
    const told = this.#take();
    this.#terminal.dispose();
    return told;
  }

  get #mostScreens(): number {
    return SCREENS_PER_CHARACTER * scrollbackOf(this.#terminal.cols);
  }

  get #normal() {
    return this.#terminal.buffer.normal;
  }

  get #isAlternate(): boolean {
    return this.#terminal.buffer.active.type === 'alternate';
  }

  get #cursorLine(): number {
    return this.#normal.baseY + this.#normal.cursorY;
  }

  /** Leaves out what would keep the emulator busy: its loops run as often as a stranger says. */
  #guard(): void {
    const { parser } = this.#terminal;
    for (const final of ['L', 'M', 'S', 'T', 'I', 'Z']) {
      parser.registerCsiHandler({ final }, ([count]) => Number(count) > MAX_COUNT);
    }
    // A test pattern, which fills the screen for three characters.
    parser.registerEscHandler({ intermediates: '#', final: '8' }, () => true);
    parser.registerCsiHandler({ final: 'b' }, ([count]) => Number(count) > this.#terminal.cols);
  }

  /** Tells what is about to go from the screen. Each handler lets the emulator do its own then. */
  #watch(): void {
    const { parser } = this.#terminal;
    parser.registerCsiHandler({ final: 'J' }, ([what]) => {
      // The lines above the screen are told when the chunk has ended; nobody may take them before.
      if (what === 3) return true;
      const { cursorX, cursorY } = this.#normal;
      if (what === 2 || (what === 0 && cursorX === 0 && cursorY === 0)) this.#tellScreen();
      return false;
    });
    parser.registerEscHandler({ final: 'c' }, () => {
      if (this.#isAlternate) this.#tellAlternate('when it was left');
      this.#tellScreen();
      return false;
    });
    const isSwitch = (modes: readonly (number | number[])[]): boolean =>
      modes.some((mode) => mode === 47 || mode === 1047 || mode === 1049);
    parser.registerCsiHandler({ prefix: '?', final: 'h' }, (modes) => {
      if (isSwitch(modes) && !this.#isAlternate) this.#tellTo(this.#cursorLine);
      return false;
    });
    parser.registerCsiHandler({ prefix: '?', final: 'l' }, (modes) => {
      if (isSwitch(modes) && this.#isAlternate) this.#tellAlternate('when it was left');
      return false;
    });
  }

  /** Tells the normal screen, which will be cleared. */
  #tellScreen(): void {
    if (this.#isAlternate) return;
    const before = this.#told.length;
    const end = this.#lastLine();
    if (this.#screens > this.#mostScreens) {
      this.#tellTo(this.#normal.baseY);
      if (end > this.#normal.baseY) this.#leftOut++;
    } else {
      this.#tellTo(end);
    }
    for (let i = before; i < this.#told.length; i++) this.#screens += this.#told[i]?.length ?? 0;
    this.#markAt(this.#normal.baseY);
  }

  /** Behind the last line that is not blank. */
  #lastLine(): number {
    let end = this.#normal.baseY + this.#terminal.rows;
    while (end > 0 && this.#textOf(end - 1) === '') end--;
    return end;
  }

  #textOf(line: number): string {
    return this.#normal.getLine(line)?.translateToString(true) ?? '';
  }

  /** Tells lines of the normal screen up to this one. */
  #tellTo(end: number): void {
    const last = this.#last?.isDisposed === false ? this.#last : this.#lastAbove;
    const from = last?.isDisposed === false ? last.line + 1 : 0;
    if (end <= from) return;
    for (let at = from; at < end; at++) {
      const line = this.#normal.getLine(at);
      if (!line) break;
      if (!line.isWrapped && this.#isWithinLine) this.#told.push('\n');
      this.#told.push(harmless(line.translateToString(true)));
      this.#isWithinLine = true;
    }
    this.#markAt(end);
  }

  /**
   * Notes that lines are told up to this one. Markers move with their lines as those above are let go; there are none
   * while the other screen is shown, on which nothing is told line by line.
   */
  #markAt(line: number): void {
    if (this.#isAlternate) return;
    this.#last?.dispose();
    this.#last = this.#markerOn(line - 1);
    if (line < this.#normal.baseY) return;
    this.#lastAbove?.dispose();
    this.#lastAbove = this.#markerOn(this.#normal.baseY - 1);
  }

  #markerOn(line: number): Xterm.IMarker | undefined {
    return line < 0 ? undefined : this.#terminal.registerMarker(line - this.#cursorLine);
  }

  #tellAlternate(when: string): void {
    if (this.#screens > this.#mostScreens) {
      this.#leftOut++;
      return;
    }
    const { rows, cols, buffer } = this.#terminal;
    const lines: string[] = [];
    for (let y = 0; y < rows; y++) {
      const line = buffer.alternate.getLine(buffer.alternate.baseY + y);
      lines.push(`| ${harmless(line?.translateToString(true) ?? '')}`.trimEnd());
    }
    while (lines.at(-1) === '|') lines.pop();
    const text = [
      `--- alternate screen, ${cols}x${rows}, ${when}:`,
      ...lines,
      '--- end of the alternate screen',
    ].join('\n');
    this.#screens += text.length;
    this.#note(text);
  }

  /** Lines of ours. */
  #note(text: string): void {
    this.#told.push(`${this.#isWithinLine ? '\n' : ''}${text}\n`);
    this.#isWithinLine = false;
  }

  #take(): string {
    if (this.#leftOut > 0) this.#note(`--- ${this.#leftOut} more screens are left out`);
    const told = this.#told.join('');
    this.#told = [];
    this.#screens = 0;
    this.#leftOut = 0;
    return told;
  }
}

/** Lines that are kept above the screen, and characters in a chunk, of which each may scroll one line away. */
function scrollbackOf(columns: number): number {
  return Math.min(MAX_CHUNK, Math.floor(MAX_CELLS / columns));
}
