/**
 * Pages of a search (SPS contract, section 10): how many results are on one, which one is asked for, and the links from
 * it to the others, each with all that was asked.
 */
import { metaOf } from './meta.ts';
import { InvalidQuery } from './search-query.ts';

export const MAX_LIMIT = 500;
/** Nothing is shown beyond so many results. */
export const MAX_SHOWN = 10_000;

export interface Page {
  readonly limit: number;
  readonly offset: number;
  /** How many results of it are shown. */
  readonly take: number;
}

/** The page that was asked for; a larger limit is 500. */
export function pageOf(asked: {
  readonly limit?: string | undefined;
  readonly offset?: string | undefined;
}): Page {
  const limit = Math.min(numberIn('limit', asked.limit) ?? MAX_LIMIT, MAX_LIMIT);
  if (limit === 0) throw new InvalidQuery('at least 1', 0, 'limit');
  const offset = numberIn('offset', asked.offset) ?? 0;
  return { limit, offset, take: Math.max(0, Math.min(limit, MAX_SHOWN - offset)) };
}

function numberIn(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text === 'null') return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidQuery('a whole number', 0, name);
}

export interface PageMeta {
  readonly href: string;
  readonly parent: string | null;
  readonly first: string;
  readonly last: string;
  readonly next: string | null;
  readonly previous: string | null;
  readonly limit: number;
  readonly offset: number;
  readonly match_count: number;
  readonly fields: readonly string[];
}

/** The meta of a page. `rest` are the other parameters that were sent, in their order; they go on in every link. */
export function pageMeta(
  path: string,
  { limit, offset }: Page,
  found: { readonly matchCount: number; readonly fields: readonly string[] },
  rest: readonly (readonly [name: string, value: string])[] = [],
): PageMeta {
  const { matchCount, fields } = found;
  const shown = Math.min(matchCount, MAX_SHOWN);
  const lastOffset = shown === 0 ? 0 : Math.floor((shown - 1) / limit) * limit;
  const others = rest.map(([name, value]) => `&${encode(name)}=${encode(value)}`).join('');
  const link = (at: number): string =>
    `${path}?limit=${limit}&offset=${at}&fields=${encode(fields.join(','))}${others}`;
  return {
    ...metaOf(path),
    first: link(0),
    last: link(lastOffset),
    next: offset + limit < shown ? link(offset + limit) : null,
    previous: offset > 0 ? link(Math.min(Math.max(0, offset - limit), lastOffset)) : null,
    limit,
    offset,
    match_count: matchCount,
    fields,
  };
}

/** Commas stand for themselves in a query and are easier to read so. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll('%2C', ',');
}
