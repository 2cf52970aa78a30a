/**
 * The few kinds of column that our tables have. The same serve SQLite and PostgreSQL: a type that both know, JSON as
 * text, an instant as a bigint of microseconds UTC.
 */
import { EntitySchema } from './orm.ts';
import type { EntitySchemaColumnOptions, EntitySchemaOptions } from './orm.ts';

/** TypeORM declares its options as a class; these are the parts of it that we write. */
type Shape<T> = Pick<
  EntitySchemaOptions<T>,
  'name' | 'tableName' | 'columns' | 'indices' | 'foreignKeys'
>;

/** Makes an entity from its shape. */
export function entity<T>(shape: Shape<T>): EntitySchema<T> {
  return new EntitySchema<T>(shape);
}

/** PostgreSQL gives a bigint as text; all of ours are below 2^53. */
const toNumber = {
  from: (value: unknown): unknown => (value === null ? null : Number(value)),
  to: (value: unknown): unknown => value,
};

export const objectId: EntitySchemaColumnOptions = { type: 'varchar', length: 22 };
export const uuid: EntitySchemaColumnOptions = { type: 'varchar', length: 36 };
export const text: EntitySchemaColumnOptions = { type: 'text' };
export const whole: EntitySchemaColumnOptions = { type: 'integer' };
export const big: EntitySchemaColumnOptions = { type: 'bigint', transformer: toNumber };
export const primary = { primary: true } as const;
export const nullable = { nullable: true } as const;
