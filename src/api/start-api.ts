/**
 * Builds the API of a gate from its services and serves it: the sessions of those who log in, the transaction, the table
 * of routes, the application, the server.
 */
import type { ServerOptions } from 'node:https';
import type { Authenticator } from '../access/authn.ts';
import type { LiveConnections } from '../access/live.ts';
import type { Passwords } from '../access/password.ts';
import type { Penalties } from '../access/penalties.ts';
import type { SnapshotHolder } from '../access/snapshot.ts';
import { reasonOf } from '../base/errors.ts';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import { auditHead, commitsBelow } from '../store/audit.ts';
import { commitInventory } from '../store/commit.ts';
import type { Database } from '../store/database.ts';
import { LoginSessionRows } from '../store/login-sessions.ts';
import { connection } from '../store/connections.ts';
import type { FactWriter } from '../store/trails.ts';
import type { Downloads } from '../recording/downloads.ts';
import type { Ledger } from '../recording/ledger.ts';
import type { Storage } from '../recording/storage.ts';
import type { Secrets } from '../vault/secrets.ts';
import { activeSessionsRoutes, localTerminator } from './active-sessions.ts';
import { makeApp } from './app.ts';
import { auditChangesRoutes } from './audit-changes.ts';
import { auditSessionsRoutes } from './audit-sessions.ts';
import { authenticationRoutes, userByBasic } from './authentication.ts';
import { Configuration } from './configuration.ts';
import { diffShown, unstaged } from './configuration-diff.ts';
import { healthRoutes } from './health.ts';
import { infoRoutes } from './info.ts';
import { metricsRoutes } from './metrics.ts';
import { nodeOf } from './node.ts';
import { IDLE_MS, LoginSessions } from './login-sessions.ts';
import { openApiRoute } from './openapi.ts';
import { ADMIN, grantsOf } from './permissions.ts';
import type { Grant } from './permissions.ts';
import { passwordRoutes } from './passwords.ts';
import type { Route } from './route.ts';
import { sessionIdOf, shortIdIn } from './session-id.ts';
import { sessionTrailsRoutes } from './session-trails.ts';
import { listenHttps } from './server.ts';
import type { RunningApi } from './server.ts';
import { transactionRoutes } from './transaction-routes.ts';
import { Transactions } from './transactions.ts';

export interface ApiServices {
  readonly db: Database;
  readonly snapshots: SnapshotHolder;
  readonly authenticator: Authenticator;
  readonly passwords: Passwords;
  readonly penalties: Penalties;
  readonly secrets: Secrets;
  readonly live: LiveConnections;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly storage: Storage;
  readonly downloads: Downloads;
  readonly facts: FactWriter;
  readonly ledger: Ledger;
  /** Makes the newest commit the one that logins are judged by. */
  readonly renew: () => Promise<void>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
}

const SWEEP_MS = 60_000;
/** So long a call waits for facts to become rows. */
const FACTS_MS = 2_000;

/** The API of a gate without a server: its routes, and what answers requests. */
export class Api {
  readonly routes: readonly Route[];
  readonly handler: ReturnType<typeof makeApp>;
  readonly #sessions: LoginSessions;
  readonly #log: Log;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(services: ApiServices) {
    const { db, snapshots, live, facts, log, now } = services;
    const settings = () => snapshots.current.inventory.settings;
    const sessions = new LoginSessions({ rows: new LoginSessionRows(db), snapshots, now });
    const transactions = new Transactions({
      current: () => snapshots.current.inventory,
      aliveUntil: (session) => sessions.aliveUntil(session),
      commit: async (make, by) => {
        const done = await commitInventory(db, make, { ...by, time: now() * 1000 });
        if (done) {
          const { commit } = done;
          const { author, message } = by;
          log.audit({ event: 'commit', commit, author, why: message }, 'configuration changed');
          await services.renew();
        }
        return done;
      },
      isMessageRequired: () => settings().requireCommitMessage,
      opensImplicitly: () => settings().implicitTransactions,
    });
    const { secrets, passwords } = services;
    const configuration = new Configuration(transactions, { secrets, now });
    const connectionOf = async (session: string): Promise<string | undefined> => {
      const short = shortIdIn(session);
      if (short === undefined) return undefined;
      // One that has just begun may not be a row yet.
      await facts.flush(FACTS_MS);
      const row = await connection(db, short);
      return row && sessionIdOf(row) === session ? row.id : undefined;
    };
    const node = nodeOf(services);
    const nowSeconds = (): number => Math.floor(now() / 1000);
    const login = { ...services, idleMs: IDLE_MS };
    const declared = [
      ...authenticationRoutes(login),
      ...transactionRoutes({
        transactions,
        isMessageRequired: () => settings().requireCommitMessage,
        diff: (caller) => {
          const changes = transactions.changes(caller);
          if (!changes) return [];
          const before = configuration.shown(unstaged(changes.before));
          return diffShown(before, configuration.shown(changes.after));
        },
        now,
      }),
      ...passwordRoutes(transactions, passwords, nowSeconds),
      ...configuration.routes,
      ...auditSessionsRoutes({
        db,
        log,
        storage: services.storage,
        context: () => ({
          nodeId: node.node,
          now: now() * 1000,
          ruleId: (name) =>
            snapshots.current.inventory.rules.find((rule) => rule.name === name)?.id,
        }),
      }),
      ...sessionTrailsRoutes({ ...services, isLive: (id) => live.has(id) }),
      ...activeSessionsRoutes(localTerminator({ live, log, connectionOf }), log),
      ...auditChangesRoutes({ commitsBelow: (number, count) => commitsBelow(db, number, count) }),
      ...infoRoutes({ ...node, commit: () => auditHead(db), nowSeconds }),
      ...metricsRoutes(services.metrics),
      ...healthRoutes({
        // Read from it, for one that only begins to read has touched nothing.
        database: () => auditHead(db).then(() => undefined),
        recording: () => (services.ledger.failed ? 'the ledger cannot be written' : undefined),
      }),
    ];
    this.routes = [...declared, openApiRoute(declared)];
    this.#sessions = sessions;
    this.#log = log;
    const rightsOf = (userName: string): readonly Grant[] => {
      const { current } = snapshots;
      const user = current.user(userName);
      return user ? grantsOf(current.groupsOf(user), current.inventory.acls) : [];
    };
    this.handler = makeApp({
      routes: this.routes,
      sessions,
      log,
      metrics: services.metrics,
      userByBasic: (header, source) => userByBasic(login, header, source),
      now,
      enter: (userName) => {
        const user = snapshots.current.user(userName);
        return user && sessions.dataOf(user, rightsOf(userName));
      },
      onSessionEnd: (session) => transactions.sessionEnded(session),
      grantsNow: (userName, atLogin) => {
        if (!settings().rightsAtOnce || userName === ADMIN) return atLogin;
        const today = new Set(rightsOf(userName).map(keyOf));
        return atLogin.filter((grant) => today.has(keyOf(grant)));
      },
    });
  }

  /** Serves it. */
  async listen(
    secure: ServerOptions,
    at: { readonly host: string; readonly port: number },
  ): Promise<RunningApi> {
    const running = await listenHttps(this.handler, secure, at);
    this.#sweeper = setInterval(() => {
      this.#sessions.sweep().catch((error: unknown) => {
        this.#log.error({ event: 'api-sessions', reason: reasonOf(error) }, 'sessions stay');
      });
    }, SWEEP_MS);
    return {
      ...running,
      close: async () => {
        clearInterval(this.#sweeper);
        await running.close();
      },
    };
  }
}

function keyOf({ object, permission }: Grant): string {
  return `${permission} ${object}`;
}
