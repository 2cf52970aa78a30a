/**
 * Files through the gate beside the other ways, interleaved: one large file with sftp and with the old scp protocol,
 * and many small ones with sftp. Wall time, CPU of the middle until it is at rest (the gate's files are hashed by then),
 * and what the gate has put on the disk for what it moved.
 */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { run } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';
import { WAYS } from './arena.ts';
import type { Arena, Direction, Way } from './arena.ts';
import { cpuSecondsAtRest } from './cpu-time.ts';
import type { Series } from './throughput.ts';

const LIMIT_MS = 1_200_000;
const SMALL_BYTES = 1024;

/** What is moved: one large file by one of two programs, or many small ones. */
export const LOADS = ['sftp', 'scp', 'small'] as const;
export type Load = (typeof LOADS)[number];

/** Small files are not sent through the recording bastion: nothing is promised about that. */
const WAYS_OF: Readonly<Record<Load, readonly Way[]>> = {
  sftp: WAYS,
  scp: WAYS,
  small: ['direct', 'proxyjump', 'gate'],
};

export interface FileSeries extends Series {
  /** The gate's channel trails, per byte that the files have. */
  readonly diskPerByte: number[];
  /** The same, per byte of data that crossed in the channel. */
  readonly diskPerChannelByte: number[];
}

export type FileTransfer = Readonly<
  Record<Load, Readonly<Record<Direction, ReadonlyMap<Way, FileSeries>>>>
>;

export interface FileOptions {
  readonly pairs: number;
  readonly bytes: number;
  /** How many small ones. */
  readonly files: number;
}

/** The folders of both ends. */
class Places {
  readonly here: string;
  readonly there: string;
  readonly #options: FileOptions;

  constructor(scope: Scope, options: FileOptions) {
    this.#options = options;
    this.here = tempDir(scope);
    this.there = tempDir(scope);
    for (const top of [this.here, this.there]) {
      chmodSync(top, 0o777);
      writeFileSync(join(top, 'large'), '');
      truncateSync(join(top, 'large'), options.bytes);
      const small = join(top, 'small');
      mkdirSync(small);
      for (let i = 0; i < options.files; i++) {
        writeFileSync(join(small, String(i)), Buffer.alloc(SMALL_BYTES, i));
      }
    }
  }

  /** Where the copies go; there it belongs to the login. */
  sink(direction: Direction): string {
    return join(direction === 'down' ? this.here : this.there, 'copy');
  }

  source(load: Load, direction: Direction): string {
    const name = load === 'small' ? 'small' : 'large';
    return join(direction === 'down' ? this.there : this.here, name);
  }

  /** Throws unless the copy is whole, and removes it. */
  take(load: Load, direction: Direction): void {
    const copy = this.sink(direction);
    const whole =
      load === 'small'
        ? readdirSync(copy).length === this.#options.files
        : statSync(copy).size === this.#options.bytes;
    if (!whole) throw new Error(`${load} ${direction}: the copy is not whole`);
    rmSync(copy, { recursive: true });
  }
}

interface Client {
  readonly command: readonly [string, ...string[]];
  readonly input: string | undefined;
}

function clientOf(
  arena: Arena,
  way: Way,
  load: Load,
  direction: Direction,
  places: Places,
): Client {
  const from = places.source(load, direction);
  const to = places.sink(direction);
  if (load === 'scp') {
    const ends = direction === 'down' ? [`${way}:${from}`, to] : [from, `${way}:${to}`];
    return { command: ['scp', '-O', '-q', ...arena.fileClient(way), ...ends], input: undefined };
  }
  const verb = direction === 'down' ? 'get' : 'put';
  const line = load === 'small' ? `${verb} -r ${from} ${to}\n` : `${verb} ${from} ${to}\n`;
  return { command: ['sftp', '-q', '-b', '-', ...arena.fileClient(way), way], input: line };
}

async function move(arena: Arena, way: Way, load: Load, direction: Direction, places: Places) {
  const middle = arena.middle(way);
  const before = middle ? await cpuSecondsAtRest(middle) : 0;
  const { command, input } = clientOf(arena, way, load, direction, places);
  const begin = performance.now();
  const { code, stderr } = await run(command, {
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    timeoutMs: LIMIT_MS,
  });
  const wall = (performance.now() - begin) / 1000;
  if (code !== 0)
    throw new Error(`${way} ${load} ${direction}: exit ${String(code)}: ${stderr.toString()}`);
  const after = middle ? await cpuSecondsAtRest(middle) : 0;
  places.take(load, direction);
  return { wall, cpu: after - before };
}

function emptySeries(): FileSeries {
  return { wallSeconds: [], cpuSecondsPerGb: [], diskPerByte: [], diskPerChannelByte: [] };
}

function emptyDirection(load: Load): Map<Way, FileSeries> {
  return new Map(WAYS_OF[load].map((way) => [way, emptySeries()]));
}

function empty(load: Load): Record<Direction, Map<Way, FileSeries>> {
  return { down: emptyDirection(load), up: emptyDirection(load) };
}

/** Runs all rounds. */
export async function measureFiles(
  scope: Scope,
  arena: Arena,
  options: FileOptions,
): Promise<FileTransfer> {
  const places = new Places(scope, options);
  const result = { sftp: empty('sftp'), scp: empty('scp'), small: empty('small') };
  arena.clearRecordings();
  for (let round = 0; round < options.pairs; round++) {
    for (const load of LOADS) {
      const bytes = load === 'small' ? options.files * SMALL_BYTES : options.bytes;
      const ways = WAYS_OF[load];
      for (const direction of ['down', 'up'] as const) {
        for (let i = 0; i < ways.length; i++) {
          const way = ways[(i + round) % ways.length] ?? 'direct';
          const { wall, cpu } = await move(arena, way, load, direction, places);
          const series = result[load][direction].get(way) ?? emptySeries();
          series.wallSeconds.push(wall);
          series.cpuSecondsPerGb.push((cpu / bytes) * 1e9);
          if (way === 'gate') {
            const { disk, moved } = await arena.recorded();
            series.diskPerByte.push(disk / bytes);
            series.diskPerChannelByte.push(disk / moved);
          }
          arena.clearRecordings();
        }
      }
    }
  }
  return result;
}
