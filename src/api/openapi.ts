/**
 * The OpenAPI 3.1 document of the API, from the table of routes: what is declared there is what is documented. It is
 * made once, when somebody asks for it first.
 */
import { VERSION } from '../base/version.ts';
import { z } from '../config/schema.ts';
import { API_ERRORS } from './errors.ts';
import type { ApiErrorType } from './errors.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';

/** Errors that a route may answer with, beside its own: what is wrong with a request before it gets there. */
function commonErrors({ access, method, body, path }: Route): ApiErrorType[] {
  const errors: ApiErrorType[] = [
    'InvalidQuery',
    'SyntacticError',
    // Of a right that is missing, and of what another site's page sends, whatever it asks for.
    'Unauthorized',
    'TooLarge',
    'InternalError',
  ];
  if (access !== 'open') errors.push('Unauthenticated');
  if (path.includes(':')) errors.push('NotFound');
  if (body) errors.push('SemanticError');
  if (method === 'POST' || method === 'PUT') errors.push('LengthRequired');
  return errors;
}

function schemaOf(shape: z.ZodType, io: 'input' | 'output'): object {
  const schema: Record<string, unknown> = z.toJSONSchema(shape, { io, unrepresentable: 'any' });
  // The document says once which dialect of JSON Schema it speaks.
  delete schema['$schema'];
  return schema;
}

function parametersOf({ path, query }: Route): object[] {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    properties?: Record<string, object>;
    required?: string[];
  };
  const inQuery = Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = schema as { description?: string };
    return {
      name,
      in: 'query',
      required: required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
  return [...inPath, ...inQuery];
}

function responsesOf(one: Route): object {
  const responses: Record<string, object> = {};
  const content = one.reply
    ? { 'application/json': { schema: schemaOf(one.reply, 'output') } }
    : { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
  responses[String(one.status)] = { description: one.summary, content };
  const types = new Set([...commonErrors(one), ...one.errors]);
  for (const [status, some] of Map.groupBy(types, (type) => API_ERRORS[type])) {
    responses[String(status)] = {
      description: some.join(', '),
      content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
    };
  }
  return responses;
}

function operationOf(one: Route): object {
  const { access, summary, body, path, method } = one;
  const name = path.replace(/[^A-Za-z]+(\w)?/g, (_, letter: string | undefined) =>
    (letter ?? '').toUpperCase(),
  );
  const needs =
    access === 'open'
      ? 'Needs no login.'
      : access === 'login'
        ? 'Needs a login.'
        : `Needs ${access.permission} on ${access.object}.`;
  return {
    operationId: `${method.toLowerCase()}${name}`,
    summary,
    description: needs,
    tags: [path.split('/')[2] ?? 'api'],
    parameters: parametersOf(one),
    ...(body
      ? {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(body, 'input') } },
          },
        }
      : {}),
    responses: responsesOf(one),
    security: access === 'open' ? [] : [{ session: [] }],
  };
}

const errorShape = z.strictObject({
  error: z.strictObject({
    type: z.enum(Object.keys(API_ERRORS) as [ApiErrorType, ...ApiErrorType[]]),
    message: z.string(),
    details: z.looseObject({ resource: z.string() }),
  }),
  meta: z.strictObject({ href: z.string(), parent: z.string().nullable() }),
});

/** The document of these routes. */
export function openApiOf(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const one of routes) {
    const path = one.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: operationOf(one) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sallyport',
      version: VERSION,
      description: 'Sessions, transactions, users, groups and ACLs of a recording gateway for SSH.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: { Error: schemaOf(errorShape, 'output') },
      securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: 'session_id' } },
    },
  };
}

/** The route that gives the document. */
export function openApiRoute(routes: readonly Route[]): Route {
  let document: object | undefined;
  const own: Route = route({
    method: 'GET',
    path: '/openapi.json',
    summary: 'This document',
    access: 'open',
    reply: z.looseObject({ openapi: z.string() }),
    handle: () => (document ??= openApiOf([...routes, own])),
  });
  return own;
}
