/**
 * How much longer a keystroke takes to come back: one byte through `cat`, directly and through the gate in turn on two
 * connections that stay open, as a person types: one at a time, with a pause between.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Arena } from './arena.ts';
import { RawClient } from './raw-session.ts';
import type { RawSession } from './raw-session.ts';

const PAUSE_MS = 5;
/** Without a pause, before what counts: a gate that has just started runs code that is not compiled yet. */
const WARM_UP = 2000;
const KEY = Buffer.from('x');

export interface Keystrokes {
  readonly terminal: boolean;
  /** Round trips in milliseconds. */
  readonly direct: number[];
  readonly gate: number[];
}

async function echo(session: RawSession): Promise<number> {
  const back = new Promise<void>((resolve) => {
    session.onData = resolve;
  });
  const begin = performance.now();
  session.send(KEY);
  await back;
  return performance.now() - begin;
}

async function openCat(client: RawClient, terminal: boolean): Promise<RawSession> {
  const session = await client.open();
  if (terminal) await session.pty();
  await session.exec('exec cat');
  return session;
}

/** Types `samples` keys on each way. */
export async function measureKeystrokes(
  arena: Arena,
  options: { readonly samples: number; readonly terminal: boolean },
): Promise<Keystrokes> {
  const { gate, target } = arena;
  const direct = await openCat(
    await RawClient.make({ port: target.port, user: target.user, key: target.privateKeyPath }),
    options.terminal,
  );
  const gated = await openCat(
    await RawClient.make({ port: gate.sshPort, user: arena.login, key: arena.userKey.path }),
    options.terminal,
  );
  const result: Keystrokes = { terminal: options.terminal, direct: [], gate: [] };
  for (let i = 0; i < WARM_UP; i++) await echo(gated);
  for (let i = 0; i < options.samples; i++) {
    await delay(PAUSE_MS);
    result.direct.push(await echo(direct));
    await delay(PAUSE_MS);
    result.gate.push(await echo(gated));
  }
  direct.close();
  gated.close();
  return result;
}
