/**
 * CPU time of what stands in the middle of a connection, from /proc: user and system time of a process, all its
 * threads, all that runs below it, and every child that one of them has waited for. `reaper.py` above a server sees to
 * it that somebody waits for each. Taken at rest before and after a run, the difference is what the run cost.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { descendants } from '../support/openssh.ts';

/** Ticks a second in which the kernel reports to programs, on every Linux that Node runs on (USER_HZ). */
const TICKS_PER_SECOND = 100;
const POLL_MS = 20;
const SETTLE_MS = 10_000;
/** Equal readings in a row that mean rest. */
const STILL = 5;

/** Something in the middle whose cost is asked for. */
export interface Middle {
  /** The process that is there before the run and after it. */
  readonly pid: number;
  /** How many processes are below it when no connection is. */
  readonly resting: number;
}

/** Seconds of CPU of a process and of the children that it waited for; 0 when it has gone. */
function ownSeconds(pid: number): number {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return 0;
  }
  // The name in parentheses may hold anything; what follows it are numbers from the third field on.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).map(Number);
  return ticks.reduce((sum, value) => sum + value, 0) / TICKS_PER_SECOND;
}

/** Seconds of CPU of a process and all below it. */
export function cpuSeconds(pid: number): number {
  return [pid, ...descendants(pid)].reduce((sum, one) => sum + ownSeconds(one), 0);
}

/** The same at rest: nothing of a connection runs any more, and the figure has stopped to move. */
export async function cpuSecondsAtRest({ pid, resting }: Middle): Promise<number> {
  const end = performance.now() + SETTLE_MS;
  let last = Number.NaN;
  for (let still = 0; still < STILL;) {
    if (performance.now() > end) {
      const left = descendants(pid).length - resting;
      throw new Error(`process ${pid} does not come to rest: ${left} more below it than before`);
    }
    await delay(POLL_MS);
    const now = cpuSeconds(pid);
    still = now === last && descendants(pid).length <= resting ? still + 1 : 0;
    last = now;
  }
  return last;
}

/** Resident memory of a process now, in bytes. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? Number.NaN) * 1024;
}
