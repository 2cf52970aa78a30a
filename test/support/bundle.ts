/** An evidence bundle as somebody without Sallyport uses it: by what its README says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './process.ts';
import type { Outcome } from './process.ts';

/** Every indented command of the README that its first two steps name, run as it stands. */
async function follow(bundle: string): Promise<Outcome[]> {
  const readme = readFileSync(join(bundle, 'README.txt'), 'utf8');
  const commands = [
    ...readme.matchAll(/^ {4}((?:sha256sum -c|python3 trail-reader\.py --key).*\S)$/gm),
  ].map(([, command = '']) => command);
  assert.equal(commands.length, 2);
  const outcomes: Outcome[] = [];
  for (const command of commands) {
    const env = { PATH: '/usr/bin:/bin' };
    outcomes.push(await run(['/bin/sh', '-c', command], { cwd: bundle, env }));
  }
  return outcomes;
}

/** Whether sums and trails are good. */
export async function isFoundGood(bundle: string): Promise<boolean> {
  const outcomes = await follow(bundle);
  return outcomes.every(({ code }) => code === 0);
}

/** Whether the trails by themselves, whatever the sums say, are good. */
export async function areTrailsGood(bundle: string): Promise<boolean> {
  const [, trails] = await follow(bundle);
  assert.match(trails?.stdout.toString() ?? '', /^together: (good|NOT GOOD)$/m);
  return trails?.code === 0;
}
