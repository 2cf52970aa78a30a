/**
 * The database: opens it, brings it to the newest migration, and hands out the only two ways in. `transaction` writes,
 * one at a time behind a mutex and with the write lock taken at its start (TypeORM's own concurrent transactions on
 * SQLite fail each other); `read` sees one consistent state on a second, read-only connection.
 *
 * It never synchronises a schema and never runs text that came from outside. `synchronous = FULL`: the configuration
 * and its audit chain cannot be rebuilt from trails, and writes are few.
 */
import { open } from 'node:fs/promises';
import type { Migration } from '../../migrations/schema.ts';
import { MIGRATIONS } from '../../migrations/steps.ts';
import { Mutex } from '../base/async.ts';
import { AppError, reasonOf } from '../base/errors.ts';
import { CONFIGURATION_ENTITIES, LoginSessionEntity } from './entities.ts';
import { migrate, migrationClasses } from './migrate.ts';
import { DataSource, QueryFailedError } from './orm.ts';
import type { DataSourceOptions, EntityManager, Logger, QueryRunner } from './orm.ts';
import { TRAIL_ENTITIES } from './trail-entities.ts';

const BUSY_TIMEOUT_MS = 5_000;
/** SQLITE_OPEN_READONLY of sqlite3.h. */
const OPEN_READONLY = 1;

/** TypeORM prints on standard output by itself; what matters reaches the caller as an error. */
const SILENT: Logger = {
  logQuery: () => undefined,
  logQueryError: () => undefined,
  logQuerySlow: () => undefined,
  logSchemaBuild: () => undefined,
  logMigration: () => undefined,
  log: () => undefined,
};

export interface DatabaseOptions {
  /** The SQLite file; made with mode 0600 when it is not there. */
  readonly path: string;
  /** Every migration there is, oldest first; a test may say others. */
  readonly migrations?: readonly Migration[];
  /** Told in words what takes time at the start. */
  readonly onProgress?: (text: string) => void;
  /** How long a statement waits for another process's lock; 5 s unless a test says less. */
  readonly busyTimeoutMs?: number;
}

export class Database {
  readonly #writer: DataSource;
  readonly #reader: DataSource;
  readonly #writes = new Mutex('writes to the database');
  readonly #reads = new Mutex('reads of the database');
  #closed = false;

  constructor(writer: DataSource, reader: DataSource) {
    this.#writer = writer;
    this.#reader = reader;
  }

  /** Runs `work` in one write transaction; whatever it throws undoes all of it. Must not be nested. */
  transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.#writes.run(() => this.#run(this.#writer, 'BEGIN IMMEDIATE', work));
  }

  /** Runs `work` on one consistent state of the rows; a write in it fails. Must not be nested. */
  read<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.#reads.run(() => this.#run(this.#reader, 'BEGIN', work));
  }

  /** The statements that would make the tables what the entities say; empty unless a migration is missing. */
  async schemaDrift(): Promise<string[]> {
    const log = await this.#writer.driver.createSchemaBuilder().log();
    return log.upQueries.map((query) => query.query);
  }

  /** Waits for what runs, then closes both connections; later calls are refused. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#reads.run(() => this.#reader.destroy());
    await this.#writes.run(() => this.#writer.destroy());
  }

  async #run<T>(
    source: DataSource,
    begin: string,
    work: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    if (!source.isInitialized) throw new AppError('internal', 'the database is closed');
    const runner = source.createQueryRunner();
    try {
      await runner.query(begin);
      setDepth(runner, 1);
      const result = await work(runner.manager);
      await runner.query('COMMIT');
      return result;
    } catch (error) {
      // Fails when nothing was begun or SQLite has rolled back by itself; either way nothing is left open.
      await runner.query('ROLLBACK').catch(() => undefined);
      throw error;
    } finally {
      setDepth(runner, 0);
    }
  }
}

/**
 * Tells TypeORM's runner whether a transaction is open, since it can only begin a deferred one itself. It is one object
 * for the life of a connection and would otherwise keep what a failed BEGIN or ROLLBACK left behind.
 */
function setDepth(runner: QueryRunner, depth: 0 | 1): void {
  Object.assign(runner, { isTransactionActive: depth > 0, transactionDepth: depth });
}

/** Opens the database and runs the migrations that it has not had. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { path } = options;
  const shared = {
    type: 'sqlite' as const,
    database: path,
    entities: [...CONFIGURATION_ENTITIES, LoginSessionEntity, ...TRAIL_ENTITIES],
    migrations: migrationClasses(options.migrations ?? MIGRATIONS),
    busyTimeout: options.busyTimeoutMs ?? BUSY_TIMEOUT_MS,
    logger: SILENT,
    synchronize: false,
    migrationsRun: false,
    invalidWhereValuesBehavior: { null: 'throw', undefined: 'throw' } as const,
  } satisfies DataSourceOptions;
  const writer = new DataSource({ ...shared, enableWAL: true });
  const reader = new DataSource({ ...shared, flags: OPEN_READONLY });
  try {
    // SQLite gives its -wal and -shm files the mode of the database file.
    await (await open(path, 'a', 0o600)).close();
    await writer.initialize();
    await writer.query('PRAGMA synchronous = FULL');
    await migrate(writer, path, options.onProgress);
    await reader.initialize();
  } catch (error) {
    if (writer.isInitialized) await writer.destroy();
    if (error instanceof AppError) throw error;
    throw new AppError('dir-invalid', `cannot open the database ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  return new Database(writer, reader);
}

/** Faults of the statement or the value; asking again would fail again. */
const PERMANENT = new Set([
  'SQLITE_ERROR',
  'SQLITE_CONSTRAINT',
  'SQLITE_MISMATCH',
  'SQLITE_RANGE',
  'SQLITE_TOOBIG',
]);

/** Whether the database itself was in the way (locked, full, failing), so that the same work may succeed later. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { code } = error.driverError as { code?: unknown };
  return typeof code === 'string' && !PERMANENT.has(code);
}
