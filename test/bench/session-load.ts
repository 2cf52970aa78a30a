/**
 * Many cheap clients in a process of their own: `hold` opens sessions, each with an idle `cat`, and keeps them until
 * standard input ends; `logins` opens and ends them as fast as it can. One JSON argument in, one JSON line out.
 */
import { once } from 'node:events';
import { RawClient } from './raw-session.ts';
import type { RawEndpoint, RawSession } from './raw-session.ts';

export interface Load extends RawEndpoint {
  readonly mode: 'hold' | 'logins';
  readonly count: number;
  /** How many log in at a time. */
  readonly parallel: number;
}

/** Runs `count` times `one`, `parallel` at a time. */
async function repeat(load: Load, one: () => Promise<void>): Promise<void> {
  let left = load.count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: load.parallel }, worker));
}

async function main(load: Load): Promise<void> {
  const client = await RawClient.make(load);
  const sessions: RawSession[] = [];
  const begin = performance.now();
  await repeat(load, async () => {
    const session = await client.open();
    if (load.mode === 'logins') {
      session.close();
      return;
    }
    await session.exec('exec cat');
    sessions.push(session);
  });
  const seconds = (performance.now() - begin) / 1000;
  process.stdout.write(`${JSON.stringify({ event: 'done', seconds })}\n`);
  if (load.mode === 'logins') return;
  process.stdin.resume();
  await once(process.stdin, 'end');
  for (const session of sessions) session.close();
}

await main(JSON.parse(process.argv[2] ?? '') as Load);
