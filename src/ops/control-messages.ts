/**
 * What is said over the control socket: the shapes of its lines, checked on both sides. Any process that holds DIR
 * answers `who`; a gate also answers, in `control-methods.ts`,
 *
 *     ping         {}                                   -> { pid, instance }
 *     connections  { limit? }                           -> items, each the object of `connections --json`
 *     terminate    { connection, reason, by }           -> {} once the end of the connection is recorded
 *     apply        { file, text, keyFiles, prune, author, message } -> { commit, changes }; commit null: no change
 *
 * `file` and the names in `keyFiles` are absolute: both sides have their own working folder. Whoever changes something
 * says who he is (`by`, `author`): the name of his Unix user.
 */
import { AppError } from '../base/errors.ts';
import { z } from '../config/schema.ts';

export const controlRequest = z.strictObject({
  id: z.int(),
  method: z.string().min(1).max(64),
  params: z.unknown().optional(),
});

const error = z.object({ code: z.string(), message: z.string() });

/** A line from the process that holds DIR; exactly one of the three. */
export const controlAnswer = z.union([
  z.strictObject({ id: z.int(), item: z.unknown() }),
  z.strictObject({ id: z.int().nullable(), error }),
  z.strictObject({ id: z.int(), result: z.unknown() }),
]);

const role = z.enum(['gate', 'command']);
/** What holds DIR: a gate that serves, or a command that needs the database for a moment. */
export type Role = z.infer<typeof role>;

const who = z.object({ pid: z.int().nonnegative(), role });
/** The process that holds DIR. */
export type Holder = Readonly<z.infer<typeof who>>;

const ping = z.object({ pid: z.int().nonnegative(), instance: z.string() });
/** A gate that serves. */
export type Ping = Readonly<z.infer<typeof ping>>;

const change = z.object({
  action: z.enum(['created', 'changed', 'removed']),
  kind: z.string(),
  name: z.string(),
  fields: z.array(z.string()).optional(),
  before: z.record(z.string(), z.unknown()).optional(),
  after: z.record(z.string(), z.unknown()).optional(),
});
const applied = z.object({ commit: z.int().nullable(), changes: z.array(change).default([]) });

/** What `apply` did; `changes` are those of `store/inventory-diff.ts`. */
export type ApplyAnswer = Readonly<z.infer<typeof applied>>;

/** Checks the answer to `who`. */
export function readHolder(result: unknown): Holder {
  return answer(who.safeParse(result), 'who');
}

/** Checks the answer to `ping`. */
export function readPing(result: unknown): Ping {
  return answer(ping.safeParse(result), 'ping');
}

/** Checks the answer to `apply`. */
export function readApplied(result: unknown): ApplyAnswer {
  return answer(applied.safeParse(result), 'apply');
}

function answer<T>(parsed: { success: true; data: T } | { success: false }, method: string): T {
  if (parsed.success) return parsed.data;
  throw new AppError('gate-unreachable', `the gate answers ${method} in an unknown form`);
}
