/**
 * The gate of the demo: `sallyport serve` as a process of its own, as it is run anywhere else. Its log goes to a file;
 * whoever wants to know what happens at the gate is told each event of it.
 */
import { createWriteStream } from 'node:fs';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';

import { AppError } from '../base/errors.ts';
import { z } from '../config/schema.ts';
import type { DemoFolder } from './demo-folder.ts';
import type { DemoProcesses } from './demo-processes.ts';

/** One line of the gate's log, as far as the demo reads it. */
const event = z.looseObject({ event: z.string(), connection: z.string().optional() });
export type GateEvent = z.infer<typeof event>;

const ready = z.looseObject({ event: z.literal('ready'), ssh: z.string() });

export interface DemoGate {
  readonly port: number;
  readonly ended: Promise<string>;
  onEvent(listener: (event: GateEvent) => void): void;
  stop(): Promise<void>;
}

const STOP_MS = 15_000;

/** Starts the gate; settles when it listens. */
export async function startDemoGate(
  folder: DemoFolder,
  processes: DemoProcesses,
): Promise<DemoGate> {
  const main = join(import.meta.dirname, `main${extname(import.meta.filename)}`);
  const serving = processes.start('the gate', process.execPath, [
    main,
    'serve',
    '--dir',
    folder.dir,
  ]);
  const { stdout, stderr } = serving.child;
  if (!stdout || !stderr) throw new AppError('internal', 'the gate has no output');
  const log = createWriteStream(folder.gateLog, { flags: 'a', mode: 0o600 });
  const listeners: ((event: GateEvent) => void)[] = [];
  let last = '';
  createInterface({ input: stderr }).on('line', (line) => {
    log.write(`${line}\n`);
    last = line;
    const parsed = event.safeParse(jsonOf(line));
    if (parsed.success) for (const listener of listeners) listener(parsed.data);
  });
  serving.child.once('close', () => log.end());
  const listening = Promise.withResolvers<string>();
  createInterface({ input: stdout }).on('line', (line) => {
    const parsed = ready.safeParse(jsonOf(line));
    if (parsed.success) listening.resolve(parsed.data.ssh);
  });
  const gone = serving.ended.then((how) => {
    throw new AppError('internal', `${how}: ${last === '' ? 'it said nothing' : last}`);
  });
  const ssh = await Promise.race([listening.promise, gone]);
  gone.catch(() => undefined);
  return {
    port: Number(ssh.slice(ssh.lastIndexOf(':') + 1)),
    ended: serving.ended,
    onEvent: (listener) => listeners.push(listener),
    stop: () => processes.stop(serving, STOP_MS),
  };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
