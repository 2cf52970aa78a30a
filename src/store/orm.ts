/**
 * The one door to TypeORM, as `config/schema.ts` is to zod: entities and migrations are written with these names, and
 * the version and its habits are met in one place. Only `database.ts` opens anything.
 */
export { DataSource, EntitySchema, In, LessThan, Not, QueryFailedError, Table } from 'typeorm';
export type {
  DataSourceOptions,
  EntityManager,
  EntitySchemaColumnOptions,
  EntitySchemaOptions,
  Logger,
  MigrationInterface,
  QueryRunner,
  SelectQueryBuilder,
} from 'typeorm';
