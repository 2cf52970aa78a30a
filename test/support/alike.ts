/** Whether logins of one kind of user take as long as those of another, without saying how long that is. */
import assert from 'node:assert/strict';
import { figure } from './figure.ts';
import { mannWhitney, median } from './statistics.ts';

/** Below this chance of times that are alike they are not: small, since none of a hundred runs should fail by chance. */
const LEAST = 0.0005;

/** Compares each kind with the first by rank; `what` is for the figures. Times in milliseconds, one for each name. */
export function assertAlike(times: ReadonlyMap<string, readonly number[]>, what: string): void {
  const [first, ...others] = times;
  assert.ok(first && others.length > 0);
  const [base, baseTimes] = first;
  for (const [kind, own] of others) {
    const p = mannWhitney(baseTimes, own);
    const medians = `medians ${median(baseTimes).toFixed(1)} and ${median(own).toFixed(1)} ms`;
    const measured = `p = ${p.toFixed(3)}, ${medians}`;
    const ok = p > LEAST;
    const compared = `${what} of ${base} and of ${kind} users, ${own.length} names each`;
    figure({ scenario: 'login', what: compared, pass: `p > ${LEAST}`, measured, ok });
    assert.ok(ok, `${kind}: ${measured}`);
  }
}
