/**
 * A port that nobody listens on, for programs that cannot be told "any". Two tests at once never get the same one: the
 * kernel hands ephemeral ports out in turn, and each stays ours by a lock file until the scope ends.
 */
import { once } from 'node:events';
import { mkdirSync, rmdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';

/** A free port on 127.0.0.1. */
export async function freePort(scope: Scope): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    server.close();
    await once(server, 'close');
    if (typeof address !== 'object' || !address) throw new Error('the listener has no address');
    const lock = join(tmpdir(), `sp-port-${address.port}`);
    try {
      mkdirSync(lock);
    } catch {
      continue; // taken by another test, or left by a killed one: there are enough ports
    }
    defer(scope, () => rmdirSync(lock));
    return address.port;
  }
  throw new Error('no free port in 100 attempts; remove the folders sp-port-* of dead test runs');
}
