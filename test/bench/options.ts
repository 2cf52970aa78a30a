/** What the command line of `make bench` may say; every figure has the value of the issue by default. */
import { parseArgs } from 'node:util';

export const PARTS = [
  'throughput',
  'stock',
  'files',
  'idle',
  'keystroke',
  'logins',
  'search',
] as const;
export type Part = (typeof PARTS)[number];

export interface BenchOptions {
  readonly only: readonly Part[];
  /** Rounds; in each, every way is run once. */
  readonly pairs: number;
  /** Bytes of one transfer. */
  readonly bytes: number;
  /** Small files of one transfer. */
  readonly files: number;
  /** Idle sessions held at once. */
  readonly sessions: number;
  /** Keystrokes on each way. */
  readonly samples: number;
  /** Logins of one burst. */
  readonly logins: number;
  /** Connections in the database that is searched. */
  readonly rows: number;
  /** A folder for CPU profiles of the gate, none by default. */
  readonly profile: string | undefined;
}

export const USAGE = `usage: node test/bench/main.ts [options]
  --only PARTS      of ${PARTS.join(',')}; all by default
  --pairs N         rounds (5)
  --bytes N         bytes of one transfer (1000000000)
  --files N         small files of one transfer (10000)
  --sessions N      idle sessions (500)
  --samples N       keystrokes on each way (500)
  --logins N        logins of one burst (100)
  --rows N          connections in the database that is searched (100000)
  --profile FOLDER  write CPU profiles of the gate there (its figures then carry the profiler's cost)`;

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${name} ${text}: want 1 or more`);
  return value;
}

function partOf(text: string): Part {
  const part = PARTS.find((name) => name === text);
  if (!part) throw new Error(`--only ${text}: want some of ${PARTS.join(',')}`);
  return part;
}

/** Reads the arguments; undefined when help was asked for. */
export function readOptions(args: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: PARTS.join(',') },
      pairs: { type: 'string', default: '5' },
      bytes: { type: 'string', default: '1000000000' },
      files: { type: 'string', default: '10000' },
      sessions: { type: 'string', default: '500' },
      samples: { type: 'string', default: '500' },
      logins: { type: 'string', default: '100' },
      rows: { type: 'string', default: '100000' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  return {
    only: values.only.split(',').map(partOf),
    pairs: count('pairs', values.pairs),
    bytes: count('bytes', values.bytes),
    files: count('files', values.files),
    sessions: count('sessions', values.sessions),
    samples: count('samples', values.samples),
    logins: count('logins', values.logins),
    rows: count('rows', values.rows),
    profile: values.profile,
  };
}
