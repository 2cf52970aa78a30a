/**
 * What a migration may do and how it speaks of tables: only what SQLite and PostgreSQL both take, without a trace of the
 * library that does it (`store/migrate.ts`). A later migration that needs another operation adds it here and there.
 */

export interface ColumnShape {
  readonly name: string;
  readonly type: 'varchar' | 'text' | 'integer' | 'bigint' | 'boolean';
  readonly length?: string;
  readonly isPrimary?: true;
  readonly isNullable?: true;
  /** What rows that are there already get, and those that say nothing; text. */
  readonly default?: string;
}

export interface IndexShape {
  readonly name: string;
  readonly columnNames: readonly string[];
  readonly isUnique: boolean;
}

export interface ForeignKeyShape {
  readonly name: string;
  readonly columnNames: readonly string[];
  readonly referencedTableName: string;
  readonly referencedColumnNames: readonly string[];
}

export interface TableShape {
  readonly name: string;
  readonly columns: readonly ColumnShape[];
  readonly indices?: readonly IndexShape[];
  readonly foreignKeys?: readonly ForeignKeyShape[];
}

/** The database under a migration. */
export interface Schema {
  createTable(table: TableShape): Promise<void>;
  dropTable(name: string): Promise<void>;
  /** One more column; nullable, or with a default for the rows that are there. */
  addColumn(table: string, column: ColumnShape): Promise<void>;
  dropColumn(table: string, name: string): Promise<void>;
}

/** One step, run once and in its own transaction; `name` ends in the millisecond of its making. */
export interface Migration {
  readonly name: string;
  up(schema: Schema): Promise<void>;
  down(schema: Schema): Promise<void>;
}
