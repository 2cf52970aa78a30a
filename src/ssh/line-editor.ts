/**
 * A line typed at a terminal that echoes nothing itself: takes bytes in any pieces and says what to show. It knows
 * backspace, ^U, ^W, ^C and ^D, leaves out what is not printable, and swallows the sequences of other keys. What is
 * typed behind the end of the line is left to whoever comes next.
 */
import { printable } from '../wire/channel-request.ts';

export type LineEnd = 'line' | 'interrupt' | 'end';

/** As much as a password may have; longer lines take nothing more. */
const MAX_LINE = 1024;
const BACKSPACE = [0x08, 0x7f];
const ESCAPE = 0x1b;
/** Characters that a terminal shows two columns wide. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

export class LineEditor {
  readonly #echoes: boolean;
  #line: string[] = [];
  /** Bytes of a character that is not complete. */
  #partial = Buffer.alloc(0);
  /** Inside the sequence of a key: `start` behind ESC, `rest` until its last byte. */
  #key: 'none' | 'start' | 'rest' = 'none';
  #show = '';

  /** Without `echoes` nothing of the line is shown. */
  constructor(echoes: boolean) {
    this.#echoes = echoes;
  }

  get line(): string {
    return this.#line.join('');
  }

  /** Takes bytes up to the end of the line: how many, how it ended if it did, and what to show. */
  take(bytes: Buffer): { readonly taken: number; readonly end?: LineEnd; readonly show: string } {
    this.#show = '';
    for (let at = 0; at < bytes.length; at++) {
      const end = this.#byte(bytes[at] ?? 0);
      if (end) return { taken: at + 1, end, show: this.#show };
    }
    return { taken: bytes.length, show: this.#show };
  }

  #byte(byte: number): LineEnd | undefined {
    if (this.#key !== 'none') {
      this.#inKey(byte);
      return undefined;
    }
    if (byte >= 0x20 && byte !== 0x7f) {
      this.#text(byte);
      return undefined;
    }
    this.#partial = Buffer.alloc(0);
    if (BACKSPACE.includes(byte)) this.#erase();
    else if (byte === ESCAPE) this.#key = 'start';
    else if (byte === 0x15) while (this.#line.length > 0) this.#erase();
    else if (byte === 0x17) this.#eraseWord();
    else if (byte === 0x0d || byte === 0x0a) return 'line';
    else if (byte === 0x03) return 'interrupt';
    else if (byte === 0x04 && this.#line.length === 0) return 'end';
    return undefined;
  }

  /** ECMA-48: ESC [ parameters and a final byte from @ to ~; ESC O and one byte; ESC and one byte. */
  #inKey(byte: number): void {
    if (this.#key === 'start' && (byte === 0x5b || byte === 0x4f)) this.#key = 'rest';
    else if (this.#key === 'start' || (byte >= 0x40 && byte <= 0x7e)) this.#key = 'none';
  }

  #text(byte: number): void {
    this.#partial = Buffer.concat([this.#partial, Buffer.from([byte])]);
    const text = this.#partial.toString('utf8');
    const whole = Buffer.from(text, 'utf8').equals(this.#partial);
    if (!whole && this.#partial.length < 4) return;
    const bytes = this.#partial;
    this.#partial = Buffer.alloc(0);
    // A backslash is printable as two, so that nothing else looks like an escape.
    const isPlain = whole && (text === '\\' || printable(bytes) === text);
    if (!isPlain || this.#line.length >= MAX_LINE) return;
    this.#line.push(text);
    if (this.#echoes) this.#show += text;
  }

  #erase(): void {
    const last = this.#line.pop();
    if (last === undefined || !this.#echoes) return;
    this.#show += WIDE.test(last) ? '\b\b  \b\b' : '\b \b';
  }

  #eraseWord(): void {
    while (this.#line.at(-1) === ' ') this.#erase();
    while (this.#line.length > 0 && this.#line.at(-1) !== ' ') this.#erase();
  }
}
