/** What many sessions cost: memory and descriptors of the gate per idle one, and logins per second beside a direct sshd. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { start } from '../support/process.ts';
import type { Running } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import type { Arena } from './arena.ts';
import { cpuSeconds, cpuSecondsAtRest, residentBytes } from './cpu-time.ts';
import type { RawEndpoint } from './raw-session.ts';
import type { Load } from './session-load.ts';

const SCRIPT = join(import.meta.dirname, 'session-load.ts');
const LIMIT_MS = 300_000;
/** Logins of a burst at a time, while idle sessions are opened: below the gate's early drop. */
const OPENING = 4;
const WARM_UP = 20;
const POLL_MS = 100;
const COLLECTION_MS = 60_000;
/** Over which the cost of keeping sessions alive is taken: a whole interval of keepalives. */
const IDLE_MS = 15_000;

/** Starts a load; settles when it says that it is done. */
async function load(scope: Scope, what: Load): Promise<{ running: Running; seconds: number }> {
  const running = start(scope, [process.execPath, SCRIPT, JSON.stringify(what)]);
  const match = await running.line(/^\{"event":"done","seconds":([\d.]+)\}$/, LIMIT_MS);
  return { running, seconds: Number(match[1]) };
}

/** Ends a load in order. */
async function endLoad(running: Running): Promise<void> {
  running.stdin?.end();
  await running.exited;
}

/** What a gate must be started with for `measureIdle`. */
export const IDLE_GATE_ENV = {
  NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, 'collect-on-signal.ts')).href}`,
};

/** What a gate holds after a collection, in bytes. */
export interface Memory {
  readonly rss: number;
  /** Reachable: on the heap and in buffers. */
  readonly live: number;
}

/** Has the gate collect, and reads what it says of it. */
async function collected({ gate }: Arena): Promise<Memory> {
  const seen = gate.log().length;
  process.kill(gate.pid, 'SIGUSR2');
  for (let waited = 0; waited < COLLECTION_MS; waited += POLL_MS) {
    await delay(POLL_MS);
    const match = /^\{"collected":(\{.*\})\}$/m.exec(gate.log().slice(seen));
    if (match) return JSON.parse(match[1] ?? '') as Memory;
  }
  throw new Error(`the gate has not collected its garbage within ${COLLECTION_MS} ms`);
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export interface IdleCost {
  readonly sessions: number;
  readonly before: Memory;
  readonly with: Memory;
  /** Resident with the sessions, before the collection. */
  readonly uncollectedBytes: number;
  readonly filesPerSession: number;
  /** CPU of the gate for keeping all of them alive, in per cent of one core. */
  readonly cpuPercent: number;
}

function gateEndpoint(arena: Arena): RawEndpoint {
  return { port: arena.gate.sshPort, user: arena.login, key: arena.userKey.path };
}

function directEndpoint({ target }: Arena): RawEndpoint {
  return { port: target.port, user: target.user, key: target.privateKeyPath };
}

/** Holds idle sessions through the gate, after some that warm it up and end. */
export async function measureIdle(arena: Arena, sessions: number): Promise<IdleCost> {
  const scope = new ManualScope();
  try {
    const { pid } = arena.gate;
    const endpoint = gateEndpoint(arena);
    const hold: Load = { ...endpoint, mode: 'hold', count: WARM_UP, parallel: OPENING };
    await endLoad((await load(scope, hold)).running);
    await cpuSecondsAtRest({ pid, resting: 0 });
    const before = await collected(arena);
    const filesBefore = openFiles(pid);
    const { running } = await load(scope, { ...hold, count: sessions });
    const usedBefore = cpuSeconds(pid);
    await delay(IDLE_MS);
    const used = cpuSeconds(pid) - usedBefore;
    const files = openFiles(pid) - filesBefore;
    const uncollectedBytes = residentBytes(pid);
    const after = await collected(arena);
    await endLoad(running);
    return {
      sessions,
      before,
      with: after,
      uncollectedBytes,
      filesPerSession: files / sessions,
      cpuPercent: (used / (IDLE_MS / 1000)) * 100,
    };
  } finally {
    await scope.end();
  }
}

export interface LoginRate {
  readonly name: string;
  readonly direct: number[];
  readonly gate: number[];
}

/** Bursts of logins, direct and through the gate in turn; each ends when its session channel is open. */
export async function measureLogins(
  arena: Arena,
  options: { readonly pairs: number; readonly logins: number },
): Promise<LoginRate[]> {
  const rates: LoginRate[] = [
    { name: 'one after the other', direct: [], gate: [] },
    { name: '8 at a time', direct: [], gate: [] },
  ];
  const scope = new ManualScope();
  try {
    for (let round = 0; round < options.pairs; round++) {
      for (const [i, rate] of rates.entries()) {
        for (const way of round % 2 === 0
          ? (['direct', 'gate'] as const)
          : (['gate', 'direct'] as const)) {
          const endpoint = way === 'gate' ? gateEndpoint(arena) : directEndpoint(arena);
          const count = options.logins;
          const what: Load = { ...endpoint, mode: 'logins', count, parallel: i === 0 ? 1 : 8 };
          const { running, seconds } = await load(scope, what);
          await endLoad(running);
          rate[way].push(count / seconds);
        }
      }
    }
    return rates;
  } finally {
    await scope.end();
  }
}
