/**
 * The expressions of `q` (SPS contract, section 10): a subset of Lucene's, read in one pass.
 *
 *     query    = either
 *     either   = both *( OR both )                   AND binds closer than OR; side by side is AND
 *     both     = clause *( [ AND ] clause )
 *     clause   = ( NOT / "!" / "-" ) clause / [ "+" ] ( "(" either ")" / [ field ":" ] value )
 *     value    = word [ "*" ] / quoted               quoted and word say the same
 *     value    =/ ( "[" / "{" ) end TO end ( "]" / "}" ) / ( ">" / ">=" / "<" / "<=" ) end      of a field only
 *     end      = "*" / word / quoted                 "*": no end on this side; not behind ">" and the others
 *
 * A backslash takes the next character as it is, in words and in quotes. Whatever Lucene has beyond this (`~`, `^`, `?`,
 * regular expressions, `&&`, a `*` that is not at the end) is refused at its place rather than taken for a word.
 */
import { ApiError } from './errors.ts';

/** A parameter that is refused, with the place in it (UTF-16 units) where it goes wrong. */
export class InvalidQuery extends ApiError {
  readonly position: number;

  constructor(message: string, position: number, parameter = 'q') {
    super('InvalidQuery', `${parameter}: ${message}`, { parameter, position });
    this.position = position;
  }
}

/** One value, of a field or (null) of any; with `prefix` only how it begins. */
export interface QueryTerm {
  readonly kind: 'term';
  readonly field: string | null;
  readonly value: string;
  readonly prefix: boolean;
  readonly at: number;
}

/** Values between two ends; null where there is none. */
export interface QueryRange {
  readonly kind: 'range';
  readonly field: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly withFrom: boolean;
  readonly withTo: boolean;
  readonly at: number;
}

export type QueryNode =
  | QueryTerm
  | QueryRange
  | { readonly kind: 'not'; readonly of: QueryNode }
  | { readonly kind: 'and' | 'or'; readonly of: readonly QueryNode[] };

export const MAX_QUERY_BYTES = 4096;
/** Of parentheses and negations inside each other. */
export const MAX_QUERY_DEPTH = 32;
/** Of terms and ranges. */
export const MAX_QUERY_TERMS = 128;

const KEYWORDS: ReadonlySet<string> = new Set(['AND', 'OR', 'NOT', 'TO']);
const FIELD = /^[A-Za-z_][A-Za-z0-9_.]*$/;
const BLANK = /[ \t\r\n\u3000]/;
const UNSUPPORTED: ReadonlyMap<string, string> = new Map(
  Object.entries({
    '~': 'fuzzy and proximity searches are',
    '^': 'boosting is',
    '?': 'wildcards inside a word are',
    '[': 'a range without a field is',
    ']': 'a bracket that closes nothing is',
    '{': 'a range without a field is',
    '}': 'a bracket that closes nothing is',
    '/': 'regular expressions are',
  }),
);

/** Reads an expression; throws nothing but `InvalidQuery`. */
export function parseQuery(text: string): QueryNode {
  if (Buffer.byteLength(text) > MAX_QUERY_BYTES) {
    throw new InvalidQuery(`longer than ${MAX_QUERY_BYTES} bytes`, 0);
  }
  return new Parser(text).query();
}

interface Word {
  readonly text: string;
  readonly prefix: boolean;
  /** It has neither quote nor backslash, so it may be the name of a field. */
  readonly isPlain: boolean;
}

function isKeyword({ text, prefix, isPlain }: Word): boolean {
  return isPlain && !prefix && KEYWORDS.has(text);
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #terms = 0;
  /** Where the first `+` stands in this pair of parentheses; -1 without one. */
  #required = -1;

  constructor(text: string) {
    this.#text = text;
  }

  query(): QueryNode {
    const node = this.#either();
    if (this.#at < this.#text.length) this.#fail('a ")" closes nothing');
    return node;
  }

  #either(): QueryNode {
    const outer = this.#required;
    this.#required = -1;
    const all = [this.#both()];
    while (this.#takeKeyword('OR')) all.push(this.#both());
    if (all.length > 1 && this.#required >= 0) {
      this.#fail('"+" says nothing beside OR; use AND and parentheses', this.#required);
    }
    this.#required = outer;
    return oneOf('or', all);
  }

  #both(): QueryNode {
    const all = [this.#clause()];
    for (;;) {
      if (this.#takeKeyword('AND')) all.push(this.#clause());
      else if (this.#isAtEnd() || this.#sees('OR')) return oneOf('and', all);
      else all.push(this.#clause());
    }
  }

  #clause(): QueryNode {
    this.#blanks();
    const at = this.#at;
    const char = this.#text[at];
    if (char === undefined) this.#fail('something is missing here');
    if (char === '!' || char === '-' || this.#sees('NOT')) {
      this.#at += char === 'N' ? 3 : 1;
      if (char !== 'N') this.#noBlank(char);
      return this.#deeper(at, () => ({ kind: 'not', of: this.#clause() }));
    }
    if (char === '+') {
      this.#at++;
      this.#noBlank(char);
      if (this.#required < 0) this.#required = at;
      const next = this.#text[this.#at];
      if (next === '+' || next === '-' || next === '!') this.#fail('two signs in a row');
    }
    if (this.#text[this.#at] !== '(') return this.#fieldOrValue();
    return this.#deeper(at, () => {
      this.#at++;
      const node = this.#either();
      if (this.#text[this.#at] !== ')') this.#fail('this "(" is not closed', at);
      this.#at++;
      return node;
    });
  }

  #deeper(at: number, inner: () => QueryNode): QueryNode {
    if (++this.#depth > MAX_QUERY_DEPTH) {
      this.#fail(`more than ${MAX_QUERY_DEPTH} parentheses and negations inside each other`, at);
    }
    const node = inner();
    this.#depth--;
    return node;
  }

  #fieldOrValue(): QueryNode {
    const at = this.#at;
    if (++this.#terms > MAX_QUERY_TERMS) this.#fail(`more than ${MAX_QUERY_TERMS} terms`);
    const word = this.#word();
    if (this.#text[this.#at] !== ':') {
      this.#endOfValue();
      if (isKeyword(word)) {
        this.#fail(`${word.text} wants something on both sides; quote it to search for it`, at);
      }
      if (word.text === '') this.#fail('nothing to search for', at);
      return { kind: 'term', field: null, value: word.text, prefix: word.prefix, at };
    }
    if (!word.isPlain || word.prefix || !FIELD.test(word.text)) {
      this.#fail('not the name of a field; quote a value that has a ":"', at);
    }
    this.#at++;
    return this.#valueOf(word.text, at);
  }

  #valueOf(field: string, at: number): QueryNode {
    const char = this.#text[this.#at];
    if (char === '[' || char === '{') return this.#range(field, at);
    if (char === '>' || char === '<') return this.#comparison(field, at);
    if (char === '(') this.#fail('a group of values is not supported; repeat the field');
    if (char === '+' || char === '-' || char === '!') {
      this.#fail(`quote a value that begins with "${char}"`);
    }
    const start = this.#at;
    const word = this.#word();
    if (isKeyword(word)) this.#fail(`quote the value ${word.text}`, start);
    this.#endOfValue();
    return { kind: 'term', field, value: word.text, prefix: word.prefix, at };
  }

  #range(field: string, at: number): QueryNode {
    const opening = this.#at;
    const withFrom = this.#text[this.#at++] === '[';
    const from = this.#end();
    if (!this.#takeKeyword('TO')) this.#fail('a range is [from TO to]');
    const to = this.#end();
    this.#blanks();
    const char = this.#text[this.#at];
    if (char !== ']' && char !== '}') this.#fail('this range is not closed', opening);
    this.#at++;
    this.#endOfValue();
    return { kind: 'range', field, from, to, withFrom, withTo: char === ']', at };
  }

  #comparison(field: string, at: number): QueryNode {
    const isFrom = this.#text[this.#at++] === '>';
    const isWith = this.#text[this.#at] === '=';
    if (isWith) this.#at++;
    this.#noBlank('the comparison');
    const place = this.#at;
    const value = this.#end();
    if (value === null) this.#fail('"*" cannot be compared with', place);
    this.#endOfValue();
    return isFrom
      ? { kind: 'range', field, from: value, to: null, withFrom: isWith, withTo: true, at }
      : { kind: 'range', field, from: null, to: value, withFrom: true, withTo: isWith, at };
  }

  /** An end of a range; null for `*`. Times may stand without quotes, so `:` is a part of it. */
  #end(): string | null {
    this.#blanks();
    const at = this.#at;
    if (this.#text[at] === '"') return this.#quoted();
    while (this.#at < this.#text.length && !/[ \t\r\n\u3000[\]{}()"\\]/.test(this.#here())) {
      this.#at++;
    }
    const value = this.#text.slice(at, this.#at);
    if (value === '' || KEYWORDS.has(value)) this.#fail('a value is missing here', at);
    if (value === '*') return null;
    const wild = value.search(/[*?]/);
    if (wild >= 0) this.#fail('wildcards in a range are not supported', at + wild);
    this.#characters(value, at);
    return value;
  }

  #word(): Word {
    const start = this.#at;
    if (this.#text[start] === '"') {
      return { text: this.#quoted(), prefix: false, isPlain: false };
    }
    let text = '';
    let isPlain = true;
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#here();
      if (BLANK.test(char) || char === ':' || char === '(' || char === ')') break;
      if (char === '\\') {
        isPlain = false;
        if (++this.#at >= this.#text.length) this.#fail('nothing follows the backslash');
        text += this.#here();
        continue;
      }
      if (char === '*') {
        if (text === '') this.#fail('a word cannot begin with "*"');
        this.#at++;
        this.#characters(text, start);
        return { text, prefix: true, isPlain };
      }
      if (char === '"') this.#fail('a quote inside a word; put a backslash before it');
      if (char === '!' || (char === '/' && text === '')) this.#refuse(char);
      if (char !== '/' && UNSUPPORTED.has(char)) this.#refuse(char);
      if ((char === '&' || char === '|') && this.#text[this.#at + 1] === char) {
        this.#fail(`write ${char === '&' ? 'AND' : 'OR'} for "${char}${char}"`);
      }
      text += char;
    }
    if (this.#at === start) this.#fail('a value is missing here');
    this.#characters(text, start);
    return { text, prefix: false, isPlain };
  }

  #quoted(): string {
    const start = this.#at++;
    let text = '';
    for (; this.#at < this.#text.length; this.#at++) {
      let char = this.#here();
      if (char === '"') {
        this.#at++;
        this.#characters(text, start);
        return text;
      }
      if (char === '\\') {
        this.#at++;
        if (this.#at >= this.#text.length) break;
        char = this.#here();
      }
      text += char;
    }
    return this.#fail('this quote is not closed', start);
  }

  /** Databases do not take NUL, nor half of a character. */
  #characters(value: string, at: number): void {
    if (value.includes('\0') || !value.isWellFormed()) this.#fail('not text', at);
  }

  #refuse(char: string): never {
    const what = UNSUPPORTED.get(char) ?? `"${char}" inside a word is`;
    return this.#fail(`${what} not supported; put a backslash before "${char}" to search for it`);
  }

  #endOfValue(): void {
    if (this.#isAtValueEnd()) return;
    const char = this.#here();
    this.#fail(
      char === ':' ? 'quote a value that has a ":"' : `"${char}" does not belong behind a value`,
    );
  }

  #isAtValueEnd(): boolean {
    const char = this.#text[this.#at];
    return char === undefined || char === ')' || BLANK.test(char);
  }

  #isAtEnd(): boolean {
    this.#blanks();
    return this.#at >= this.#text.length || this.#text[this.#at] === ')';
  }

  /** Whether an operator stands here, as a word of its own. */
  #sees(keyword: string): boolean {
    if (!this.#text.startsWith(keyword, this.#at)) return false;
    const next = this.#text[this.#at + keyword.length];
    return next === undefined || next === '(' || next === ')' || BLANK.test(next);
  }

  #takeKeyword(keyword: string): boolean {
    this.#blanks();
    if (!this.#sees(keyword)) return false;
    this.#at += keyword.length;
    return true;
  }

  #noBlank(what: string): void {
    if (this.#isAtValueEnd()) this.#fail(`something is missing behind ${what}`);
  }

  #blanks(): void {
    while (this.#at < this.#text.length && BLANK.test(this.#here())) this.#at++;
  }

  #here(): string {
    return this.#text[this.#at] ?? '';
  }

  #fail(message: string, position = this.#at): never {
    throw new InvalidQuery(message, position);
  }
}

function oneOf(kind: 'and' | 'or', all: readonly QueryNode[]): QueryNode {
  const [first] = all;
  return all.length === 1 && first ? first : { kind, of: all };
}

/** An expression that reads as the same: what is not plain is quoted, what is inside something is in parentheses. */
export function printQuery(node: QueryNode): string {
  switch (node.kind) {
    case 'and':
    case 'or':
      return node.of.map(inner).join(node.kind === 'and' ? ' AND ' : ' OR ');
    case 'not':
      return `NOT ${inner(node.of)}`;
    case 'term':
      return `${node.field === null ? '' : `${node.field}:`}${printWord(node)}`;
    case 'range': {
      const { field, from, to, withFrom, withTo } = node;
      const ends = `${printEnd(from)} TO ${printEnd(to)}`;
      return `${field}:${withFrom ? '[' : '{'}${ends}${withTo ? ']' : '}'}`;
    }
  }
}

function inner(node: QueryNode): string {
  return node.kind === 'and' || node.kind === 'or' ? `(${printQuery(node)})` : printQuery(node);
}

function printWord({ value, prefix }: QueryTerm): string {
  if (prefix) return `${value.replace(/[^\p{L}\p{N}_]/gu, '\\$&')}*`;
  return /^[\p{L}\p{N}_]+$/u.test(value) && !KEYWORDS.has(value) ? value : quote(value);
}

function printEnd(value: string | null): string {
  return value === null ? '*' : quote(value);
}

function quote(value: string): string {
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}
