/**
 * Which fields of a session's body are wanted: dotted names, checked against the shape of the body, and what is left of
 * a body when only those are.
 */
import { z } from '../config/schema.ts';
import { InvalidQuery } from './search-query.ts';
import { sessionShape } from './session-body.ts';

type Json = Readonly<Record<string, unknown>>;

/** All fields below an object of the shape, those of objects in it behind them. */
function* namesIn(shape: z.ZodObject, above = ''): Generator<{ name: string; isLeaf: boolean }> {
  for (const [key, inner] of Object.entries(shape.shape)) {
    const name = above + key;
    const isObject = inner instanceof z.ZodObject;
    yield { name, isLeaf: !isObject };
    if (isObject) yield* namesIn(inner, `${name}.`);
  }
}

const ALL = [...namesIn(sessionShape)];
const NAMES: ReadonlySet<string> = new Set(ALL.map(({ name }) => name));

/** Every name that `fields` takes, in the order of the body. */
export const SESSION_FIELDS: readonly string[] = [...NAMES];

/** Fields chosen by a list such as `protocol,client.ip`; each once, in the order of the list. */
export function chosenFields(list: string): string[] {
  if (list === '') return [];
  const chosen = new Set<string>();
  let at = 0;
  for (const name of list.split(',')) {
    if (!NAMES.has(name)) throw new InvalidQuery('not a field of a session', at, 'fields');
    chosen.add(name);
    at += name.length + 1;
  }
  return [...chosen];
}

/** The chosen fields of a body, at their places. */
export function pickFields(body: Json, chosen: readonly string[]): Json {
  const picked: Record<string, unknown> = {};
  for (const name of chosen) {
    const path = name.split('.');
    let from: Json = body;
    let to = picked;
    for (const [at, key] of path.entries()) {
      const value = from[key];
      const isLast = at === path.length - 1;
      if (isLast || !isObject(value)) {
        to[key] = value;
        break;
      }
      const inner = to[key];
      // A whole object that was chosen before already has what is in it.
      if (inner === value) break;
      to = to[key] = isObject(inner) ? inner : {};
      from = value;
    }
  }
  return picked;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The chosen fields that have no others in them: a column each. Those that are twice in the list are once here. */
export function leavesOf(chosen: readonly string[]): string[] {
  const leaves = chosen.flatMap((name) =>
    ALL.filter((one) => one.isLeaf && (one.name === name || one.name.startsWith(`${name}.`))),
  );
  return [...new Set(leaves.map(({ name }) => name))];
}

/** The value of a field of a body. */
export function valueAt(body: Json, name: string): unknown {
  let value: unknown = body;
  for (const key of name.split('.')) value = isObject(value) ? value[key] : undefined;
  return value;
}
