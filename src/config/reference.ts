/**
 * The reference of the configuration, made from its schema: a row per key with its default and what
 * it means. The documents and the contract test print it, so neither can say what the code does
 * not.
 */
import { configSchema } from './config.ts';
import { z } from './schema.ts';

/** One key of the file, as `login.grace_s`. */
export interface ReferenceRow {
  readonly key: string;
  readonly default: unknown;
  readonly description: string;
}

interface Node {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
}

/** Every key that a file may hold, in the order of the schema. */
export function referenceRows(): readonly ReferenceRow[] {
  return rowsOf(z.toJSONSchema(configSchema, { io: 'input' }) as Node, '');
}

/** The reference as a Markdown table. */
export function renderReference(): string {
  const lines = referenceRows().map((row) => {
    const value = row.default === undefined ? '' : `\`${JSON.stringify(row.default)}\``;
    return `| \`${row.key}\` | ${value} | ${row.description.replaceAll('|', '\\|')} |`;
  });
  return ['| key | default | meaning |', '| --- | --- | --- |', ...lines, ''].join('\n');
}

function rowsOf(node: Node, prefix: string): readonly ReferenceRow[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, inner]) => {
    const key = prefix + name;
    const group = inner.properties !== undefined;
    const row: ReferenceRow = {
      key,
      default: group ? undefined : inner.default,
      description: inner.description ?? '',
    };
    return group ? [row, ...rowsOf(inner, `${key}.`)] : [row];
  });
}
