/**
 * The login name that a user types, taken apart (DESIGN part 4): `alice@root@db1` is user, account
 * and target, `alice@db1` user and target, `alice` the user alone. The first of `@`, `%` and `:`
 * that occurs in the name separates its parts, read from the right; names themselves never hold any
 * of the three.
 *
 * It never throws and never says whether anything exists: a name that cannot be used gives the user
 * name `''`, which nobody has, so that it takes the way of every unknown user.
 */
import { printable } from '../wire/channel-request.ts';

/** Longest login name looked at, in bytes. */
export const MAX_LOGIN_NAME = 255;

/** Controls, format characters (bidirectional marks among them) and the two Unicode line ends. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const SEPARATORS = ['@', '%', ':'] as const;

/** A login name and what it asks for. */
export interface LoginName {
  /** As typed, safe to show and at most some 1,000 characters: for the trail, rows and the log. */
  readonly text: string;
  /** The user's name; `''` when the login name cannot be used. */
  readonly user: string;
  /** Absent where the name gives two parts: then the rule's only account is meant. */
  readonly account?: string;
  /** Absent where the name gives one part. */
  readonly target?: string;
  /** Why the name cannot be used, for the trail. */
  readonly problem?: string;
}

/** Takes the bytes of a login name apart. */
export function parseLoginName(bytes: Buffer): LoginName {
  const text = printable(bytes.subarray(0, MAX_LOGIN_NAME));
  const unusable = (problem: string): LoginName => Object.freeze({ text, user: '', problem });
  if (bytes.length === 0) return unusable('empty login name');
  if (bytes.length > MAX_LOGIN_NAME) return unusable(`login name of ${bytes.length} bytes`);
  let name: string;
  try {
    name = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return unusable('login name is not UTF-8');
  }
  if (UNPRINTABLE.test(name)) return unusable('login name with control characters');

  const separator = SEPARATORS.find((candidate) => name.includes(candidate));
  const parts = separator === undefined ? [name] : name.split(separator);
  if (parts.includes('')) return unusable('login name with an empty part');
  // What stands left of account and target is the user, whatever it holds: with a separator in it
  // nobody has it.
  const target = parts.length > 1 ? parts.pop() : undefined;
  const account = parts.length > 1 ? parts.pop() : undefined;
  return Object.freeze({
    text,
    user: parts.join(separator),
    ...(account === undefined ? {} : { account }),
    ...(target === undefined ? {} : { target }),
  });
}
