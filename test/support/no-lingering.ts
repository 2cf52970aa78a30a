/**
 * Preloaded into every test process by `test/run`: node's runner limits the time of a test, but waits for ever for a
 * file whose tests are done and that left something open. Such a file fails here, and says what it left.
 */
import { after } from 'node:test';

const PATIENCE_MS = 10_000;

// The runner itself loads this too; only the processes of test files have a context.
if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  after(() => {
    setTimeout(() => {
      const left = process.getActiveResourcesInfo().join(', ');
      console.error(`all tests of this file are done, but it does not end; still open: ${left}`);
      process.exit(1);
    }, PATIENCE_MS).unref();
  });
}
