/**
 * Who the demo's target lets in. For an ordinary user that is he himself, since his sshd can let nobody else in. Root
 * does not try things out as root: he gets a login that is made for this demo, without a password, with a home that is
 * in memory, and removed at its end with all that it runs. Its name holds the id of the demo's process, so that one
 * that a killed demo left is found and removed by the next.
 */
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import { kill, processesOf } from './demo-processes.ts';
import type { DemoProcesses } from './demo-processes.ts';
import type { DemoFolder } from './demo-folder.ts';

export interface DemoLogin {
  readonly name: string;
  /** Whether it was made for this demo. */
  readonly isThrowaway: boolean;
  /** Where the target looks for the key of the gate, readable to the login. */
  readonly authorizedKeys: string;
}

/** Only root can make folders here, so nobody else has put one in our way. */
const HOMES = '/run';
const PREFIX = 'sallyport-demo-';

/** Finds or makes the login; `undo` is told how it is removed again. */
export async function makeDemoLogin(
  processes: DemoProcesses,
  folder: DemoFolder,
  undo: (step: () => Promise<void> | void) => void,
): Promise<DemoLogin> {
  const gateKey = readFileSync(join(folder.target, 'account_key.pub'));
  if (process.getuid?.() !== 0) {
    const authorizedKeys = join(folder.target, 'authorized_keys');
    writeFileSync(authorizedKeys, gateKey, { mode: 0o600 });
    undo(() => processes.sweep());
    return { name: ownName(), isThrowaway: false, authorizedKeys };
  }
  for (const { name, pid } of leftOvers()) if (!existsSync(`/proc/${pid}`)) await remove(name);
  const name = `${PREFIX}${process.pid}`;
  const home = join(HOMES, name);
  rmSync(home, { recursive: true, force: true });
  undo(() => remove(name));
  const shell = existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
  const about = ['--no-create-home', '--home-dir', home, '--shell', shell, '--password', '*'];
  run('useradd', ['--system', '--user-group', '--comment', 'Sallyport demo', ...about, name]);
  const { uid, gid } = idsOf(name);
  mkdirSync(home, { mode: 0o755 });
  const files = {
    '.bashrc': "PS1='\\w on playground$ '\n",
    '.bash_profile': '. ~/.bashrc\n',
    '.hushlogin': '',
    'hello.txt': 'You are on the target, and the gate has recorded how you read this.\n',
    authorized_keys: gateKey,
  };
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(home, file), text);
    chownSync(join(home, file), uid, gid);
  }
  chownSync(home, uid, gid);
  return { name, isThrowaway: true, authorizedKeys: join(home, 'authorized_keys') };
}

function ownName(): string {
  try {
    return userInfo().username;
  } catch (cause) {
    const text = `user ${process.getuid?.() ?? ''} has no name, and sshd lets in nobody without`;
    throw new AppError('not-found', `${text}: run the demo as a user of /etc/passwd`, { cause });
  }
}

/** Removes a login of a demo and everything of it. */
async function remove(name: string): Promise<void> {
  const ids = leftOvers().find((login) => login.name === name);
  if (ids) {
    // userdel refuses while one of them runs, and a killed one takes a moment to be gone.
    for (let round = 0; round < 100; round++) {
      const left = processesOf(ids.uid);
      if (left.length === 0) break;
      left.forEach(kill);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    run('userdel', [name]);
  }
  rmSync(join(HOMES, name), { recursive: true, force: true });
}

interface LeftOver {
  readonly name: string;
  /** Of the demo that made it. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Logins that demos have made. */
function leftOvers(): LeftOver[] {
  const found: LeftOver[] = [];
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name = '', , uid, gid, comment] = line.split(':');
    const pid = new RegExp(`^${PREFIX}(\\d{1,10})$`).exec(name)?.[1];
    if (pid === undefined || comment !== 'Sallyport demo') continue;
    found.push({ name, pid: Number(pid), uid: Number(uid), gid: Number(gid) });
  }
  // Whatever else it is, root is never one.
  return found.filter(({ uid, gid }) => uid > 0 && gid > 0);
}

function idsOf(name: string): LeftOver {
  const ids = leftOvers().find((login) => login.name === name);
  if (!ids) throw new AppError('internal', `useradd has made no login ${name}`);
  return ids;
}

function run(program: 'useradd' | 'userdel', args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return;
  const why = error ? reasonOf(error) : stderr.trim();
  throw new AppError('internal', `${program} ${args.at(-1) ?? ''} failed: ${why}`);
}
