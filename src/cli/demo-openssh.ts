/**
 * OpenSSH for the demo: a server as target, a client to try. What is missing is installed with apt-get where this is
 * root's to do, without the services that come with it; anybody else is told what to install.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { AppError } from '../base/errors.ts';

/** Debian's rule for services of packages that are being installed; 101 means: do not start them. */
const POLICY = '/usr/sbin/policy-rc.d';
/** Not in everybody's path. */
const SERVER_PLACES = ['/usr/sbin', '/usr/local/sbin', '/usr/bin', '/usr/local/bin'];

/** The path of `sshd`, which wants to be started by it. */
export async function findOpenSsh(tell: (text: string) => Promise<void>): Promise<string> {
  const missing = missingPackages();
  if (missing.length > 0) {
    const list = missing.join(' ');
    if (process.getuid?.() !== 0 || find('apt-get', pathFolders()) === undefined) {
      const how = `install it, on Debian: sudo apt-get install ${list}`;
      throw new AppError('not-found', `the demo needs OpenSSH (${list} missing): ${how}`);
    }
    await tell(`The demo needs OpenSSH: installing ${list} with apt-get ...\n`);
    install(missing);
  }
  const sshd = find('sshd', SERVER_PLACES);
  if (sshd === undefined || missingPackages().length > 0) {
    throw new AppError('not-found', 'OpenSSH was installed, but its sshd is not in /usr/sbin');
  }
  return sshd;
}

function missingPackages(): string[] {
  const folders = pathFolders();
  return [
    ...(find('sshd', SERVER_PLACES) === undefined ? ['openssh-server'] : []),
    ...(find('ssh', folders) === undefined ? ['openssh-client'] : []),
  ];
}

function pathFolders(): string[] {
  return (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
}

function find(program: string, folders: readonly string[]): string | undefined {
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

function install(packages: readonly string[]): void {
  const policy = !existsSync(POLICY);
  if (policy) {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n');
    chmodSync(POLICY, 0o755);
  }
  try {
    const args = ['install', '-y', '--no-install-recommends', ...packages];
    if (aptGet(args) === undefined) return;
    // The lists of packages may be missing, as on a fresh machine.
    const failure = aptGet(['update']) ?? aptGet(args);
    if (failure === undefined) return;
    const text = `apt-get ${args.join(' ')} failed: ${failure}; install them, then try again`;
    throw new AppError('not-found', text);
  } finally {
    if (policy) rmSync(POLICY, { force: true });
  }
}

/** Runs apt-get; the last line that it said if it failed. */
function aptGet(args: readonly string[]): string | undefined {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
  const { status, stderr, error } = spawnSync('apt-get', args, {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  return error?.message ?? stderr.trim().split('\n').at(-1) ?? 'no reason given';
}
