/**
 * The HTTP application: Koa, its router and its sessions around the table of routes. In order: what every answer carries,
 * errors to answers, the one form of a path, who is asking, whether a browser sent it from elsewhere, then the route:
 * may he, is it as declared, do it. One line in the log for each request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import Router from '@koa/router';
import Koa from 'koa';
import session from 'koa-session';
import { AppError } from '../base/errors.ts';
import type { z } from '../config/schema.ts';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import { challengeFor } from './authentication.ts';
import { readBody } from './body.ts';
import { ApiError, apiErrorOf } from './errors.ts';
import { metaOf } from './meta.ts';
import { ADMIN, isGranted } from './permissions.ts';
import type { Grant } from './permissions.ts';
import { Download } from './route.ts';
import type { Caller, LoginHandle, Route } from './route.ts';
import type { LoginSessions, SessionData } from './login-sessions.ts';
import { digestOf, IDLE_MS } from './login-sessions.ts';

export interface AppOptions {
  readonly routes: readonly Route[];
  readonly sessions: LoginSessions;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Makes what a session of this user begins with; undefined if he may not log in any more. */
  readonly enter: (userName: string) => SessionData | undefined;
  /** The user whom an Authorization header proves; rejects if it proves none. */
  readonly userByBasic: (header: string, source: string) => Promise<string>;
  /** A session ended by itself or by its owner. */
  readonly onSessionEnd: (session: string) => void;
  /** What the caller's grants are worth now; they may have been taken back since his login. */
  readonly grantsNow: (userName: string, atLogin: readonly Grant[]) => readonly Grant[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const COOKIE = 'session_id';
const NO_SIDE_EFFECT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
const MAX_QUERY = 16 * 1024;
const MAX_PARAMETERS = 64;

/** Makes the handler of requests for a server of `node:https`. */
export function makeApp(
  options: AppOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  const { sessions, log, metrics } = options;
  const app = new Koa();
  app.on('error', (error: unknown) => {
    // What breaks behind the answer's beginning: a client that left, a file that cannot be read further.
    log.debug({ event: 'http-aborted', reason: String(error) }, 'an answer was not finished');
  });
  app.use(logged(log, metrics));
  app.use(answersErrors(log));
  app.use(onePath);
  app.use(
    session(
      {
        key: COOKIE,
        maxAge: IDLE_MS,
        rolling: true,
        // 160 random bits need no signature, and some clients keep the first cookie alone.
        signed: false,
        secure: true,
        httpOnly: true,
        sameSite: 'strict',
        store: {
          get: (key) => sessions.get(key),
          set: (key, value) => sessions.set(key, value),
          destroy: async (key) => {
            options.onSessionEnd(digestOf(key));
            await sessions.destroy(key);
          },
        },
        genid: sessions.genid,
      },
      app,
    ),
  );
  app.use(sameOrigin);
  const router = new Router<object, State>({ strict: true, sensitive: true });
  for (const one of options.routes) {
    router.register(one.path, [one.method], async (context) => serve(options, one, context));
  }
  app.use(router.routes());
  app.use(async (context) => nothingThere(options, router, context));
  const handle = app.callback();
  return (request, response) => void handle(request, response);
}

interface State {
  caller?: Caller;
}

type Context = Koa.ParameterizedContext<State>;
type Next = () => Promise<unknown>;

function logged(log: Log, metrics: Metrics) {
  return async (context: Context, next: Next): Promise<void> => {
    const started = performance.now();
    await next();
    const ms = Math.round((performance.now() - started) * 10) / 10;
    const { method, path, status } = context;
    metrics.request(method, status);
    const user = context.state.caller?.userName;
    const source = context.req.socket.remoteAddress;
    log.info({ event: 'http', method, path, status, ms, user, source }, 'request');
  };
}

function answersErrors(log: Log) {
  return async (context: Context, next: Next): Promise<void> => {
    context.set({
      'Cache-Control': 'no-store',
      'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Referrer-Policy': 'no-referrer',
      'Strict-Transport-Security': 'max-age=31536000',
      'X-Content-Type-Options': 'nosniff',
    });
    try {
      await next();
    } catch (error) {
      const told = apiErrorOf(error);
      if (told.status >= 500) {
        log.error({ event: 'http-failed', path: context.path, err: error }, 'a request failed');
      }
      const { type, message, details } = told;
      context.status = told.status;
      if (told.status === 413) context.set('Connection', 'close');
      const challenge = challengeFor(context.path, told.status);
      if (challenge !== undefined) context.set('WWW-Authenticate', challenge);
      const where = { resource: context.path, ...details };
      context.body = { error: { type, message, details: where }, meta: metaOf(context.path) };
    }
    properCookies(context);
  };
}

/** Attribute names as RFC 6265 writes them, which one client of the contract compares. */
function properCookies(context: Context): void {
  const cookies = context.response.get('set-cookie') as unknown as string[] | string | undefined;
  if (cookies === undefined || cookies.length === 0) return;
  const all = Array.isArray(cookies) ? cookies : [cookies];
  const names = { path: 'Path', secure: 'Secure', httponly: 'HttpOnly', samesite: 'SameSite' };
  context.set(
    'Set-Cookie',
    all.map((cookie) =>
      cookie
        .split('; ')
        .map((part, at) => {
          const [name = '', ...value] = part.split('=');
          const proper = at > 0 ? names[name as keyof typeof names] : undefined;
          return proper === undefined
            ? part
            : [proper, ...value.map((text) => (text === 'strict' ? 'Strict' : text))].join('=');
        })
        .join('; '),
    ),
  );
}

/** `/api//x/` is `/api/x`: clients of the contract send either. */
async function onePath(context: Context, next: Next): Promise<void> {
  if (context.querystring.length > MAX_QUERY) {
    throw new ApiError('InvalidQuery', `The query is longer than ${MAX_QUERY} characters.`);
  }
  context.path = context.path.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
  const { 'content-length': length, 'transfer-encoding': coding } = context.req.headers;
  const { method } = context;
  if ((method === 'POST' || method === 'PUT') && length === undefined && coding === undefined) {
    throw new ApiError('LengthRequired', 'Send Content-Length, 0 for an empty body.');
  }
  await next();
}

/**
 * A change that another site's page asks for is refused, whatever cookie comes with it. So is a login: a link with a
 * password in it would make the visitor work under a name that is not his.
 */
async function sameOrigin(context: Context, next: Next): Promise<void> {
  const isLogin = context.req.headers.authorization !== undefined;
  if (isLogin || !NO_SIDE_EFFECT.has(context.method)) {
    const { origin, host, 'sec-fetch-site': site } = context.req.headers;
    const isForeign =
      (origin !== undefined && origin !== `https://${host ?? ''}`) ||
      (site !== undefined && site !== 'same-origin' && site !== 'none');
    if (isForeign) {
      throw new ApiError('Unauthorized', 'A page of another site may not ask for changes.');
    }
  }
  await next();
}

/** The path of a request that no route takes, or not with this method. */
async function nothingThere(
  options: AppOptions,
  router: Router<object, State>,
  context: Context,
): Promise<void> {
  await Promise.resolve();
  const layers = router.match(context.path, context.method).path;
  if (layers.length === 0 || !context.path.startsWith('/api')) {
    if (callerOf(options, context) === undefined && context.path.startsWith('/api/')) {
      throw unauthenticated();
    }
    throw new ApiError('NotFound', 'There is nothing here.');
  }
  const methods = [...new Set(layers.flatMap((layer) => layer.methods))].sort();
  context.set('Allow', methods.join(', '));
  throw new ApiError('MethodNotAllowed', `${context.path} takes ${methods.join(', ')}.`);
}

function unauthenticated(): ApiError {
  return new ApiError('Unauthenticated', 'Log in first: GET /api/authentication.');
}

function sessionOf(context: Context): (SessionData & { _expire?: number }) | undefined {
  const data = context.session as unknown as (Partial<SessionData> & { isNew: boolean }) | null;
  return data === null || data.isNew ? undefined : (data as SessionData);
}

/** Who is asking. koa-session has seen to it that his session is alive. */
function callerOf(options: AppOptions, context: Context): Caller | undefined {
  const data = sessionOf(context);
  const cookie = context.cookies.get(COOKIE, { signed: false });
  if (data === undefined || cookie === undefined) return undefined;
  return callerFrom(options, context, data, digestOf(cookie));
}

/** What a user may who asks by HTTP Basic, for this request alone: no session comes of it. */
async function dataByBasic(
  options: AppOptions,
  context: Context,
): Promise<SessionData | undefined> {
  const { headers, socket } = context.req;
  if (headers.authorization === undefined) return undefined;
  const user = await options.userByBasic(headers.authorization, socket.remoteAddress ?? '');
  return options.enter(user);
}

function callerFrom(
  options: AppOptions,
  context: Context,
  data: SessionData,
  session: string,
): Caller {
  const caller: Caller = {
    userId: data.userId,
    userName: data.userName,
    session,
    mayChange:
      data.userName === ADMIN ||
      options
        .grantsNow(data.userName, data.grants)
        .some(({ permission }) => permission === 'write'),
    expiresMs: options.now() + IDLE_MS,
  };
  context.state.caller = caller;
  return caller;
}

async function serve(options: AppOptions, one: Route, context: Context): Promise<void> {
  let caller = callerOf(options, context);
  let data: SessionData | undefined = sessionOf(context);
  if (!caller && one.takesBasic) {
    data = await dataByBasic(options, context);
    if (data) caller = callerFrom(options, context, data, '');
  }
  const { access, path: pattern } = one;
  if (access !== 'open' && caller === undefined) throw unauthenticated();
  if (typeof access === 'object' && caller !== undefined && caller.userName !== ADMIN) {
    const atLogin = data?.grants ?? [];
    const grants = options.grantsNow(caller.userName, atLogin);
    if (!isGranted(grants, access.object, context.path, access.permission)) {
      const text = `You may not ${access.permission === 'read' ? 'see' : 'change'} this: it needs ${access.permission} on ${access.object}.`;
      throw new ApiError('Unauthorized', text);
    }
  }
  const sent = await readBody(context.req);
  if (one.body === undefined && sent !== undefined && !isEmpty(sent)) {
    throw new ApiError('SyntacticError', `${one.method} ${pattern} takes no body.`);
  }
  const call = {
    caller,
    params: context['params'] as Record<string, string>,
    query: checked(one.query, queryOf(context), 'InvalidQuery'),
    body: one.body === undefined ? undefined : checked(one.body, sent ?? {}, 'SemanticError'),
    path: context.path,
    source: context.req.socket.remoteAddress ?? '',
    headers: context.req.headers as Record<string, string | undefined>,
    login: loginOf(options, context),
  };
  const reply = await one.handle(call);
  if (reply instanceof Download) {
    sendDownload(context, reply);
    return;
  }
  context.status = one.status;
  context.body = reply;
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** The parameters, each once; one that is sent twice is no list here. */
function queryOf(context: Context): Record<string, string> {
  const query = Object.create(null) as Record<string, string>;
  let count = 0;
  for (const [name, value] of new URLSearchParams(context.querystring)) {
    if (++count > MAX_PARAMETERS) throw new ApiError('InvalidQuery', 'Too many parameters.');
    if (name in query) throw new ApiError('InvalidQuery', `${name} is there twice.`, { name });
    query[name] = value;
  }
  return { ...query };
}

function checked(
  shape: z.ZodType,
  value: unknown,
  type: 'InvalidQuery' | 'SemanticError',
): unknown {
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const field = [...(issue?.path ?? []), ...(unknown === undefined ? [] : [unknown])].join('.');
  const why = unknown === undefined ? (issue?.message ?? '') : 'there is no such field';
  if (type === 'SemanticError' && field === '' && issue?.code === 'invalid_type') {
    throw new ApiError('SyntacticError', `The body is not what this takes: ${why}.`);
  }
  throw new ApiError(type, field === '' ? why : `${field}: ${why}`, field === '' ? {} : { field });
}

/** A session of koa-session as it is, and not as its types say. */
interface OwnSession {
  regenerate(): Promise<void>;
}

function loginOf(options: AppOptions, context: Context): LoginHandle {
  return {
    begin: async (userName) => {
      const data = options.enter(userName);
      if (!data) throw new ApiError('AuthenticationFailure', 'The login failed.');
      const own = context.session as unknown as OwnSession | null;
      if (!own) throw new AppError('internal', 'there is no session to begin');
      Object.assign(own, data);
      // A new id, whatever cookie the client came with.
      await own.regenerate();
    },
    end: () => {
      context.session = null;
    },
  };
}

/** Sends bytes as they come. The name is a peer's: what is not plain ASCII goes percent-encoded (RFC 6266). */
function sendDownload(context: Context, download: Download): void {
  const { stream, type, name, headers, status } = download;
  context.status = status;
  context.set(headers);
  context.type = type;
  if (name !== '') {
    const plain = name.replace(/[^\w. -]/g, '_');
    const encoded = encodeURIComponent(name.toWellFormed()).replace(
      /['()*]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
    );
    context.set(
      'Content-Disposition',
      `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`,
    );
  }
  context.body = stream;
}
