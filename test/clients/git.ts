/** git over any program that takes ssh's command line. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rounds } from '../support/scale.ts';
import type { Client, Stage } from './scene.ts';
import { giveAway, must, onPath, sshConfig } from './steps.ts';
import type { Line } from './steps.ts';

const ME = ['-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'init.defaultBranch=main'];
/** Commits have the same names in every run. */
const WHEN = '2026-01-01T00:00:00Z';

/** Objects in the repository of git's own cell. */
export const OBJECTS = rounds(10_000, 200);

/** Clone, push so many objects, clone again, fetch: what both sides end up with. */
export async function gitOver(
  stage: Stage,
  over: NodeJS.ProcessEnv,
  objects: number,
): Promise<object> {
  const { local, remote } = stage;
  const env = {
    ...over,
    GIT_AUTHOR_DATE: WHEN,
    GIT_COMMITTER_DATE: WHEN,
    GIT_CONFIG_NOSYSTEM: '1',
  };
  const git = async (...words: string[]): Promise<string> => {
    const line: Line = ['git', ...ME, ...words];
    return (await must(stage, line, { env })).stdout.toString().trim();
  };
  await git('init', '-q', '--bare', `${remote}/repository`);
  await giveAway(remote);
  const url = `there:${remote}/repository`;
  await git('clone', '-q', url, 'one');
  for (let i = 0; i < objects; i++) {
    const folder = join(local, 'one', String(i % 16));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, String(i)), `object ${i}\n`);
  }
  await git('-C', 'one', 'add', '.');
  await git('-C', 'one', 'commit', '-qm', 'all of them');
  await git('-C', 'one', 'push', '-q', 'origin', 'HEAD:main');
  await git('clone', '-q', '-b', 'main', url, 'two');
  const [head, tree, count] = [
    await git('-C', 'two', 'rev-parse', 'HEAD'),
    await git('-C', 'two', 'rev-parse', 'HEAD^{tree}'),
    await git('-C', 'two', 'ls-files').then((list) => list.split('\n').length),
  ];
  await git('-C', 'two', 'fsck', '--strict', '--no-progress');
  await git('-C', 'one', 'fetch', '-q', 'origin');
  return { head, tree, count, heads: await git('-C', 'one', 'ls-remote', '--heads', 'origin') };
}

export const git: Client = {
  name: 'git',
  package: 'git',
  isThere: () => onPath('git'),
  scenes: {
    git: (stage) => gitOver(stage, { GIT_SSH_COMMAND: `ssh -F ${sshConfig(stage)}` }, OBJECTS),
  },
};
