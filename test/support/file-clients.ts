/** Stock clients that move files, told everything on their command lines; and what a gate says of the files. */
import { z } from '../../src/config/schema.ts';
import type { Gate } from './gate.ts';
import { run } from './process.ts';
import type { Outcome } from './process.ts';
import { sshCommand, sshEnv } from './ssh-client.ts';
import type { Endpoint } from './ssh-client.ts';

/** The options of ssh that sftp and scp take too: everything but port, login and host. */
export function copyOptions(to: Endpoint): string[] {
  const line = sshCommand(to);
  return [...line.slice(1, line.indexOf('-p')), '-P', String(to.port), '-o', `User=${to.user}`];
}

/** Runs `sftp` with a batch. */
export function sftp(
  to: Endpoint,
  batch: readonly string[],
  flags: readonly string[] = [],
): Promise<Outcome> {
  return run(['sftp', '-q', ...flags, ...copyOptions(to), '-b', '-', to.host], {
    env: sshEnv(to),
    input: `${batch.join('\n')}\n`,
    timeoutMs: 120_000,
  });
}

/** Runs `scp`; `HOST:` in front of a path is the target. */
export function scp(
  to: Endpoint,
  flags: readonly string[],
  from: string,
  into: string,
): Promise<Outcome> {
  const place = (path: string): string => path.replace(/^HOST:/, `${to.host}:`);
  return run(['scp', ...flags, ...copyOptions(to), place(from), place(into)], {
    env: sshEnv(to),
    timeoutMs: 120_000,
  });
}

const line = z.object({
  id: z.string(),
  connection: z.string(),
  channel: z.number(),
  path: z.string(),
  direction: z.string(),
  size: z.number().nullable(),
  moved: z.number(),
  whole: z.boolean(),
  sha256: z.string().nullable(),
  sha256_moved: z.string().nullable(),
  status: z.string(),
  error: z.string(),
});
export type FileLine = z.infer<typeof line>;

/** What `sallyport files --json` prints. */
export async function filesOf(gate: Gate, args: readonly string[]): Promise<FileLine[]> {
  const text = await gate.text(['files', ...args, '--json']);
  return text
    .split('\n')
    .filter(Boolean)
    .map((one) => line.parse(JSON.parse(one)));
}
