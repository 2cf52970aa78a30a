/**
 * Runs the migrations of `migrations/` that a database has not had: explicitly, in order, each in its own transaction.
 * A database that has had one which this version does not know is refused rather than guessed at.
 */
import type { ColumnShape, Migration, Schema } from '../../migrations/schema.ts';
import { AppError } from '../base/errors.ts';
import { Table } from './orm.ts';
import type { DataSource, MigrationInterface, QueryRunner } from './orm.ts';

/**
 * A column as ALTER TABLE wants it. Written out, since TypeORM would make the whole table anew on SQLite, which the
 * foreign keys of other tables forbid. Names and defaults are ours, from `migrations/`.
 */
function columnSql({ name, type, length, isNullable, default: value }: ColumnShape): string {
  const size = length === undefined ? '' : `(${length})`;
  const required = isNullable ? '' : ' NOT NULL';
  const otherwise = value === undefined ? '' : ` DEFAULT '${value.replaceAll("'", "''")}'`;
  return `"${name}" ${type}${size}${required}${otherwise}`;
}

function schemaOf(runner: QueryRunner): Schema {
  return {
    async createTable({ name, columns, indices = [], foreignKeys = [] }) {
      const table = new Table({
        name,
        columns: columns.map((column) => ({ ...column })),
        indices: indices.map((index) => ({ ...index, columnNames: [...index.columnNames] })),
        foreignKeys: foreignKeys.map((key) => ({
          ...key,
          columnNames: [...key.columnNames],
          referencedColumnNames: [...key.referencedColumnNames],
        })),
      });
      await runner.createTable(table);
    },
    dropTable: (name) => runner.dropTable(name),
    async addColumn(table, column) {
      await runner.query(`ALTER TABLE "${table}" ADD COLUMN ${columnSql(column)}`);
    },
    async dropColumn(table, name) {
      await runner.query(`ALTER TABLE "${table}" DROP COLUMN "${name}"`);
    },
  };
}

/** The migrations as the classes that TypeORM wants. */
export function migrationClasses(
  migrations: readonly Migration[],
): (new () => MigrationInterface)[] {
  return migrations.map(
    (migration) =>
      class implements MigrationInterface {
        readonly name = migration.name;

        up(runner: QueryRunner): Promise<void> {
          return migration.up(schemaOf(runner));
        }

        down(runner: QueryRunner): Promise<void> {
          return migration.down(schemaOf(runner));
        }
      },
  );
}

/** Brings the database at `path` to the newest migration, and says so while it takes time. */
export async function migrate(
  source: DataSource,
  path: string,
  onProgress: (text: string) => void = () => undefined,
): Promise<void> {
  const known = new Set(source.migrations.map((migration) => migration.name ?? ''));
  const runner = source.createQueryRunner();
  const done = (await runner.hasTable('migrations'))
    ? ((await runner.query('SELECT "name" FROM "migrations"')) as { name: string }[])
    : [];
  const foreign = done.find(({ name }) => !known.has(name));
  if (foreign) {
    throw new AppError(
      'dir-invalid',
      `the database ${path} is from a newer version (it has had ${foreign.name}): use that version`,
    );
  }
  const count = known.size - done.length;
  if (count === 0) return;
  onProgress(`database: ${count} migration${count === 1 ? '' : 's'} to run`);
  await source.runMigrations({ transaction: 'each' });
  onProgress('database: up to date');
}
