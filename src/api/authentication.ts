/**
 * Login and logout (SPS contract, section 2): HTTP Basic begins a session, whose cookie is all that later requests need.
 * A login is judged like one over SSH: the same check of the password, the same time for every failure, the same
 * penalties for a source that keeps failing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Authenticator } from '../access/authn.ts';
import type { Penalties } from '../access/penalties.ts';
import { AppError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { z } from '../config/schema.ts';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import { ApiError } from './errors.ts';
import { metaOf, metaShape } from './meta.ts';
import { route } from './route.ts';
import type { Call, Route } from './route.ts';

const PATH = '/api/authentication';
const REALM = 'Basic realm="Sallyport", charset="UTF-8"';

export interface AuthenticationOptions {
  readonly authenticator: Authenticator;
  readonly penalties: Penalties;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: () => number;
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Told to a client that has to send credentials: sets the header of the answer. */
  readonly idleMs: number;
}

const loginQuery = z.strictObject({
  login_method: z.string().max(255).optional(),
  type: z.string().max(255).optional(),
});
type LoginQuery = z.output<typeof loginQuery>;

/** The routes of login. */
export function authenticationRoutes(options: AuthenticationOptions): Route[] {
  return [
    route({
      method: 'GET',
      path: PATH,
      summary: 'Log in with HTTP Basic; the session_id cookie of the answer is the session',
      access: 'open',
      query: loginQuery,
      reply: z.strictObject({ meta: metaShape }),
      errors: ['AuthenticationFailure', 'TooManyRequests', 'ServiceUnavailable'],
      handle: (call) => login(options, call),
    }),
    route({
      method: 'DELETE',
      path: PATH,
      summary: 'Log out; a transaction that is open is dropped',
      access: 'login',
      reply: z.strictObject({ meta: metaShape }),
      handle: ({ caller, login: handle, source }) => {
        handle.end();
        const user = caller?.userName;
        options.log.audit({ event: 'api-logout', user, source }, 'logged out of the API');
        return { meta: metaOf(PATH) };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/login_methods`,
      summary: 'How to log in',
      access: 'open',
      reply: z.strictObject({
        login_methods: z.array(z.strictObject({ name: z.string(), type: z.string() })),
        meta: metaShape,
      }),
      handle: () => ({
        login_methods: [{ name: 'local', type: 'password' }],
        meta: metaOf(`${PATH}/login_methods`),
      }),
    }),
    route({
      method: 'GET',
      path: `${PATH}/types`,
      summary: 'How to log in, as versions up to 5 asked for it',
      access: 'open',
      reply: z.strictObject({ types: z.array(z.string()), meta: metaShape }),
      handle: () => ({ types: ['basic'], meta: metaOf(`${PATH}/types`) }),
    }),
  ];
}

async function login(
  options: AuthenticationOptions,
  { caller, headers, source, query, login: handle }: Call<LoginQuery, undefined>,
): Promise<object> {
  const { log, now, idleMs } = options;
  const reply = (ms: number): object => {
    const remaining = { remaining_seconds: Math.max(0, Math.floor(ms / 1000)) };
    return { meta: { ...metaOf(PATH), ...remaining } };
  };
  if (query.type === 'x509') {
    throw failure('Certificates of clients are not taken; log in with a password.');
  }
  if (query.login_method !== undefined && query.login_method !== 'local') {
    throw failure('There is no such login method; /api/authentication/login_methods lists them.');
  }
  if (caller && headers['authorization'] === undefined) return reply(caller.expiresMs - now());
  const userName = await userByBasic(options, headers['authorization'], source);
  await handle.begin(userName);
  log.audit({ event: 'api-login', user: userName, source }, 'logged in to the API');
  return reply(idleMs);
}

/** The user whose name and password an Authorization header holds; a failure costs what one over SSH does. */
export async function userByBasic(
  { authenticator, penalties, log, metrics, nowUs }: AuthenticationOptions,
  header: string | undefined,
  source: string,
): Promise<string> {
  const given = credentialsOf(header);
  if (!given) throw failure('Send a user name and password as HTTP Basic.');
  if (penalties.isPenalised(source)) {
    throw new ApiError('TooManyRequests', 'Too many failed logins from here; wait some minutes.');
  }
  const started = nowUs();
  let identity;
  try {
    identity = await authenticator.identityByPassword(given.user, given.password);
  } catch (error) {
    if (error instanceof AppError && error.code === 'busy') {
      throw new ApiError('ServiceUnavailable', 'Too many logins at once; try again in a moment.');
    }
    throw error;
  }
  if (!identity) {
    metrics.login('api', 'failed');
    penalties.penalise(source, 'authfail');
    log.audit({ event: 'api-login-failed', user: given.user, source }, 'a login to the API failed');
    await delay(authenticator.failureDelay(given.user, started));
    throw failure('The user name or password is wrong.');
  }
  metrics.login('api', 'succeeded');
  return identity.userName;
}

function failure(text: string): ApiError {
  return new ApiError('AuthenticationFailure', text);
}

/** The challenge that an answer of 401 at this path carries: one client sends nothing before it. */
export function challengeFor(path: string, status: number): string | undefined {
  return path === PATH && status === 401 ? REALM : undefined;
}

/** User and password of an Authorization header (RFC 7617); undefined for anything else. */
function credentialsOf(header: string | undefined): { user: string; password: Secret } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const bytes = Buffer.from(encoded, 'base64');
  const colon = bytes.indexOf(0x3a);
  if (colon < 1) return undefined;
  try {
    const user = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, colon));
    return { user, password: new Secret(Buffer.from(bytes.subarray(colon + 1))) };
  } catch {
    return undefined;
  }
}
