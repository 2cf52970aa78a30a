/**
 * Programs that tests run: started without a shell, output kept as bytes, ended by process id when the test ends. Each
 * is leashed to the test process by the kernel (PR_SET_PDEATHSIG), so that nothing outlives a test that is killed.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';

const SETPRIV = '/usr/bin/setpriv';
const LEASH = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', '--'] : [];

export interface StartOptions {
  /** The whole environment; the test's own by default. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** `pipe` (default), or `ignore` for programs that need no input. */
  readonly stdin?: 'pipe' | 'ignore';
  /** Whether the program leads a process group of its own, so that `kill` reaches its children too. */
  readonly group?: boolean;
}

/** What a program did. */
export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Exit code, or null after a signal. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program that runs. */
export class Running {
  readonly child: ChildProcess;
  readonly name: string;
  readonly stdin: Writable | null;
  readonly exited: Promise<Outcome>;
  readonly #out: Buffer[] = [];
  readonly #err: Buffer[] = [];
  readonly #group: boolean;
  #watchers: (() => void)[] = [];
  #outcome: Outcome | undefined;

  constructor(command: readonly [string, ...string[]], options: StartOptions) {
    const [program, ...args] = [...LEASH, ...command];
    const stdio: StdioOptions = [options.stdin ?? 'pipe', 'pipe', 'pipe'];
    this.name = command[0];
    this.#group = options.group ?? false;
    this.child = spawn(program ?? '', args, {
      stdio,
      env: options.env ?? process.env,
      detached: this.#group,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.stdin = this.child.stdin;
    // A program that ends before it has read all its input is no error of the test.
    this.stdin?.on('error', () => undefined);
    this.#collect(this.child.stdout, this.#out);
    this.#collect(this.child.stderr, this.#err);
    this.exited = this.#wait();
    this.exited.catch(() => undefined);
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.name} did not start`);
    return this.child.pid;
  }

  /** How it ended, once it has. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** All of standard output so far. */
  get stdout(): Buffer {
    return Buffer.concat(this.#out);
  }

  /** All of standard error so far. */
  get stderr(): Buffer {
    return Buffer.concat(this.#err);
  }

  /** Sends a signal, to its whole group if it leads one; nothing happens if it has ended. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.#outcome || this.child.pid === undefined) return;
    try {
      process.kill(this.#group ? -this.child.pid : this.child.pid, signal);
    } catch {
      // ended in this moment
    }
  }

  /** Ends it: SIGTERM, and SIGKILL when it has not gone within `ms`. */
  async stop(ms = 5000): Promise<Outcome> {
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), ms);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits until `find` sees what it looks for in the output so far; fails when the program ends first. */
  async until<T>(find: (run: Running) => T | undefined, what: string, ms = 60_000): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const look = (): void => {
      const found = find(this);
      if (found !== undefined) resolve(found);
      else if (this.#outcome)
        reject(new Error(`${this.name} ended before ${what}: ${this.#said()}`));
    };
    const timer = setTimeout(
      () => reject(new Error(`${this.name}: no ${what} within ${ms} ms: ${this.#said()}`)),
      ms,
    );
    this.#watchers.push(look);
    try {
      look();
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers = this.#watchers.filter((watcher) => watcher !== look);
    }
  }

  /** Waits for a line of either stream that matches, and returns the match. */
  line(pattern: RegExp, ms?: number): Promise<RegExpExecArray> {
    const find = (): RegExpExecArray | undefined => {
      for (const text of [this.stdout.toString(), this.stderr.toString()]) {
        for (const line of text.split('\n').slice(0, -1)) {
          const match = pattern.exec(line);
          if (match) return match;
        }
      }
      return undefined;
    };
    return this.until(find, `line ${pattern.source}`, ms);
  }

  #said(): string {
    return JSON.stringify(Buffer.concat([this.stdout, this.stderr]).toString().slice(-2000));
  }

  #collect(stream: Readable | null, into: Buffer[]): void {
    stream?.on('data', (chunk: Buffer) => {
      into.push(chunk);
      for (const watcher of this.#watchers) watcher();
    });
  }

  async #wait(): Promise<Outcome> {
    const [code, signal] = (await once(this.child, 'close')) as [
      number | null,
      NodeJS.Signals | null,
    ];
    this.#outcome = { stdout: this.stdout, stderr: this.stderr, code, signal };
    for (const watcher of this.#watchers) watcher();
    return this.#outcome;
  }
}

/** Starts a program; it is ended with the scope. */
export function start(
  scope: Scope,
  command: readonly [string, ...string[]],
  options: StartOptions = {},
): Running {
  const running = new Running(command, options);
  defer(scope, async () => {
    if (running.child.pid !== undefined) await running.stop();
  });
  return running;
}

export interface RunOptions extends StartOptions {
  /** Written to its standard input, which is closed then. Nothing by default. */
  readonly input?: string | Buffer;
  /** Killed after this long; 60 s by default. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end. */
export async function run(
  command: readonly [string, ...string[]],
  options: RunOptions = {},
): Promise<Outcome> {
  const running = new Running(command, options);
  const ms = options.timeoutMs ?? 60_000;
  const timer = setTimeout(() => running.kill('SIGKILL'), ms);
  try {
    running.stdin?.end(options.input ?? '');
    return await running.exited;
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a program that must succeed, and returns its output as text. */
export async function check(
  command: readonly [string, ...string[]],
  options: RunOptions = {},
): Promise<string> {
  const { stdout, stderr, code, signal } = await run(command, options);
  if (code !== 0) {
    const end = signal ?? String(code);
    throw new Error(`${command.join(' ').slice(0, 500)}: ended with ${end}: ${stderr.toString()}`);
  }
  return stdout.toString();
}
