/**
 * YAML with line numbers: the one importer of `yaml`. What it gives is plain JSON values; whoever checks them asks
 * `lineOf` for the line of any path, so that an error can say `file:line: reason`.
 *
 * It never builds anything but plain values: no custom tags, no merge keys, at most 100 aliases, and a key that occurs
 * twice fails.
 */
import { isNode, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { AppError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';

/** A file larger than this is refused before it is parsed. */
export const MAX_TEXT = 16 * 1024 * 1024;

export interface ParsedYaml {
  /** Plain values: null, boolean, number, string, array, object. An empty file is null. */
  readonly value: unknown;
  /** The line (from 1) of the value at the path, or of the nearest value around it. */
  lineOf(path: readonly (string | number)[]): number;
}

/** Parses one YAML document; an error is an `AppError` of the given code that says `file:line: reason`. */
export function parseYaml(
  text: string,
  file: string,
  code: ErrorCode = 'config-invalid',
): ParsedYaml {
  if (text.length > MAX_TEXT) throw new AppError(code, `${file}:1: file is larger than 16 MiB`);
  const counter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: counter,
    prettyErrors: false,
    uniqueKeys: true,
    version: '1.2',
    schema: 'core',
  });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault) {
    const reason =
      fault.code === 'MULTIPLE_DOCS'
        ? 'the file holds more than one document'
        : fault.message.replace(/\s+/g, ' ').trim();
    throw new AppError(code, `${file}:${counter.linePos(fault.pos[0]).line}: ${reason}`);
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AppError(code, `${file}:1: ${reason}`, { cause: error });
  }
  return { value, lineOf: (path) => lineOf(document, counter, path) };
}

function lineOf(document: Document, counter: LineCounter, path: readonly (string | number)[]) {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return counter.linePos(node.range[0]).line;
  }
  return 1;
}
