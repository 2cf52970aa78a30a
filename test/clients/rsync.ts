/** rsync over any program that takes ssh's command line. */
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Client, Stage } from './scene.ts';
import { fillFolder, hashFolder, must, onPath, sshConfig } from './steps.ts';
import type { Line } from './steps.ts';

/** Up, up again with changes and removals, and down. */
export async function rsyncOver(stage: Stage, shell: string): Promise<object> {
  const { local, remote } = stage;
  const rsync = (...words: string[]): Line => ['rsync', '-e', shell, '-a', ...words];
  fillFolder(join(local, 'up'));
  await must(stage, rsync('up/', `there:${remote}/far/`));
  const first = hashFolder(join(remote, 'far'));
  appendFileSync(join(local, 'up', 'file 4'), 'appended');
  rmSync(join(local, 'up', 'file 1'));
  await must(stage, rsync('--delete', '-z', 'up/', `there:${remote}/far/`));
  await must(stage, rsync('--checksum', `there:${remote}/far/`, 'down/'));
  const [second, down] = [hashFolder(join(remote, 'far')), hashFolder(join(local, 'down'))];
  return { first, second, down };
}

export const rsync: Client = {
  name: 'rsync',
  package: 'rsync',
  isThere: () => onPath('rsync'),
  scenes: { rsync: (stage) => rsyncOver(stage, `ssh -F ${sshConfig(stage)}`) },
};
