/**
 * Closing a session that runs (SPS contract, section 9). What became of it is one word, whoever had to do it: this gate,
 * or later another node of a cluster.
 */
import type { LiveConnections } from '../access/live.ts';
import { AppError } from '../base/errors.ts';
import { z } from '../config/schema.ts';
import type { Log } from '../ops/log.ts';
import { ApiError } from './errors.ts';
import { metaOf, metaShape } from './meta.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';
import { mustBe } from './transaction-routes.ts';

/**
 * What became of the order to end a session: `gone`, no such session runs; `failed`, its owner could not; `unknown-node`,
 * it runs on a node that the configuration does not have; `no-service`, its node has nobody who ends sessions;
 * `unavailable`, its node does not answer.
 */
export type Ended = 'closed' | 'gone' | 'failed' | 'unknown-node' | 'no-service' | 'unavailable';

/** Whoever can end sessions. */
export interface Terminator {
  /** `session` is the whole id, as `recording.session_id` of a session has it. */
  end(session: string, order: { readonly by: string; readonly reason: string }): Promise<Ended>;
}

const PATH = '/api/active-sessions';

const REFUSALS = {
  gone: ['SessionCouldNotBeFound', 'No session could be found for the given session ID.'],
  failed: ['SessionTerminationFailed', 'The session could not be terminated; the log has why.'],
  'unknown-node': [
    'RemoteNodeInfoMissing',
    'The node where the session is recorded is missing from the configuration.',
  ],
  'no-service': [
    'SessionTerminationServiceUnavailable',
    'Session termination is not available on the node that records the session.',
  ],
  unavailable: [
    'MinionUnavailable',
    'The node that records the session is unavailable; see /api/cluster/status.',
  ],
} as const satisfies Record<Exclude<Ended, 'closed'>, readonly [string, string]>;

export function activeSessionsRoutes(terminator: Terminator, log: Log): Route[] {
  return [
    route({
      method: 'DELETE',
      path: PATH,
      summary: 'Close a session that runs; its user is told who did it',
      access: { object: '/special/active_sessions', permission: 'write' },
      query: z.strictObject({
        id: z.string().max(1024).optional(),
        reason: z.string().max(1000).optional(),
      }),
      reply: z.strictObject({ meta: metaShape }),
      errors: [
        'SessionIdMissing',
        'SessionCouldNotBeFound',
        'SessionTerminationFailed',
        'RemoteNodeInfoMissing',
        'SessionTerminationServiceUnavailable',
        'MinionUnavailable',
      ],
      handle: async ({ caller, query, source }) => {
        const { id = '', reason = '' } = query;
        if (id === '') {
          throw new ApiError('SessionIdMissing', 'No session ID is given in the "id" parameter.');
        }
        const by = mustBe(caller).userName;
        const ended = await terminator.end(id, { by, reason });
        log.audit(
          { event: 'api-terminate', session: id, by, reason, source, ended },
          'a session was to end',
        );
        if (ended === 'closed') return { meta: metaOf(PATH) };
        const [type, text] = REFUSALS[ended];
        throw new ApiError(type, text, { id });
      },
    }),
  ];
}

export interface LocalTerminatorNeeds {
  readonly live: LiveConnections;
  readonly log: Log;
  /** The connection of a whole session id. */
  readonly connectionOf: (session: string) => Promise<string | undefined>;
}

/** Ends the sessions of this process. */
export function localTerminator({ live, log, connectionOf }: LocalTerminatorNeeds): Terminator {
  return {
    end: async (session, order) => {
      const id = await connectionOf(session);
      if (id === undefined || !live.has(id)) return 'gone';
      try {
        await live.terminate(id, order);
        return 'closed';
      } catch (error) {
        if (error instanceof AppError && error.code === 'not-found') return 'gone';
        log.error({ event: 'api-terminate', connection: id, err: error }, 'not terminated');
        return 'failed';
      }
    },
  };
}
