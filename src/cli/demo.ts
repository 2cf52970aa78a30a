/**
 * `sallyport demo`: a gate with one user, one rule and a throw-away target, to try with three commands that it prints.
 * It lives until a signal ends it, tells of each session meanwhile, and leaves no process, port or login behind: what
 * is started is ended in reverse, also when the start fails half way. Only its folder stays, to read the recordings.
 */
import { AppError } from '../base/errors.ts';
import { DemoProcesses } from './demo-processes.ts';
import { makeDemoFolder, writeClientFiles } from './demo-folder.ts';
import type { DemoFolder } from './demo-folder.ts';
import { startDemoGate } from './demo-gate.ts';
import { applyDemoInventory } from './demo-inventory.ts';
import { makeDemoLogin } from './demo-login.ts';
import type { DemoLogin } from './demo-login.ts';
import { findOpenSsh } from './demo-openssh.ts';
import { DemoSessions } from './demo-sessions.ts';
import { startDemoTarget } from './demo-target.ts';
import type { Output } from './output.ts';
import { shellWord } from './words.ts';

export interface DemoOptions {
  readonly dir: string;
  readonly keep?: boolean;
}

/** The names in the demo; `ssh` wants them, so they are short. */
export const DEMO_USER = 'alice';
export const DEMO_TARGET = 'playground';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Settles when a signal has ended the demo and everything it started is gone. */
export async function demo(options: DemoOptions, output: Output): Promise<void> {
  const stopped = Promise.withResolvers<'stopped'>();
  const processes = new DemoProcesses();
  let signals = 0;
  const onSignal = (): void => {
    // Who asks twice does not want to wait; what is left open is ended at the next start.
    if (++signals > 1) processes.hurry();
    stopped.resolve('stopped');
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  const undo: (() => Promise<void> | void)[] = [];
  const tell = (text: string): Promise<void> => output.write(text).catch(() => undefined);
  let folder: DemoFolder | undefined;
  try {
    const open = (): void => {
      if (signals > 0) throw new Stopped();
    };
    const openSsh = await findOpenSsh(tell);
    open();
    folder = await makeDemoFolder(options.dir, options.keep ?? false);
    const login = await makeDemoLogin(processes, folder, (step) => undo.push(step));
    open();
    const target = await startDemoTarget(openSsh, folder, login, processes);
    undo.push(() => target.stop());
    open();
    await applyDemoInventory(folder, login, target);
    open();
    const gate = await startDemoGate(folder, processes);
    undo.push(() => gate.stop());
    await writeClientFiles(folder, gate.port);
    const sessions = new DemoSessions(folder, tell);
    gate.onEvent((event) => sessions.take(event));
    await tell(whatToTry(folder, login, gate.port));
    if (!target.hasTerminals) await tell(NO_TERMINALS);
    const end = await Promise.race([stopped.promise, gate.ended, target.ended]);
    if (end !== 'stopped') throw new AppError('internal', end);
    await tell('\nEnding the gate and its target ...\n');
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  } finally {
    for (const step of undo.reverse()) await step();
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
  if (folder) await tell(whatIsLeft(folder));
}

/** In a container whose /dev/pts was mounted without a group, and that may not make namespaces. */
const NO_TERMINALS = `  (This machine gives an ordinary user's sshd no terminals: the shell has none, and no prompt.)\n\n`;

/** A signal came before the demo was up. */
class Stopped extends Error {}

function whatToTry(folder: DemoFolder, login: DemoLogin, port: number): string {
  const { here, shown, sallyport } = folder;
  const dir = shellWord(shown);
  const config = shellWord(folder.shownSshConfig);
  const way = login.isThrowaway
    ? 'with a login made for this demo'
    : 'where you log in as yourself';
  return `
A gate is running on 127.0.0.1 port ${port}. It lets the user ${DEMO_USER} in by her key, and on to
the target ${DEMO_TARGET}, an OpenSSH server ${way}.
All that passes is recorded before it is delivered. In a second terminal:

  cd ${shellWord(here)}
  ssh -F ${config} ${DEMO_USER}@${DEMO_TARGET}@gate
  ${sallyport} trail show --dir ${dir} newest
  ${sallyport} trail verify --dir ${dir} newest

And when you have been there, all that passed in the first channel; the terminal as an asciicast;
files, which work the same way:

  ${sallyport} trail show --dir ${dir} newest 0
  ${sallyport} trail export --dir ${dir} --format cast newest 0 > session.cast
  sftp -F ${config} ${DEMO_USER}@${DEMO_TARGET}@gate

Ctrl-C ends all of it. What happens at the gate:

`;
}

function whatIsLeft({ shown, sallyport }: DemoFolder): string {
  const dir = shellWord(shown);
  return `Nothing of it runs any more. The recordings are in ${shown}, to be read as above without a gate:
  ${sallyport} trail verify --dir ${dir}
The next demo makes that folder anew, unless it is told --keep; "rm -r ${dir}" removes it.
`;
}
