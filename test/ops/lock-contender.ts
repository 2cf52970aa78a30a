/**
 * One of several processes that want the same folder at the same moment: waits for a line on standard input, tries, says
 * `won` or the error's code, and holds what it has until it is killed or its input ends.
 */
import { once } from 'node:events';
import { AppError } from '../../src/base/errors.ts';
import { openControl } from '../../src/ops/control.ts';

process.stdout.write('ready\n');
await once(process.stdin, 'data');
try {
  await openControl(process.argv[2] ?? '', {});
  process.stdout.write('won\n');
} catch (error) {
  process.stdout.write(`${error instanceof AppError ? error.code : String(error)}\n`);
}
