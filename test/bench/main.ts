/**
 * `make bench`: what the gate costs beside OpenSSH doing the same, recording and hash chain on, everything on loopback.
 * Prints every figure, medians, and the project's bars. It asserts nothing: the exit code tells only whether all ran,
 * since another machine or another load gives other figures; compare within one run.
 */
import { cpus, loadavg, totalmem } from 'node:os';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { check } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { startArena, WAY_NAMES, WAYS } from './arena.ts';
import type { ArenaOptions, Direction, Way } from './arena.ts';
import { LOADS, measureFiles } from './file-transfer.ts';
import type { FileSeries, FileTransfer, Load } from './file-transfer.ts';
import { readOptions, USAGE } from './options.ts';
import type { BenchOptions, Part } from './options.ts';
import { measureKeystrokes } from './keystroke.ts';
import type { Keystrokes } from './keystroke.ts';
import { IDLE_GATE_ENV, measureIdle, measureLogins } from './many-sessions.ts';
import type { IdleCost, LoginRate } from './many-sessions.ts';
import { barTable, median, percentile, seriesLine } from './report.ts';
import type { Bar } from './report.ts';
import { measureSearches } from './session-search.ts';
import type { SearchTimes } from './session-search.ts';
import { measureThroughput } from './throughput.ts';
import type { Throughput } from './throughput.ts';

/** Times that each question is asked. */
const SEARCHES = 40;
const CIPHER = 'aes128-gcm@openssh.com';

async function printMachine(): Promise<void> {
  const ssh = await check(['sh', '-c', 'ssh -V 2>&1']);
  console.log(`${new Date().toISOString()}  ${(await check(['uptime'])).trim()}`);
  console.log(
    `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
  );
  console.log(`node ${process.version}, ${ssh.trim()}, ${(await check(['uname', '-sr'])).trim()}`);
}

function throughputBars(name: string, result: Throughput): Bar[] {
  return (['down', 'up'] as const).flatMap((direction: Direction) => {
    const { gate, proxyjump, tee } = result[direction];
    const cpu = median(gate.cpuSecondsPerGb);
    const label = `${name}, ${direction}: gate /`;
    return [
      {
        name: `${label} ProxyJump host, CPU`,
        measured: cpu / median(proxyjump.cpuSecondsPerGb),
        atMost: 1.9,
        unit: ' x',
      },
      {
        name: `${label} sshd + tee + ssh, CPU`,
        measured: cpu / median(tee.cpuSecondsPerGb),
        atMost: 0.75,
        unit: ' x',
      },
      {
        name: `${label} ProxyJump, wall`,
        measured: median(gate.wallSeconds) / median(proxyjump.wallSeconds),
        atMost: 1,
        unit: ' x',
      },
    ];
  });
}

function printThroughput(result: Throughput): void {
  for (const direction of ['down', 'up'] as const) {
    console.log(`${direction}, wall seconds`);
    for (const way of WAYS) {
      console.log(seriesLine(WAY_NAMES[way], result[direction][way].wallSeconds));
    }
    console.log(`${direction}, CPU seconds per GB of all processes in the middle`);
    for (const way of WAYS) {
      if (way === 'direct') continue;
      console.log(seriesLine(WAY_NAMES[way], result[direction][way].cpuSecondsPerGb));
    }
  }
}

const LOAD_NAMES: Readonly<Record<Load, string>> = {
  sftp: 'sftp, one large file',
  scp: 'scp -O, one large file',
  small: 'sftp, many small files',
};

function printFiles(result: FileTransfer): void {
  for (const load of LOADS) {
    for (const direction of ['down', 'up'] as const) {
      const ways = [...result[load][direction]];
      console.log(`${LOAD_NAMES[load]}, ${direction}, wall seconds`);
      for (const [way, { wallSeconds }] of ways)
        console.log(seriesLine(WAY_NAMES[way], wallSeconds));
      console.log(`${LOAD_NAMES[load]}, ${direction}, CPU seconds per GB in the middle`);
      for (const [way, { cpuSecondsPerGb }] of ways) {
        if (way !== 'direct') console.log(seriesLine(WAY_NAMES[way], cpuSecondsPerGb));
      }
    }
  }
}

function fileBars(result: FileTransfer): Bar[] {
  const bars: Bar[] = [];
  for (const load of LOADS) {
    for (const direction of ['down', 'up'] as const) {
      const of = (way: Way, figure: keyof FileSeries): number =>
        median(result[load][direction].get(way)?.[figure] ?? []);
      const bar = (what: string, measured: number, atMost: number): void => {
        bars.push({
          name: `${LOAD_NAMES[load]}, ${direction}: ${what}`,
          measured,
          atMost,
          unit: ' x',
        });
      };
      const wall = of('gate', 'wallSeconds');
      if (load === 'small') {
        bar('gate / direct, wall', wall / of('direct', 'wallSeconds'), 1.2);
        bar('on disk / data of the channel', of('gate', 'diskPerChannelByte'), 1.15);
      } else {
        const cpu = of('gate', 'cpuSecondsPerGb') / of('tee', 'cpuSecondsPerGb');
        bar('gate / ProxyJump, wall', wall / of('proxyjump', 'wallSeconds'), 1.1);
        bar('gate / sshd + tee + ssh, CPU', cpu, 0.95);
        bar('on disk / bytes of the file', of('gate', 'diskPerByte'), 1.02);
      }
    }
  }
  return bars;
}

/** Runs a part in an arena of its own, which has ended when this settles. */
async function inArena<T>(
  options: ArenaOptions,
  part: (arena: Awaited<ReturnType<typeof startArena>>, scope: ManualScope) => Promise<T>,
): Promise<T> {
  const scope = new ManualScope();
  try {
    return await part(await startArena(scope, options), scope);
  } finally {
    await scope.end();
  }
}

/** The parts that are not about transfers. */
async function benchSessions(options: BenchOptions, bars: Bar[]): Promise<void> {
  const wanted = (part: Part): boolean => options.only.includes(part);
  if (wanted('idle')) {
    // A gate of its own: what another part has left in the heap would hide what sessions take.
    await inArena({ cipher: CIPHER, gateEnv: IDLE_GATE_ENV }, async (arena) => {
      bars.push(printIdle(await measureIdle(arena, options.sessions)));
    });
  }
  if (!wanted('keystroke') && !wanted('logins')) return;
  await inArena({ cipher: CIPHER }, async (arena) => {
    if (wanted('keystroke')) {
      for (const terminal of [false, true]) {
        const keys = await measureKeystrokes(arena, { samples: options.samples, terminal });
        bars.push(printKeystrokes(keys));
      }
    }
    if (wanted('logins')) printLogins(await measureLogins(arena, options), options);
  });
}

function printKeystrokes({ terminal, direct, gate }: Keystrokes): Bar {
  const name = terminal ? 'keystroke in a terminal' : 'keystroke';
  console.log(`\n${name}, round trip in ms of ${direct.length} samples`);
  const at = (share: number): [number, number] => [
    percentile(direct, share),
    percentile(gate, share),
  ];
  for (const share of [0.5, 0.99]) {
    const [once, through] = at(share);
    console.log(
      `  p${share * 100}   direct ${once.toFixed(3)}   gate ${through.toFixed(3)}   added ${(through - once).toFixed(3)}`,
    );
  }
  const [once, through] = at(0.5);
  return { name: `${name}, added at p50`, measured: through - once, atMost: 0.5, unit: ' ms' };
}

function printLogins(rates: readonly LoginRate[], { logins }: BenchOptions): void {
  console.log(
    `\nlogins per second with a key, ${logins} in a burst (the gate's include the one at the target)`,
  );
  for (const { name, direct, gate } of rates) {
    console.log(seriesLine(`direct, ${name}`, direct, 1));
    console.log(seriesLine(`gate, ${name}`, gate, 1));
  }
}

function printIdle(idle: IdleCost): Bar {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const each = (bytes: number): number => bytes / idle.sessions / 1024;
  const { before, with: after } = idle;
  const resident = each(after.rss - before.rss);
  const live = each(after.live - before.live);
  console.log(`\n${idle.sessions} idle sessions through the gate`);
  console.log(
    `  resident   ${mib(before.rss)} before, ${mib(after.rss)} with them: ${resident.toFixed(1)} KiB each`,
  );
  console.log(
    `  reachable  ${mib(before.live)} before, ${mib(after.live)} with them: ${live.toFixed(1)} KiB each`,
  );
  console.log(
    `  both after collections; resident before the last one: ${mib(idle.uncollectedBytes)}`,
  );
  console.log(
    `  ${idle.filesPerSession.toFixed(2)} descriptors each; ${idle.cpuPercent.toFixed(1)} % of a core to keep all`,
  );
  // Resident memory also falls by what the start had left over: a session costs at least what it holds.
  return {
    name: 'idle session, the larger of resident and reachable',
    measured: Math.max(resident, live),
    atMost: 64,
    unit: ' KiB',
  };
}

function printSearches(all: readonly SearchTimes[], rows: number): Bar {
  console.log(`\nlists and searches over ${rows} sessions, ms`);
  for (const { name, matchCount, ms } of all) {
    const [half, most] = [median(ms), percentile(ms, 0.95)];
    console.log(
      `  ${name.padEnd(36)} ${String(matchCount).padStart(7)} fit   p50 ${half.toFixed(1)}   p95 ${most.toFixed(1)}`,
    );
  }
  const measured = percentile(
    all.flatMap(({ ms }) => ms),
    0.95,
  );
  return { name: 'list or search of sessions, p95 of all', measured, atMost: 200, unit: ' ms' };
}

/** The rows alone: needs no gate and no peers. */
async function benchSearch({ rows }: BenchOptions, bars: Bar[]): Promise<void> {
  const scope = new ManualScope();
  try {
    bars.push(printSearches(await measureSearches(scope, { rows, times: SEARCHES }), rows));
  } finally {
    await scope.end();
  }
}

async function bench(options: BenchOptions): Promise<void> {
  const bars: Bar[] = [];
  await printMachine();
  const profile = options.profile === undefined ? undefined : resolve(options.profile);
  if (profile !== undefined) mkdirSync(profile, { recursive: true });
  const gateEnv =
    profile === undefined
      ? {}
      : { gateEnv: { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` } };
  for (const part of ['throughput', 'stock'] as const) {
    if (!options.only.includes(part)) continue;
    const arenaOptions = part === 'stock' ? gateEnv : { cipher: CIPHER, ...gateEnv };
    const name = part === 'stock' ? 'stock ciphers' : CIPHER.replace('@openssh.com', '');
    await inArena(arenaOptions, async (arena) => {
      console.log(`\n${options.bytes} bytes, ${options.pairs} rounds, ${name}`);
      for (const way of WAYS)
        console.log(`  ${WAY_NAMES[way].padEnd(26)} ${await arena.ciphers(way)}`);
      const result = await measureThroughput(arena, options);
      printThroughput(result);
      bars.push(...throughputBars(name, result));
    });
  }
  if (options.only.includes('files')) {
    await inArena({ cipher: CIPHER, ...gateEnv }, async (arena, scope) => {
      console.log(
        `\nfiles: ${options.bytes} bytes or ${options.files} of 1 KiB, ${options.pairs} rounds`,
      );
      const result = await measureFiles(scope, arena, options);
      printFiles(result);
      bars.push(...fileBars(result));
    });
  }
  await benchSessions(options, bars);
  if (options.only.includes('search')) await benchSearch(options, bars);
  if (bars.length > 0) console.log(`\n${barTable(bars)}`);
  console.log(
    `load at the end: ${loadavg()
      .map((value) => value.toFixed(2))
      .join(' ')}`,
  );
}

const options = readOptions(process.argv.slice(2));
if (!options) console.log(USAGE);
else if (!hasOpenSsh()) throw new Error('needs openssh-server: apt-get install openssh-server');
else await bench(options);
