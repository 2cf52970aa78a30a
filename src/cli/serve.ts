/**
 * `sallyport serve`: runs the gate until a signal ends it. On standard output stands one JSON line when it listens and
 * nothing else; the log goes to standard error. The first SIGTERM or SIGINT stops it in order, a second one at once.
 */
import { openLog } from '../ops/log.ts';
import { reasonOf } from '../base/errors.ts';
import { startServer } from '../server.ts';
import type { RunningServer } from '../server.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';

export interface ServeOptions {
  readonly dir: string;
}

type Signal = 'SIGTERM' | 'SIGINT';

/** After a fault trails are closed as far as they can be, within this time. */
const LAST_MS = 5_000;

/** Settles when the gate has stopped. */
export async function serve({ dir }: ServeOptions, output: Output): Promise<void> {
  openGateFolder(dir);
  const stopped = Promise.withResolvers<Signal>();
  let signals = 0;
  const onSignal = (signal: Signal): void => {
    signals++;
    // What is recorded stays; the next start ends what this leaves open.
    if (signals > 1) process.exit(signal === 'SIGINT' ? 130 : 143);
    stopped.resolve(signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // A terminal that goes away is no reason to cut everybody's sessions.
  process.on('SIGHUP', () => undefined);

  const starting = startServer(dir);
  const faults = watchFaults(starting);
  try {
    const server = await starting;
    const { ssh, https } = server;
    const ready = { event: 'ready', ssh, https, pid: process.pid };
    // Who started it may have stopped listening; the gate serves all the same.
    await output.line(JSON.stringify(ready)).catch(() => undefined);
    const signal = await stopped.promise;
    await server.stop(`the gate is shutting down (${signal})`);
  } finally {
    faults.end();
  }
}

/** An error that nobody caught: one line in the log, then the end, since nothing is known to be sound any more. */
function watchFaults(starting: Promise<RunningServer>): { end(): void } {
  const log = openLog('error');
  let failed = false;
  const onFault = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    log.error({ event: 'fault', reason: reasonOf(error), stack }, 'an error that nobody caught');
    if (failed) return;
    failed = true;
    setTimeout(() => process.exit(1), LAST_MS).unref();
    starting
      .then((server) => server.stop('the gate has failed'))
      .catch(() => undefined)
      .finally(() => process.exit(1));
  };
  process.on('uncaughtException', onFault);
  process.on('unhandledRejection', onFault);
  return {
    end: () => {
      process.off('uncaughtException', onFault);
      process.off('unhandledRejection', onFault);
    },
  };
}
