/** `/readyz` names each thing that is wrong, waits for none for ever, and says nothing else of the gate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../src/api/errors.ts';
import { healthRoutes } from '../../src/api/health.ts';
import type { Check } from '../../src/api/health.ts';
import type { Call } from '../../src/api/route.ts';

async function ready(checks: Readonly<Record<string, Check>>): Promise<unknown> {
  const route = healthRoutes(checks).find(({ path }) => path === '/readyz');
  assert.ok(route);
  return route.handle({} as Call<unknown, unknown>);
}

test('a gate that is well says what was looked at', async () => {
  const checks = { database: () => undefined, recording: () => Promise.resolve(undefined) };
  assert.deepEqual(await ready(checks), { status: 'ok', checks: ['database', 'recording'] });
});

test('what is wrong, what fails and what does not answer are named together', async () => {
  const checks = {
    well: () => undefined,
    full: () => 'the ledger cannot be written',
    broken: () => Promise.reject(new Error('SQLITE_CANTOPEN: /secret/path')),
    thrown: () => {
      throw new Error('no');
    },
    silent: () => new Promise<undefined>(() => undefined),
  };
  await assert.rejects(ready(checks), (error: unknown) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.status, 503);
    assert.equal(
      error.message,
      'full: the ledger cannot be written; broken: fails; thrown: fails; silent: does not answer',
    );
    assert.deepEqual(error.details, { failed: ['full', 'broken', 'thrown', 'silent'] });
    return true;
  });
});
