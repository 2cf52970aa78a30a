/**
 * What the command line may ask of a running gate, over its control socket: `ping`, `connections`, `terminate`, `apply`.
 * Whoever can open the socket owns the folder; still nothing in a request is taken on trust.
 */
import type { LiveConnections } from './access/live.ts';
import type { Passwords } from './access/password.ts';
import { AppError } from './base/errors.ts';
import { parseInventory } from './config/inventory-file.ts';
import { z } from './config/schema.ts';
import type { Log } from './ops/log.ts';
import { applyInventory } from './store/apply.ts';
import { connection, connectionJson, connections } from './store/connections.ts';
import type { Database } from './store/database.ts';
import type { FactWriter } from './store/trails.ts';
import type { Secrets } from './vault/secrets.ts';
import { parseAuthorizedKey } from './wire/publickey.ts';
import { parsePrivateKey } from './wire/ssh2.ts';

export interface ControlServices {
  readonly instance: string;
  readonly db: Database;
  readonly live: LiveConnections;
  readonly facts: FactWriter;
  readonly log: Log;
  readonly passwords: Passwords;
  readonly secrets: Secrets;
  /** Makes the newest commit the one that logins are judged by. */
  readonly renew: () => Promise<void>;
  readonly now: () => number;
}

/** So long a command waits for facts to become rows; after that it answers with the rows there are. */
const FACTS_MS = 2_000;

/** `connections`: rows as the command line prints them, newest first. */
const listShape = z.strictObject({ limit: z.int().min(1).max(100_000).optional() });
/** `terminate`: the id as a UUID or in its short form. */
const terminateShape = z.strictObject({
  connection: z.string().max(64),
  reason: z.string().max(1000),
  by: z.string().min(1).max(255),
});
/** `apply`: the file's name and text, and the texts of the key files it names, by absolute path. */
const applyShape = z.strictObject({
  file: z.string(),
  text: z.string(),
  keyFiles: z.record(z.string(), z.string()),
  prune: z.boolean(),
  author: z.string().min(1).max(255),
  message: z.string().max(4000),
});

export type ControlMethods = Readonly<
  Record<'ping' | 'connections' | 'terminate' | 'apply', (params: unknown) => Promise<unknown>>
>;

function checked<T>(shape: z.ZodType<T>, params: unknown): T {
  const result = shape.safeParse(params);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue?.path.join('.') ?? '';
  throw new AppError(
    'usage',
    `a request that the gate does not take: ${where}: ${issue?.message ?? ''}`,
  );
}

/** The methods of a running gate by name. */
export function controlMethods(services: ControlServices): ControlMethods {
  const { instance, db, live, facts, log, passwords, secrets, renew, now } = services;
  // One that runs is ended even while the database takes nothing, so its row is asked last.
  const openConnection = async (id: string): Promise<string> => {
    await facts.flush(FACTS_MS);
    const row = await connection(db, id);
    if (!row) throw new AppError('not-found', `no connection "${id}"`);
    if (!live.has(row.id)) throw new AppError('not-found', `connection ${id} has ended already`);
    return row.id;
  };
  return {
    ping: () => Promise.resolve({ instance, pid: process.pid }),

    connections: async (params) => {
      const { limit } = checked(listShape, params);
      await facts.flush(FACTS_MS);
      const rows = await connections(db, limit === undefined ? {} : { limit });
      return rows.map((row) => connectionJson(row));
    },

    terminate: async (params) => {
      const { connection: id, reason, by } = checked(terminateShape, params);
      const open = live.has(id) ? id : await openConnection(id);
      log.audit({ event: 'terminate', connection: open, by, reason }, 'session terminated');
      await live.terminate(open, { reason, by });
      await facts.flush(FACTS_MS);
      return {};
    },

    apply: async (params) => {
      const { file, text, keyFiles, prune, author, message } = checked(applyShape, params);
      const document = parseInventory(text, file, {
        publicKey: parseAuthorizedKey,
        privateKey: parsePrivateKey,
        readFile: (path) => {
          if (!Object.hasOwn(keyFiles, path)) throw new AppError('not-found', 'cannot be read');
          return keyFiles[path] ?? '';
        },
      });
      const result = await applyInventory(db, document, {
        author,
        message,
        prune,
        now,
        hashPassword: (plain) => passwords.hash(plain),
        verifyPassword: (hash, plain) => passwords.verify(hash, plain),
        seal: (plain, context) => secrets.seal(plain, context),
        open: (sealed, context) => secrets.open(sealed, context),
      });
      if (result.commit !== null) {
        log.audit(
          { event: 'commit', commit: result.commit, author, why: message },
          'configuration changed',
        );
        await renew();
      }
      return result;
    },
  };
}
