/**
 * Terminals for the demo's target where an ordinary user runs it. His sshd wants each terminal to belong to the group
 * `tty` and cannot change that; usually /dev/pts is mounted so that it does. Where it is not, as in some containers and
 * small virtual machines, sshd is started in a namespace whose /etc/group knows no such group: then it asks for none.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** How the target's server is started. */
export interface Terminals {
  /** Goes before the command; a leash of its own is within, since making a namespace takes off the one outside. */
  readonly prefix: readonly string[];
  /** Whether sessions of it can have a terminal. */
  readonly areThere: boolean;
}

const ETC_GROUP = '/etc/group';
const AS_IT_IS: Terminals = { prefix: [], areThere: true };

/** Finds out how the server must be started to give terminals; `folder` takes a file for it. */
export function findTerminals(folder: string): Terminals {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const groups = readFileSync(ETC_GROUP, 'utf8').split('\n');
  const tty = groups.find((line) => line.startsWith('tty:'))?.split(':')[2];
  if (uid === 0 || tty === undefined || groupOfTerminals() === tty) return AS_IT_IS;
  const without = join(folder, 'group');
  writeFileSync(without, groups.filter((line) => !line.startsWith('tty:')).join('\n'));
  const inner = `exec unshare --user --map-user=${uid} --map-group=${gid} -- "$@"`;
  const prefix = [
    ...['unshare', '--user', '--map-root-user', '--mount', '--', '/bin/sh', '-c'],
    ...[`mount --bind "$0" ${ETC_GROUP} && ${inner}`, without],
    ...['/usr/bin/setpriv', '--pdeathsig', 'TERM', '--'],
  ];
  const [command = '', ...args] = prefix;
  const { status } = spawnSync(command, [...args, 'true'], { stdio: 'ignore' });
  return status === 0 ? { prefix, areThere: true } : { prefix: [], areThere: false };
}

/** The group that new terminals get; undefined where the mount does not say, and so it is that of who opens them. */
function groupOfTerminals(): string | undefined {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const line = mounts.find((mount) => mount.startsWith('devpts /dev/pts '));
  return /[ ,]gid=(\d+)/.exec(line ?? '')?.[1];
}
