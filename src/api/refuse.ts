/** Refusals of a change, in the contract's words: what field of the object is wrong, and why. */
import { ApiError } from './errors.ts';

/** Throws the error of a field that breaks a rule. */
export function refuse(field: string, why: string, cause?: unknown): never {
  const options = cause === undefined ? {} : { cause };
  throw new ApiError('SemanticError', `${field}: ${why}`, { field }, options);
}

/** Refuses a name that another object of its kind has. */
export function refuseTaken(
  rows: readonly { readonly id: string; readonly name: string }[],
  name: string,
  own: string | undefined,
): void {
  if (rows.some((row) => row.name === name && row.id !== own)) {
    refuse('name', `${JSON.stringify(name)} is taken`);
  }
}

/** The rows with one in the place of the row of its id, or behind them. */
export function withRow<Row extends { readonly id: string }>(
  rows: readonly Row[],
  row: Row,
): readonly Row[] {
  const known = rows.some(({ id }) => id === row.id);
  return known ? rows.map((other) => (other.id === row.id ? row : other)) : [...rows, row];
}

/** The rows without the one of this id. */
export function withoutRow<Row extends { readonly id: string }>(
  rows: readonly Row[],
  id: string,
): readonly Row[] {
  return rows.filter((row) => row.id !== id);
}
