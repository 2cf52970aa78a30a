/**
 * Loaded into a gate that is measured: on SIGUSR2 it collects garbage and says on standard error what is left, so that
 * what sessions need can be told from what the heap has not bothered to give back. Does nothing in the other commands
 * of the gate, and nothing before the signal.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Code that has not run for some collections is dropped too: after so many all of that is gone. */
const PASSES = 12;
/** Time for the collector's threads to give memory back between two passes. */
const PAUSE_MS = 200;

if (process.argv.includes('serve')) {
  process.on('SIGUSR2', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    let left = PASSES;
    const pass = (): void => {
      collect();
      if (--left > 0) {
        setTimeout(pass, PAUSE_MS);
        return;
      }
      const { rss, heapUsed, external } = process.memoryUsage();
      process.stderr.write(
        `${JSON.stringify({ collected: { rss, live: heapUsed + external } })}\n`,
      );
    };
    pass();
  });
}
