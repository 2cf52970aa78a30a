/**
 * A route of the API is one value: method, path, who may use it, what it takes and gives, and its handler. From the
 * table of all of them come the router, validation, the permission matrix of the tests and the OpenAPI document.
 */
import type { Readable } from 'node:stream';
import { z } from '../config/schema.ts';
import type { ApiErrorType } from './errors.ts';
import type { Permission, SpecialObject } from './permissions.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** `open`: anybody; `login`: whoever is logged in; else an object and how it is used. */
export type Access =
  'open' | 'login' | { readonly object: SpecialObject; readonly permission: Permission };

/** Somebody who is logged in. */
export interface Caller {
  readonly userId: string;
  readonly userName: string;
  /** The name of his login session among the gate's; not the cookie, and worth nothing without it. */
  readonly session: string;
  /** Whether there is anything in the configuration that he may change. */
  readonly mayChange: boolean;
  /** Milliseconds since 1970: when the session ends unless it is used. */
  readonly expiresMs: number;
}

/** What a handler gets: only what the route declared, checked. */
export interface Call<Query, Body> {
  /** Undefined on open routes that were called without a login. */
  readonly caller: Caller | undefined;
  /** Parts of the path, by the names in it. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** The path that was asked for, in its one form. */
  readonly path: string;
  readonly source: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The login session of the request: begun, renewed and ended by the routes of login alone. */
  readonly login: LoginHandle;
}

/** How the routes of login begin and end the session of a request. */
export interface LoginHandle {
  /** Begins a session under a new id. */
  begin(userName: string): Promise<void>;
  end(): void;
}

/** An answer that is no JSON: its bytes as they come, and nothing of it in memory as a whole. */
export class Download {
  readonly stream: Readable;
  readonly type: string;
  /** For Content-Disposition; made safe there. Empty: shown, not saved. */
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: 200 | 206;

  constructor(options: {
    readonly stream: Readable;
    readonly type: string;
    readonly name?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly status?: 200 | 206;
  }) {
    this.stream = options.stream;
    this.type = options.type;
    this.name = options.name ?? '';
    this.headers = options.headers ?? {};
    this.status = options.status ?? 200;
  }
}

export interface Route {
  readonly method: Method;
  /** As the router wants it: `/api/configuration/aaa/local_database/users/:id`. */
  readonly path: string;
  /** One line for the document. */
  readonly summary: string;
  readonly access: Access;
  readonly query: z.ZodType;
  readonly body: z.ZodType | undefined;
  readonly reply: z.ZodType | undefined;
  readonly status: 200 | 201;
  readonly errors: readonly ApiErrorType[];
  /** Whether HTTP Basic is taken in place of a session, for one request and without beginning one. */
  readonly takesBasic: boolean;
  handle(call: Call<unknown, unknown>): Promise<unknown>;
}

export interface RouteSpec<Query extends z.ZodType, Body extends z.ZodType> {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  /** Parameters of the query; without it any parameter is refused. */
  readonly query?: Query;
  /** Without it a body is refused. */
  readonly body?: Body;
  /** Undefined for a `Download`. */
  readonly reply?: z.ZodType;
  readonly status?: 200 | 201;
  /** Beside those that every route may answer with. */
  readonly errors?: readonly ApiErrorType[];
  readonly takesBasic?: boolean;
  handle(call: Call<z.output<Query>, z.output<Body>>): unknown;
}

const NO_QUERY = z.strictObject({});

/** Declares a route. */
export function route<
  Query extends z.ZodType = typeof NO_QUERY,
  Body extends z.ZodType = z.ZodUndefined,
>(spec: RouteSpec<Query, Body>): Route {
  const { method, path, summary, access, query = NO_QUERY, body, reply } = spec;
  const { status = 200, errors = [], takesBasic = false } = spec;
  return {
    method,
    path,
    summary,
    access,
    query,
    body,
    reply,
    status,
    errors,
    takesBasic,
    // What it throws at once is a rejection too.
    handle: (call) =>
      new Promise((resolve) => {
        resolve(spec.handle(call as Call<z.output<Query>, z.output<Body>>));
      }),
  };
}
