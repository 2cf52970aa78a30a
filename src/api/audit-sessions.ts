/**
 * Recorded and running sessions (SPS contract, section 10): searched, listed in pages or as CSV, one by one with its
 * channels and events. All but the events comes from rows, which are an index of the recordings; events are read from the
 * trails, and who did so stands in the audit log.
 */
import { Readable } from 'node:stream';
import { z } from '../config/schema.ts';
import type { Log } from '../ops/log.ts';
import type { Storage } from '../recording/storage.ts';
import { searchConnections } from '../store/connection-search.ts';
import type { Condition } from '../store/connection-search.ts';
import type { ConnectionRow } from '../store/connections.ts';
import type { Database } from '../store/database.ts';
import { channelBody, channelShape } from './channel-body.ts';
import { csvLine } from './csv.ts';
import { ApiError } from './errors.ts';
import { metaOf, metaShape } from './meta.ts';
import { pageMeta, pageOf } from './page-links.ts';
import { Download, route } from './route.ts';
import type { Call, Route } from './route.ts';
import { boundsOf, conditionOf, orderOf } from './search-fields.ts';
import { parseQuery } from './search-query.ts';
import { SESSIONS_PATH, sessionBody, sessionShape } from './session-body.ts';
import type { SessionContext } from './session-body.ts';
import { eventShape, sessionEvents } from './session-events.ts';
import { chosenFields, leavesOf, pickFields, valueAt } from './session-fields.ts';
import { sessionOf } from './session-trails.ts';

export interface AuditSessionsOptions {
  readonly db: Database;
  readonly log: Log;
  readonly storage: Storage;
  /** What bodies are made with at this moment. */
  readonly context: () => SessionContext;
}

const access = { object: '/special/searchmenu', permission: 'read' } as const;
const ONE = `${SESSIONS_PATH}/:key`;

const text = z.string().max(4_096);
const searchQuery = z.strictObject({
  q: text.default('').describe('Which sessions: field:value, ranges, AND, OR, NOT, quotes, *'),
  content: text.default('').describe('Of the content; nothing is indexed yet'),
  start: text.default('').describe('Begun then or later: 2027-01-25T10:00'),
  end: text.default('').describe('Ended by then'),
  fields: text.default('').describe('Fields of the body, as protocol,client.ip'),
  limit: text.optional().describe('Sessions on a page, at most 500'),
  offset: text.optional().describe('The first of them; nothing is shown beyond 10000'),
  sort: text.default('').describe('Fields, - before one for descending; newest first unless said'),
  format: z.enum(['json', 'csv']).default('json'),
});
type SearchQuery = z.output<typeof searchQuery>;

const item = z.strictObject({
  key: z.string(),
  meta: z.looseObject({ href: z.string() }),
  body: z.looseObject({}).optional(),
});
const listReply = z.strictObject({ items: z.array(item), meta: metaShape });

export function auditSessionsRoutes(options: AuditSessionsOptions): Route[] {
  const { db, log, storage, context } = options;
  const list = (path: string, items: readonly object[], more: object = {}): object => ({
    items,
    meta: { ...metaOf(path), ...more },
  });
  const empty = (name: string, summary: string): Route =>
    route({
      method: 'GET',
      path: `${ONE}/${name}`,
      summary,
      access,
      reply: listReply,
      errors: ['NotFound'],
      handle: async ({ params, path }) => {
        await sessionOf(db, params['key']);
        return list(path, []);
      },
    });
  return [
    route({
      method: 'GET',
      path: '/api/audit',
      summary: 'What was recorded, and what was changed',
      access: 'login',
      reply: listReply,
      handle: ({ path }) =>
        list(
          path,
          ['changes', 'sessions'].map((key) => ({ key, meta: { href: `${path}/${key}` } })),
        ),
    }),
    route({
      method: 'GET',
      path: SESSIONS_PATH,
      summary: 'Searches the sessions, running ones among them',
      access,
      query: searchQuery,
      reply: listReply,
      handle: (call) => search(options, call),
    }),
    route({
      method: 'GET',
      path: ONE,
      summary: 'Shows a session',
      access,
      reply: z.strictObject({ body: sessionShape, key: z.string(), meta: metaShape }),
      errors: ['NotFound'],
      handle: async ({ params, path }) => {
        const row = await sessionOf(db, params['key']);
        return { body: sessionBody(row, context()), key: row.shortId, meta: metaOf(path) };
      },
    }),
    route({
      method: 'GET',
      path: `${ONE}/channels`,
      summary: 'Lists the channels of a session',
      access,
      reply: z.strictObject({
        items: z.array(item.extend({ body: channelShape })),
        meta: metaShape,
      }),
      errors: ['NotFound'],
      handle: async ({ params, path }) => {
        const row = await sessionOf(db, params['key']);
        const items = row.channels.map((channel) => ({
          key: String(channel.ordinal),
          meta: { href: `${path}/${channel.ordinal}` },
          body: channelBody(channel, context().now),
        }));
        return list(path, items);
      },
    }),
    route({
      method: 'GET',
      path: `${ONE}/channels/:channel`,
      summary: 'Shows a channel of a session',
      access,
      reply: z.strictObject({ body: channelShape, key: z.string(), meta: metaShape }),
      errors: ['NotFound'],
      handle: async ({ params, path }) => {
        const row = await sessionOf(db, params['key']);
        const found = row.channels.find(({ ordinal }) => String(ordinal) === params['channel']);
        if (!found) throw new ApiError('NotFound', 'There is no such channel in this session.');
        const key = String(found.ordinal);
        return { body: channelBody(found, context().now), key, meta: metaOf(path) };
      },
    }),
    route({
      method: 'GET',
      path: `${ONE}/events`,
      summary: 'Lists what happened in a session besides data, from its trails',
      access,
      reply: z.strictObject({
        items: z.array(item.extend({ body: eventShape })),
        meta: metaShape,
      }),
      errors: ['NotFound'],
      handle: async ({ params, path, caller, source }) => {
        const row = await sessionOf(db, params['key']);
        const by = caller?.userName;
        const read = { event: 'trail-read', connection: row.id, format: 'events', by, source };
        log.audit(read, 'a trail was read over the API');
        const { events, isComplete } = await sessionEvents(storage, row.id);
        const items = events.map(({ key, body }) => ({
          key,
          meta: { href: `${path}#${key}` },
          body,
        }));
        return list(path, items, { complete: isComplete });
      },
    }),
    empty('alerts', 'Lists the alerts of a session; this gate raises none'),
    empty('indexing', 'Lists what was indexed of a session; nothing is yet'),
    route({
      method: 'GET',
      path: `${ONE}/content`,
      summary: 'Searches the content of a session; nothing is indexed yet',
      access,
      query: z.strictObject({ q: text.default('') }),
      reply: listReply,
      errors: ['NotFound'],
      handle: async ({ params, path, query: { q } }) => {
        await sessionOf(db, params['key']);
        if (/(^|\s)\*/.test(q)) {
          throw new ApiError('InvalidQuery', 'q: a word does not begin with *', { field: 'q' });
        }
        return list(path, []);
      },
    }),
  ];
}

async function search(
  { db, context }: AuditSessionsOptions,
  { query, path }: Call<SearchQuery, unknown>,
): Promise<object> {
  const { q, content, start, end, sort, format } = query;
  const page = pageOf(query);
  const fields = chosenFields(query.fields);
  const now = context();
  const conditions: Condition[] = boundsOf({ start, end });
  if (q.trim() !== '') conditions.push(conditionOf(parseQuery(q), now));
  // No content is indexed, so no session has any that could be found.
  if (content !== '') conditions.push({ kind: 'constant', value: false });
  const { rows, matchCount } = await searchConnections(db, {
    where: { kind: 'and', of: conditions },
    order: orderOf(sort),
    limit: page.take,
    offset: page.offset,
    now: now.now,
  });
  if (format === 'csv') return csv(rows, fields, now);
  const rest = Object.entries({ q, content, start, end, sort }).filter(([, value]) => value !== '');
  return {
    items: rows.map((row) => ({
      key: row.shortId,
      meta: { href: `${path}/${row.shortId}` },
      ...(fields.length === 0 ? {} : { body: pickFields(sessionBody(row, now), fields) }),
    })),
    meta: pageMeta(path, page, { matchCount, fields }, rest),
  };
}

const PLAIN_FIELDS =
  'recording.session_id,active,start_time,end_time,duration,client.ip,user.name,server.name,user.server_username,verdict';

function csv(rows: readonly ConnectionRow[], fields: readonly string[], context: SessionContext) {
  const names = leavesOf(fields.length === 0 ? chosenFields(PLAIN_FIELDS) : fields);
  function* lines(): Generator<string> {
    yield csvLine(names);
    for (const row of rows) {
      const body = sessionBody(row, context);
      yield csvLine(names.map((name) => valueAt(body, name)));
    }
  }
  return new Download({
    stream: Readable.from(lines(), { objectMode: false }),
    type: 'text/csv; charset=utf-8',
    name: 'sessions.csv',
  });
}
