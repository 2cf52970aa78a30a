/**
 * Wall time and the middle's CPU time of one large transfer, down and up, on each way, interleaved: in every round all
 * ways run one after the other, and the round after begins with another one, so that what else the machine does meets
 * them alike.
 */
import { run } from '../support/process.ts';
import { WAYS } from './arena.ts';
import type { Arena, Direction, Way } from './arena.ts';
import { cpuSecondsAtRest } from './cpu-time.ts';

const WARM_UP_BYTES = 50_000_000;
const LIMIT_MS = 600_000;

/** One figure per round. */
export interface Series {
  readonly wallSeconds: number[];
  /** Of all processes in the middle, per 10^9 bytes. */
  readonly cpuSecondsPerGb: number[];
}

export type Throughput = Readonly<Record<Direction, Readonly<Record<Way, Series>>>>;

function commandOf(arena: Arena, way: Way, direction: Direction, bytes: number): string[] {
  return direction === 'down'
    ? arena.ssh(way, direction, `head -c ${bytes} /dev/zero`)
    : arena.ssh(way, direction, 'cat >/dev/null');
}

/** A shell line that runs "$@" with the transfer's other end attached. */
function plumbing(direction: Direction, bytes: number): string {
  return direction === 'down' ? 'exec "$@" >/dev/null' : `head -c ${bytes} /dev/zero | "$@"`;
}

async function transfer(arena: Arena, way: Way, direction: Direction, bytes: number) {
  const middle = arena.middle(way);
  const before = middle ? await cpuSecondsAtRest(middle) : 0;
  const command = commandOf(arena, way, direction, bytes);
  const begin = performance.now();
  const { code, stderr } = await run(['sh', '-c', plumbing(direction, bytes), 'sh', ...command], {
    stdin: 'ignore',
    timeoutMs: LIMIT_MS,
  });
  const wallSeconds = (performance.now() - begin) / 1000;
  if (code !== 0)
    throw new Error(`${way} ${direction}: exit ${code ?? 'by signal'}: ${stderr.toString()}`);
  const after = middle ? await cpuSecondsAtRest(middle) : 0;
  return { wallSeconds, cpuSecondsPerGb: ((after - before) / bytes) * 1e9 };
}

/** Sends some bytes each way and counts them at the other end: what is measured must be a whole transfer. */
async function warmUp(arena: Arena, way: Way): Promise<void> {
  const bytes = WARM_UP_BYTES;
  const down = commandOf(arena, way, 'down', bytes);
  const up = arena.ssh(way, 'up', 'wc -c');
  const counted = [
    await run(['sh', '-c', '"$@" | wc -c', 'sh', ...down], { stdin: 'ignore' }),
    await run(['sh', '-c', plumbing('up', bytes), 'sh', ...up], { stdin: 'ignore' }),
  ];
  for (const { stdout, stderr } of counted) {
    if (Number(stdout) !== bytes) {
      throw new Error(
        `${way}: ${stdout.toString().trim()} of ${bytes} bytes: ${stderr.toString()}`,
      );
    }
  }
}

function empty(): Record<Way, Series> {
  const series = (): Series => ({ wallSeconds: [], cpuSecondsPerGb: [] });
  return { direct: series(), proxyjump: series(), tee: series(), gate: series() };
}

/** Runs all rounds. */
export async function measureThroughput(
  arena: Arena,
  options: { readonly pairs: number; readonly bytes: number },
): Promise<Throughput> {
  const result = { down: empty(), up: empty() };
  for (const way of WAYS) await warmUp(arena, way);
  arena.clearRecordings();
  for (let round = 0; round < options.pairs; round++) {
    for (const direction of ['down', 'up'] as const) {
      for (let i = 0; i < WAYS.length; i++) {
        const way = WAYS[(i + round) % WAYS.length] ?? 'direct';
        const one = await transfer(arena, way, direction, options.bytes);
        result[direction][way].wallSeconds.push(one.wallSeconds);
        result[direction][way].cpuSecondsPerGb.push(one.cpuSecondsPerGb);
        arena.clearRecordings();
      }
    }
  }
  return result;
}
