/** The command line as a stranger runs it, and what every run must hold. */
import assert from 'node:assert/strict';
import { SALLYPORT } from '../support/gate.ts';
import { run } from '../support/process.ts';
import type { RunOptions } from '../support/process.ts';

export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `bin/sallyport`; a failure must say exactly one line on standard error. */
export async function sallyport(args: readonly string[], options: RunOptions = {}): Promise<Said> {
  const { code, stdout, stderr } = await run([SALLYPORT, ...args], options);
  const err = stderr.toString();
  if (code !== 0) assert.match(err, /^sallyport: [^\n]+\n$/, `sallyport ${args.join(' ')}`);
  return { code, out: stdout.toString(), err };
}

/** The same for a command that must succeed and say nothing beside its output. */
export async function succeed(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, out, err } = await sallyport(args, options);
  assert.equal(code, 0, err);
  assert.equal(err, '');
  return out;
}
