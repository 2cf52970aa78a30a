/** Handlers that have to run: the only sound way to test events. A handler that never ran fails the test. */
import assert from 'node:assert/strict';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';

/** Wraps `fn`; when the scope ends it must have been called exactly `times` times. */
export function mustCall<A extends unknown[], R>(
  scope: Scope,
  fn: (...args: A) => R,
  times = 1,
): (...args: A) => R {
  const where = new Error('mustCall was made here');
  let calls = 0;
  defer(scope, () => {
    assert.equal(
      calls,
      times,
      `${fn.name || 'the handler'} ran ${calls} times, not ${times}\n${where.stack ?? ''}`,
    );
  });
  return (...args) => {
    calls++;
    return fn(...args);
  };
}

/** A handler that must never run; it says what it was called with. */
export function mustNotCall(name: string): (...args: unknown[]) => never {
  return (...args) => assert.fail(`${name} was called with ${JSON.stringify(args)}`);
}
