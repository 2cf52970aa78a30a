/**
 * What the fields of a session's body are in the rows: searches and orders by their names become conditions and columns.
 * A name that is not in the table is refused, and so is a value that its field cannot have, each at its place.
 *
 *   name      one of the gate's own names: the whole of it, letter for letter
 *   words     free text: a part of it, whatever the case; with `*` how it begins
 *   number, time, flag, choice, constant
 */
import { CONNECTION_COLUMNS } from '../store/connection-search.ts';
import type {
  Condition,
  ConnectionColumn,
  SearchColumn,
  SearchOrder,
} from '../store/connection-search.ts';
import { uuidOfShortId } from '../base/ids.ts';
import { kindOfType } from './channel-types.ts';
import { InvalidQuery } from './search-query.ts';
import type { QueryNode, QueryRange, QueryTerm } from './search-query.ts';
import { timeSpan } from './search-time.ts';
import type { TimeSpan } from './search-time.ts';
import { sessionIdOf, shortIdIn } from './session-id.ts';

/** What is the same for all sessions of a gate. */
export interface SearchContext {
  readonly nodeId: string;
}

type Field =
  | { readonly type: 'name' | 'words' | 'number' | 'time'; readonly column: SearchColumn }
  | { readonly type: 'channel-type'; readonly column: SearchColumn }
  | { readonly type: 'flag'; readonly when: Condition }
  | { readonly type: 'choice'; readonly values: Readonly<Record<string, Condition>> }
  | { readonly type: 'constant'; readonly value: (context: SearchContext) => string }
  | { readonly type: 'session-id' };

const whole = (column: SearchColumn, text: string): Condition => ({
  kind: 'text',
  column,
  match: 'whole',
  text,
});
const not = (of: Condition): Condition => ({ kind: 'not', of });
const constant = (value: boolean): Condition => ({ kind: 'constant', value });

const name = (column: SearchColumn): Field => ({ type: 'name', column });
const words = (column: SearchColumn): Field => ({ type: 'words', column });
const number = (column: SearchColumn): Field => ({ type: 'number', column });
const time = (column: SearchColumn): Field => ({ type: 'time', column });
const flag = (when: Condition): Field => ({ type: 'flag', when });
const always = (value: string): Field => ({ type: 'constant', value: () => value });

const RUNS = whole('status', 'CONNECTED');
/** It has ended without having been let to a target; `verdictOf` of the body says the same. */
const REJECTED: Condition = {
  kind: 'and',
  of: [whole('kind', 'target'), { kind: 'absent', column: 'target' }, not(RUNS)],
};

const FIELDS: ReadonlyMap<string, Field> = new Map([
  ['active', flag(RUNS)],
  ['protocol', always('SSH')],
  ['creation_time', time('startedAt')],
  ['start_time', time('startedAt')],
  ['end_time', time('endedAt')],
  ['duration', number('seconds')],
  ['client.ip', name('sourceAddress')],
  ['client.name', name('sourceAddress')],
  ['client.port', number('sourcePort')],
  ['server.ip', name('address')],
  ['server.name', name('target')],
  ['server.port', number('port')],
  ['user.name', name('user')],
  ['user.gateway_username', name('user')],
  ['user.server_username', name('account')],
  ['verdict', { type: 'choice', values: { ACCEPT: not(REJECTED), REJECT: REJECTED } }],
  ['node_id', { type: 'constant', value: ({ nodeId }: SearchContext) => nodeId }],
  ['origin', always('RECORDING')],
  ['phantom', flag(constant(false))],
  ['hidden', flag(constant(false))],
  ['recording.session_id', { type: 'session-id' }],
  ['recording.archived', flag(constant(false))],
  ['recording.auth_method', name('authMethod')],
  ['recording.channel_policy', name('rule')],
  ['recording.command_extracted', flag(constant(false))],
  ['recording.connection_policy', name('rule')],
  ['recording.has_accepted_channel', flag({ kind: 'between', column: 'accepted', from: 1 })],
  [
    'recording.index_status',
    { type: 'choice', values: { CHANNEL_OPEN: RUNS, NOT_INDEXED: not(RUNS) } },
  ],
  ['recording.target.ip', name('address')],
  ['recording.target.name', name('target')],
  ['recording.target.port', number('port')],
  ['gate.id', name('id')],
  ['gate.kind', name('kind')],
  ['gate.parent', name('parentId')],
  ['gate.instance', name('instance')],
  ['gate.status', name('status')],
  ['gate.reason', words('reason')],
  ['gate.login_name', name('loginName')],
  ['gate.client_version', words('clientVersion')],
  ['gate.key_fingerprint', name('keyFingerprint')],
  ['gate.algorithms.downstream', words('downstreamAlgorithms')],
  ['gate.algorithms.upstream', words('upstreamAlgorithms')],
  ['gate.bytes_in', number('bytesIn')],
  ['gate.bytes_out', number('bytesOut')],
  ['channels.type', { type: 'channel-type', column: 'channelKind' }],
  ['channels.command', words('command')],
  ['channels.destination', words('destination')],
  ['channels.originator', words('originator')],
  ['channels.protocol', name('protocol')],
  ['channels.result', words('result')],
] satisfies [string, Field][]);

/** What may be searched; `sortable` ones may be sorted by. */
export function searchFields(): { readonly name: string; readonly sortable: boolean }[] {
  return [...FIELDS].map(([field, what]) => ({
    name: field,
    sortable: columnOf(what) !== undefined,
  }));
}

/** The condition that an expression says. */
export function conditionOf(node: QueryNode, context: SearchContext): Condition {
  switch (node.kind) {
    case 'and':
    case 'or':
      return { kind: node.kind, of: node.of.map((one) => conditionOf(one, context)) };
    case 'not':
      return not(conditionOf(node.of, context));
    case 'term':
      return termOf(node, context);
    case 'range':
      return rangeOf(node);
  }
}

function fieldOf({ field, at }: { readonly field: string; readonly at: number }): Field {
  const known = FIELDS.get(field);
  if (known) return known;
  throw new InvalidQuery(`there is no field ${field} to search by`, at);
}

function termOf(term: QueryTerm, context: SearchContext): Condition {
  const { field, value, prefix, at } = term;
  if (field === null) return { kind: 'anywhere', match: prefix ? 'begin' : 'part', text: value };
  const what = fieldOf({ field, at });
  if (prefix && what.type !== 'name' && what.type !== 'words') {
    throw new InvalidQuery(`${field} takes whole values alone`, at);
  }
  switch (what.type) {
    case 'name':
    case 'words': {
      const part = what.type === 'words' && value !== '' ? 'part' : 'whole';
      return { kind: 'text', column: what.column, match: prefix ? 'begin' : part, text: value };
    }
    case 'channel-type':
      return whole(what.column, kindOfType(value));
    case 'number':
      return { kind: 'between', column: what.column, ...equal(numberIn(field, value, at)) };
    case 'time': {
      const { from, until } = timeIn(field, value, at);
      return { kind: 'between', column: what.column, from, below: until };
    }
    case 'flag':
      return oneOfThem({ true: what.when, false: not(what.when) }, term);
    case 'choice':
      return oneOfThem(what.values, term);
    case 'constant':
      return constant(what.value(context).toUpperCase() === value.toUpperCase());
    case 'session-id':
      return sessionCondition(value);
  }
}

function equal(value: number): { readonly from: number; readonly to: number } {
  return { from: value, to: value };
}

function oneOfThem(
  values: Readonly<Record<string, Condition>>,
  { field, value, at }: QueryTerm,
): Condition {
  const found = Object.entries(values).find(([key]) => key.toUpperCase() === value.toUpperCase());
  if (found) return found[1];
  throw new InvalidQuery(`${field ?? ''} is one of ${Object.keys(values).join(', ')}`, at);
}

/** Its middle names the connection; the rest has to be what belongs to that. */
function sessionCondition(value: string): Condition {
  const shortId = shortIdIn(value);
  const id = shortId === undefined ? undefined : uuidOfShortId(shortId);
  if (shortId === undefined || id === undefined) return constant(false);
  const named = value.slice(value.indexOf('/', 4) + 1, value.lastIndexOf(':'));
  // A session without a rule shows a dash, which a rule may be called too.
  const rules = [named, null].filter((rule) => sessionIdOf({ id, shortId, rule }) === value);
  const fitting = rules.map((rule): Condition =>
    rule === null ? { kind: 'absent', column: 'rule' } : whole('rule', rule),
  );
  return { kind: 'and', of: [whole('id', id), { kind: 'or', of: fitting }] };
}

function rangeOf({ field, from, to, withFrom, withTo, at }: QueryRange): Condition {
  const what = fieldOf({ field, at });
  switch (what.type) {
    case 'name': {
      const low = from === null ? {} : { [withFrom ? 'from' : 'above']: from };
      const high = to === null ? {} : { [withTo ? 'to' : 'below']: to };
      return { kind: 'between', column: what.column, ...low, ...high };
    }
    case 'number': {
      const low = from === null ? {} : { [withFrom ? 'from' : 'above']: numberIn(field, from, at) };
      const high = to === null ? {} : { [withTo ? 'to' : 'below']: numberIn(field, to, at) };
      return { kind: 'between', column: what.column, ...low, ...high };
    }
    case 'time': {
      const low = from === null ? undefined : timeIn(field, from, at);
      const high = to === null ? undefined : timeIn(field, to, at);
      return {
        kind: 'between',
        column: what.column,
        ...(low && { from: withFrom ? low.from : low.until }),
        ...(high && { below: withTo ? high.until : high.from }),
      };
    }
    case 'words':
    case 'channel-type':
    case 'flag':
    case 'choice':
    case 'constant':
    case 'session-id':
      throw new InvalidQuery(`${field} has no order and takes no range`, at);
  }
}

function numberIn(field: string, value: string, at: number): number {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new InvalidQuery(`${field} is a whole number`, at);
}

function timeIn(field: string, value: string, at: number): TimeSpan {
  const span = timeSpan(value);
  if (span) return span;
  throw new InvalidQuery(`${field} is a time such as 2027-01-25T10:00`, at);
}

/** What `start` and `end` say: begun then or later, ended by then; one that runs ends now. */
export function boundsOf(bounds: {
  readonly start?: string | undefined;
  readonly end?: string | undefined;
}): Condition[] {
  const { start = '', end = '' } = bounds;
  const all: Condition[] = [];
  if (start !== '') {
    all.push({ kind: 'between', column: 'startedAt', from: boundIn('start', start).from });
  }
  if (end !== '') {
    all.push({ kind: 'between', column: 'lastAt', below: boundIn('end', end).until });
  }
  return all;
}

function boundIn(parameter: 'start' | 'end', text: string): TimeSpan {
  const span = timeSpan(text);
  if (span) return span;
  throw new InvalidQuery('a time such as 2027-01-25T10:00', 0, parameter);
}

const MAX_ORDERS = 8;

function columnOf(field: Field): ConnectionColumn | undefined {
  if (field.type === 'session-id') return 'shortId';
  if (!('column' in field)) return undefined;
  return isOfConnection(field.column) ? field.column : undefined;
}

function isOfConnection(column: SearchColumn): column is ConnectionColumn {
  return column in CONNECTION_COLUMNS;
}

/** The order that `sort` says: names of fields, with `-` from the highest down. */
export function orderOf(sort: string): SearchOrder[] {
  if (sort === '') return [];
  const keys = sort.split(',');
  if (keys.length > MAX_ORDERS) throw new InvalidQuery(`more than ${MAX_ORDERS} fields`, 0, 'sort');
  let at = 0;
  return keys.map((key) => {
    const place = at;
    at += key.length + 1;
    const descending = key.startsWith('-');
    const field = FIELDS.get(descending ? key.slice(1) : key);
    const column = field && columnOf(field);
    if (column === undefined) {
      throw new InvalidQuery('not a field that sessions are sorted by', place, 'sort');
    }
    return { column, descending };
  });
}
