/**
 * Reads the identification line of a peer (RFC 4253 section 4.2), in any number of segments, with a bound on its length
 * and, from a server, on the lines before it. A client may send none before it.
 */
import { ProtocolError } from '../base/errors.ts';
import type { Role } from './filter.ts';

/** What OpenSSH accepts; the RFC says 255. */
const MAX_LINE = 8192;
const MAX_LINES_BEFORE = 64;
const NEWLINE = 10;

export class IdentReader {
  readonly #role: Role;
  #partial: Buffer[] = [];
  #length = 0;
  #linesBefore = 0;
  #line: Buffer | undefined;
  #software = '';

  constructor(role: Role) {
    this.#role = role;
  }

  get done(): boolean {
    return this.#line !== undefined;
  }

  /** The whole line with its end. */
  get line(): Buffer {
    return this.#line ?? Buffer.alloc(0);
  }

  /** What follows `SSH-2.0-`: software version and comments, printable ASCII. */
  get software(): string {
    return this.#software;
  }

  /** Takes bytes of the stream; returns how many belong to the ident line and those before it. */
  take(chunk: Buffer): number {
    let start = 0;
    while (!this.#line) {
      const newline = chunk.indexOf(NEWLINE, start);
      const end = newline === -1 ? chunk.length : newline + 1;
      this.#length += end - start;
      if (this.#length > MAX_LINE) throw new ProtocolError('identification line too long');
      this.#partial.push(Buffer.from(chunk.subarray(start, end)));
      // One-byte segments must not cost an object each.
      if (this.#partial.length > 64) this.#partial = [Buffer.concat(this.#partial)];
      start = end;
      if (newline === -1) return start;
      const line = Buffer.concat(this.#partial);
      this.#partial = [];
      this.#length = 0;
      this.#accept(line);
    }
    return start;
  }

  #accept(line: Buffer): void {
    const text = line.toString('latin1').replace(/\r?\n$/, '');
    if (text.startsWith('SSH-')) {
      const match = /^SSH-(?:2\.0|1\.99)-([\x21-\x7e]+(?: [\x20-\x7e]*)?)$/.exec(text);
      if (!match?.[1]) throw new ProtocolError('not an SSH 2 identification line');
      this.#software = match[1];
      this.#line = line;
    } else if (this.#role === 'downstream') {
      throw new ProtocolError('not an SSH identification line');
    } else if (++this.#linesBefore > MAX_LINES_BEFORE) {
      throw new ProtocolError('too many lines before the identification line');
    }
  }
}
