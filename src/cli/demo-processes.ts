/**
 * The programs that the demo starts, and their ends. Each leads a session of its own, so that Ctrl-C reaches the demo
 * alone, which ends them in order; and each is bound to the life of the demo by the kernel, where `setpriv` is there
 * to ask it, so that a demo that is killed leaves none. What people start in a session of the target carries a mark in
 * its environment and is found by that. Nothing is ended by its name.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

import { reasonOf } from '../base/errors.ts';

const SETPRIV = '/usr/bin/setpriv';
const MARK = 'SALLYPORT_DEMO';

/** A program that the demo has started. */
export interface DemoProcess {
  readonly child: ChildProcess;
  /** Settles with how it ended, whether it was told to or not. */
  readonly ended: Promise<string>;
}

export class DemoProcesses {
  /** `NAME=value`, in the environment of all that a session of the target starts. */
  readonly mark = `${MARK}=${randomBytes(16).toString('hex')}`;
  readonly #running = new Set<ChildProcess>();
  #hurried = false;

  /** Starts a program with nothing on its standard input; the caller reads its output. */
  start(name: string, program: string, args: readonly string[]): DemoProcess {
    const leash = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'TERM', '--'] : [];
    const [command = program, ...rest] = [...leash, program, ...args];
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.#running.add(child);
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`${name} cannot be started: ${reasonOf(error)}`));
      child.once('close', (code, signal) => {
        this.#running.delete(child);
        resolve(`${name} has ended by itself (${signal ?? `exit ${code ?? 'unknown'}`})`);
      });
    });
    return { child, ended };
  }

  /** Ends one in its own way, or by force when it has not gone after `ms`. */
  async stop({ child, ended }: DemoProcess, ms: number): Promise<void> {
    child.kill(this.#hurried ? 'SIGKILL' : 'SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), ms);
    await ended;
    clearTimeout(timer);
  }

  /** Ends all that runs, now. */
  hurry(): void {
    this.#hurried = true;
    for (const child of this.#running) child.kill('SIGKILL');
  }

  /** Kills what sessions of the target have left: processes that carry the mark. */
  sweep(): void {
    for (const pid of processIds()) {
      if (pid !== process.pid && environmentOf(pid).includes(this.mark)) kill(pid);
    }
  }
}

/** All processes below one, deepest first. */
export function descendants(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [...descendants(child), child]);
}

/** Kills one process by its id; it may be gone already. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** The processes of one user. */
export function processesOf(uid: number): number[] {
  const line = new RegExp(`^Uid:\\s+${uid}\\s`, 'm');
  return processIds().filter((pid) => line.test(read(`/proc/${pid}/status`)));
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function environmentOf(pid: number): string[] {
  return read(`/proc/${pid}/environ`).split('\0');
}

/** The text of a file of the kernel; empty when the process is gone or somebody else's. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
