/**
 * Points in time as people and scripts write them in searches: ISO 8601, from a year to a microsecond, UTC unless an
 * offset is said. What is written is a span: `2027-01-25` is that whole day, so that a range can end with it.
 */
export interface TimeSpan {
  /** Microseconds UTC. */
  readonly from: number;
  /** The first microsecond behind it. */
  readonly until: number;
}

const SECOND = 1_000_000;
const DATE = String.raw`(\d{4})(?:-(\d\d)(?:-(\d\d)`;
const TIME = String.raw`(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?([Zz]|[+-]\d\d:?\d\d)?)?`;
const TEXT = new RegExp(`^${DATE}${TIME})?)?$`);

/** The span that a text says; undefined if it says none. Years before 1970 have no sessions and are refused. */
export function timeSpan(text: string): TimeSpan | undefined {
  const match = TEXT.exec(text);
  if (!match) return undefined;
  const [, year = '', month, day, hour, minute, second, fraction, zone] = match;
  const [y, mo, d] = [Number(year), Number(month ?? 1), Number(day ?? 1)];
  const [h, mi, s] = [Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)];
  const offset = zone === undefined ? 0 : offsetOf(zone);
  if (y < 1970 || h > 23 || mi > 59 || s > 59 || offset === undefined) return undefined;
  const date = new Date(Date.UTC(y, mo - 1, d));
  if (date.getUTCMonth() !== mo - 1 || date.getUTCDate() !== d) return undefined;
  const begin = Date.UTC(y, mo - 1, d, h, mi, s) * 1000 - offset;
  const micros = Number((fraction ?? '').padEnd(6, '0'));
  const from = begin + micros;
  if (fraction !== undefined) return { from, until: from + 10 ** (6 - fraction.length) };
  if (second !== undefined) return { from, until: from + SECOND };
  if (minute !== undefined) return { from, until: from + 60 * SECOND };
  if (day !== undefined) return { from, until: from + 86_400 * SECOND };
  const next = month === undefined ? Date.UTC(y + 1, 0) : Date.UTC(y, mo);
  return { from, until: next * 1000 };
}

/** Microseconds east of UTC. */
function offsetOf(zone: string): number | undefined {
  if (zone === 'Z' || zone === 'z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(-2));
  if (hours > 23 || minutes > 59) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60 * SECOND;
}
