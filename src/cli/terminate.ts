/** `sallyport terminate`: ends a connection that is open, and settles when its end is recorded. */
import { AppError } from '../base/errors.ts';
import { Storage } from '../recording/storage.ts';
import { runningGate, unixUser } from './configuration.ts';
import { findConnection } from './find-connection.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';

export interface TerminateOptions {
  readonly dir: string;
  readonly reason: string;
}

export async function terminate(
  name: string,
  { dir, reason }: TerminateOptions,
  output: Output,
): Promise<void> {
  const { recordings } = openGateFolder(dir);
  const connection = await findConnection(new Storage(recordings), name);
  const gate = await runningGate(dir);
  if (!gate) {
    throw new AppError('gate-unreachable', `no gate runs in ${dir}, so no connection is open`);
  }
  try {
    await gate.call('terminate', { connection, reason, by: unixUser() });
  } finally {
    gate.close();
  }
  await output.line(`terminated ${connection}`);
}
