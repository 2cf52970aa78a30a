/** All clients of the table, in its order. */
import { ansibleClient } from './ansible.ts';
import { dropbear } from './dropbear.ts';
import { git } from './git.ts';
import { asyncssh, paramiko } from './libraries.ts';
import { openssh } from './openssh.ts';
import { putty } from './putty.ts';
import { rsync } from './rsync.ts';
import type { Client } from './scene.ts';
import { curl, lftp, rclone, sshfs } from './transfers.ts';

export const CLIENTS: readonly Client[] = [
  openssh,
  putty,
  dropbear,
  asyncssh,
  paramiko,
  curl,
  lftp,
  rclone,
  sshfs,
  rsync,
  git,
  ansibleClient,
];
