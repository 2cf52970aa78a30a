/**
 * The id of a session in the words of the SPS contract: `svc/<22 characters>/<rule>:<number>`. The middle is the short id
 * of the connection and says it all; the number is made from the connection's id, so that it is the same for ever.
 */
import { createHash } from 'node:crypto';

const NUMBERS = 1_000_000;

export interface SessionNames {
  readonly id: string;
  readonly shortId: string;
  readonly rule: string | null;
}

/** The whole id of a session. One that no rule let anywhere has `-` in the place of the rule. */
export function sessionIdOf({ id, shortId, rule }: SessionNames): string {
  const number = createHash('sha256').update(id).digest().readUInt32BE(0) % NUMBERS;
  return `svc/${shortId}/${rule ?? '-'}:${number}`;
}

/** The short id in the middle of a session's id; undefined if it is none. */
export function shortIdIn(session: string): string | undefined {
  return /^svc\/([0-9A-Za-z]{22})\/[^/]+:\d+$/.exec(session)?.[1];
}
