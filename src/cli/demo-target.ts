/**
 * The target of the demo: an OpenSSH server with keys and a configuration of its own, on a free port of loopback, that
 * lets one login in with one key and nobody else.
 */
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { AppError } from '../base/errors.ts';
import { descendants, kill } from './demo-processes.ts';
import type { DemoProcess, DemoProcesses } from './demo-processes.ts';
import type { DemoFolder } from './demo-folder.ts';
import type { DemoLogin } from './demo-login.ts';
import { findTerminals } from './demo-terminal.ts';

export interface DemoTarget {
  readonly port: number;
  /** Whether a shell there can have a terminal. */
  readonly hasTerminals: boolean;
  readonly ended: Promise<string>;
  /** Ends the server, its sessions, and what they have started. */
  stop(): Promise<void>;
}

/** A free port may be taken by another before the server has it. */
const TRIES = 5;
const START_MS = 10_000;
const STOP_MS = 5_000;

/** Starts the server; settles when it listens. */
export async function startDemoTarget(
  sshd: string,
  folder: DemoFolder,
  login: DemoLogin,
  processes: DemoProcesses,
): Promise<DemoTarget> {
  // Where the server of root leaves its rights behind; a machine that never ran one has it not.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const terminals = findTerminals(folder.target);
  const [program, ...before] = [...terminals.prefix, sshd];
  let said = '';
  for (let round = 0; round < TRIES; round++) {
    const port = await freePort();
    const config = join(folder.target, 'sshd_config');
    writeFileSync(config, configuration(folder, login, port, processes.mark, terminals.areThere), {
      mode: 0o600,
    });
    const server = processes.start('the target', program, [...before, '-D', '-e', '-f', config]);
    said = await untilItListens(server, join(folder.target, 'sshd.log'));
    if (said === '') {
      const hasTerminals = terminals.areThere;
      return { port, hasTerminals, ended: server.ended, stop: () => stop(server, processes) };
    }
    await processes.stop(server, STOP_MS);
    if (!said.includes('Address already in use')) break;
  }
  throw new AppError('internal', `the target does not start: ${said}`);
}

async function stop(server: DemoProcess, processes: DemoProcesses): Promise<void> {
  // The server's sessions would live on without it.
  const sessions = server.child.pid === undefined ? [] : descendants(server.child.pid);
  await processes.stop(server, STOP_MS);
  sessions.forEach(kill);
  processes.sweep();
}

function configuration(
  { target }: DemoFolder,
  { name, isThrowaway, authorizedKeys }: DemoLogin,
  port: number,
  mark: string,
  hasTerminals: boolean,
): string {
  return `# Written by sallyport demo.
ListenAddress 127.0.0.1:${port}
HostKey "${join(target, 'host_key')}"
AuthorizedKeysFile "${authorizedKeys.replaceAll('%', '%%')}"
StrictModes no
${isThrowaway ? `AllowUsers ${name}\n` : ''}PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
PidFile none
PermitTTY ${hasTerminals ? 'yes' : 'no'}
Subsystem sftp internal-sftp
SetEnv ${mark}
`;
}

/** Settles with '' when it listens, or with what it said instead. */
async function untilItListens({ child, ended }: DemoProcess, logFile: string): Promise<string> {
  const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
  const listening = Promise.withResolvers<string>();
  let text = '';
  child.stdout?.resume();
  child.stderr?.on('data', (chunk: Buffer) => {
    log.write(chunk);
    if (text.length > 100_000) return;
    text += chunk.toString();
    if (text.includes('Server listening on')) listening.resolve('');
  });
  child.once('close', () => log.end());
  const timer = setTimeout(() => listening.resolve(`no word within ${START_MS} ms`), START_MS);
  const gone = ended.then((how) => text.trim().replaceAll(/\s*\n\s*/g, '; ') || how);
  try {
    return await Promise.race([listening.promise, gone]);
  } finally {
    clearTimeout(timer);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
