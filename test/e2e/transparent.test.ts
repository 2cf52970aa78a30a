/**
 * P7, proof 1: what a client does directly works the same through the gate. Every script of the corpus is played at a
 * real OpenSSH server, directly and through a real gate; streams and ends must be equal, byte for byte.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { inventoryOf, startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import type { OpenSsh } from '../support/openssh.ts';
import { ManualScope } from '../support/scope.ts';
import { startSlowProxy } from '../support/slow-proxy.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { assertSame } from './transparent-place.ts';
import type { Place } from './transparent-place.ts';
import { SCRIPTS } from './transparent-scripts.ts';

/** Names of the targets: `near`, and one for each delay. */
const slowName = (delayMs: number): string => `slow-${delayMs}`;
const DELAYS = [0, 100, 300, 500, 1500, 3000, 5000];

suite('transparent', { concurrency: 4, skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  let target: OpenSsh;
  let gate: Gate;
  let key: string;
  // What a hook hands to `after` would end with the hook.
  const scope = new ManualScope();
  after(() => scope.end());

  before(async () => {
    target = await startOpenSsh(scope);
    const user = { name: 'alice', key: await makeKey(scope) };
    key = user.key.path;
    const slow = await Promise.all(
      DELAYS.map(async (delayMs) => {
        const { port } = await startSlowProxy(scope, { port: target.port, delayMs });
        return { name: slowName(delayMs), target, port };
      }),
    );
    gate = await startGate(scope, {
      inventory: inventoryOf(user, [{ name: 'near', target }, ...slow]),
    });
  });

  const through = (name: string): Endpoint =>
    gate.endpoint(`alice@${target.user}@${name}`, { key });

  for (const { name, play } of SCRIPTS) {
    test(name, { timeout: 60_000 }, async (t) => {
      const to = target.endpoint;
      const direct: Place = { scope: t, to, slow: () => to };
      const gated: Place = {
        scope: t,
        to: through('near'),
        slow: (delayMs) => through(slowName(delayMs)),
      };
      assertSame(name, await play(direct), await play(gated));
    });
  }

  test('the corpus has the forty scripts or more that the promise names', () => {
    assert.ok(SCRIPTS.length >= 40, `${SCRIPTS.length} scripts`);
    assert.equal(new Set(SCRIPTS.map(({ name }) => name)).size, SCRIPTS.length);
  });
});
