/**
 * What was recorded of a session, to be taken away: its containers, alone or all in one archive, exports of a channel,
 * and the files that crossed, whole or a range. It is read by a thread of its own and streamed; who took what stands in
 * the audit log, before the first byte of it leaves.
 */
import type { Log } from '../ops/log.ts';
import { EXPORT_FORMATS } from '../recording/export.ts';
import type { AskedRange, Wanted } from '../recording/download-messages.ts';
import type { Downloads } from '../recording/downloads.ts';
import type { Storage } from '../recording/storage.ts';
import { connection } from '../store/connections.ts';
import type { ConnectionRow } from '../store/connections.ts';
import type { Database } from '../store/database.ts';
import { fileJson, files } from '../store/files.ts';
import type { FileRow } from '../store/files.ts';
import { z } from '../config/schema.ts';
import { ApiError } from './errors.ts';
import { metaOf, metaShape } from './meta.ts';
import { Download, route } from './route.ts';
import { SESSIONS_PATH } from './session-body.ts';
import type { Call, Route } from './route.ts';

const ONE = `${SESSIONS_PATH}/:key`;

export interface SessionTrailsOptions {
  readonly db: Database;
  readonly storage: Storage;
  readonly downloads: Downloads;
  readonly log: Log;
  /** Whether a connection runs in this gate now. */
  readonly isLive: (connection: string) => boolean;
}

const access = { object: '/special/searchmenu', permission: 'read' } as const;

/** The row of a session by the key in the path. */
export async function sessionOf(db: Database, key: string | undefined): Promise<ConnectionRow> {
  const row = /^[0-9A-Za-z]{22}$/.test(key ?? '') ? await connection(db, key ?? '') : undefined;
  if (row) return row;
  throw new ApiError('NotFound', 'There is no such session.');
}

const trailQuery = z.strictObject({
  channel: z
    .string()
    .regex(/^(connection|\d{1,9})$/, 'connection, or the number of a channel')
    .optional()
    .describe('One container; without it an archive of all'),
  format: z
    .string()
    .optional()
    .describe(`${EXPORT_FORMATS.join(', ')}; without it the container as it is`),
});

const fileShape = z.looseObject({ path: z.string(), direction: z.string(), whole: z.boolean() });
const filesReply = z.strictObject({
  items: z.array(
    z.strictObject({ key: z.string(), meta: z.looseObject({ href: z.string() }), body: fileShape }),
  ),
  meta: metaShape,
});

const errors = ['NotFound', 'ServiceUnavailable'] as const;

export function sessionTrailsRoutes(options: SessionTrailsOptions): Route[] {
  const { db } = options;
  return [
    route({
      method: 'GET',
      path: `${ONE}/audit_trail`,
      summary:
        'What was recorded: all containers as a tar archive, one of them, or an export of one',
      access,
      query: trailQuery,
      errors,
      handle: (call) => trail(options, call),
    }),
    route({
      method: 'GET',
      path: `${ONE}/files`,
      summary: 'Lists the files that crossed',
      access,
      reply: filesReply,
      errors: ['NotFound'],
      handle: async ({ params, path }) => {
        const row = await sessionOf(db, params['key']);
        const items = (await files(db, { connection: row.id })).map((file) => ({
          key: file.id,
          meta: { href: `${path}/${file.id}` },
          body: fileBody(file, path),
        }));
        return { items, meta: metaOf(path) };
      },
    }),
    route({
      method: 'GET',
      path: `${ONE}/files/:file`,
      summary: 'Shows a file that crossed',
      access,
      reply: z.strictObject({ body: fileShape, key: z.string(), meta: metaShape }),
      errors: ['NotFound'],
      handle: async ({ params, path }) => {
        const row = await sessionOf(db, params['key']);
        const file = await fileOf(db, row, params['file']);
        const all = path.slice(0, path.lastIndexOf('/'));
        return { body: fileBody(file, all), key: file.id, meta: metaOf(path) };
      },
    }),
    route({
      method: 'GET',
      path: `${ONE}/files/:file/content`,
      summary: 'The content of a file that crossed; takes Range',
      access,
      query: z.strictObject({
        holes: z.literal('zero').optional().describe('Zeros where nothing crossed'),
      }),
      errors: [...errors, 'RangeNotSatisfiable'],
      handle: (call) => content(options, call),
    }),
  ];
}

async function trail(
  { db, storage, downloads, log, isLive }: SessionTrailsOptions,
  { params, query, caller, source }: Call<z.output<typeof trailQuery>, unknown>,
): Promise<Download> {
  const row = await sessionOf(db, params['key']);
  const { channel, format } = query;
  if (format !== undefined && !(EXPORT_FORMATS as readonly string[]).includes(format)) {
    throw new ApiError('InvalidQuery', `format: one of ${EXPORT_FORMATS.join(', ')}`);
  }
  if (format !== undefined && channel === undefined) {
    throw new ApiError('InvalidQuery', 'channel: say which one to export');
  }
  const live = isLive(row.id);
  const pathOf = (name: string): string =>
    name === 'connection'
      ? storage.connectionPath(row.id)
      : storage.channelPath(row.id, Number(name));
  const name = channel === undefined ? row.shortId : `${row.shortId}-${channel}`;
  let wanted: Wanted;
  if (channel === undefined) {
    const all = ['connection', ...(await storage.channels(row.id)).map(String)];
    const places = all.map((one) => ({
      path: pathOf(one),
      name: `${row.shortId}/${one}.trail`,
      live,
    }));
    wanted = { what: 'archive', places };
  } else if (format === undefined) {
    wanted = { what: 'container', place: { path: pathOf(channel), name, live } };
  } else {
    wanted = { what: 'export', path: pathOf(channel), format };
  }
  const { stream, size } = await downloads.open(wanted);
  log.audit(
    { event: 'trail-read', connection: row.id, channel, format, by: caller?.userName, source },
    'a trail was read over the API',
  );
  const ending =
    format === undefined ? (channel === undefined ? 'tar' : 'trail') : endingOf(format);
  return new Download({
    stream,
    type: typeOf(ending),
    name: `${name}.${ending}`,
    headers: size === undefined ? {} : { 'Content-Length': String(size) },
  });
}

function endingOf(format: string): string {
  if (format === 'text' || format === 'hex') return 'txt';
  return format.startsWith('raw-') ? `${format.slice(4)}.bin` : format;
}

const TYPES: Readonly<Record<string, string>> = {
  tar: 'application/x-tar',
  txt: 'text/plain; charset=utf-8',
  jsonl: 'application/jsonl',
  cast: 'application/x-asciicast',
};

function typeOf(ending: string): string {
  return TYPES[ending] ?? 'application/octet-stream';
}

function fileBody(file: FileRow, collection: string): object {
  const { id, ...rest } = fileJson(file);
  return { ...rest, content: { href: `${collection}/${id}/content` } };
}

async function fileOf(db: Database, row: ConnectionRow, id: string | undefined): Promise<FileRow> {
  const [file] = id === undefined ? [] : await files(db, { connection: row.id, id, limit: 1 });
  if (file !== undefined && file.direction !== '') return file;
  throw new ApiError('NotFound', 'There is no such file in this session.');
}

async function content(
  { db, storage, downloads, log, isLive }: SessionTrailsOptions,
  { params, query, caller, source, headers }: Call<{ holes?: 'zero' | undefined }, unknown>,
): Promise<Download> {
  const row = await sessionOf(db, params['key']);
  const file = await fileOf(db, row, params['file']);
  const { channel } = file;
  const place = { path: storage.channelPath(row.id, channel), connection: row.id, channel };
  const etag = file.sha256 === null ? undefined : `"${file.sha256}"`;
  const isSame = headers['if-range'] === undefined || headers['if-range'] === etag;
  const { stream, size, range } = await downloads.open({
    what: 'file',
    ...place,
    live: isLive(row.id),
    file: file.id,
    holes: query.holes === 'zero',
    range: isSame ? rangeOf(headers['range']) : undefined,
  });
  const whole = size ?? 0;
  if (range && range.from === range.to) {
    stream.destroy();
    throw new ApiError('RangeNotSatisfiable', `The file has ${whole} bytes.`, { size: whole });
  }
  log.audit(
    { event: 'file-read', connection: row.id, file: file.id, by: caller?.userName, source },
    'a file was read over the API',
  );
  const common = { 'Accept-Ranges': 'bytes', ...(etag === undefined ? {} : { ETag: etag }) };
  // Never shown by a browser, whatever it is called: it is a stranger's.
  const type = 'application/octet-stream';
  const name = file.path.slice(file.path.lastIndexOf('/') + 1) || 'file';
  if (range === undefined) {
    const length = { 'Content-Length': String(whole) };
    return new Download({ stream, type, name, headers: { ...common, ...length } });
  }
  const { from, to } = range;
  return new Download({
    stream,
    type,
    name,
    status: 206,
    headers: {
      ...common,
      'Content-Length': String(to - from),
      'Content-Range': `bytes ${from}-${to - 1}/${whole}`,
    },
  });
}

/** One range of bytes (RFC 9110 section 14.1.2); undefined for anything else, which is then the whole. */
function rangeOf(header: string | undefined): AskedRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '') return last === '' ? undefined : { suffix: Number(last) };
  if (last === '') return { first: Number(first), last: undefined };
  return Number(last) < Number(first) ? undefined : { first: Number(first), last: Number(last) };
}
