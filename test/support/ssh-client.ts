/**
 * The real `ssh`, told everything on its command line: no configuration, agent or known_hosts of the machine counts.
 */
import { join } from 'node:path';
import { run, start } from './process.ts';
import type { Outcome, RunOptions, Running } from './process.ts';
import type { Scope } from './scope.ts';

const TERMINAL = join(import.meta.dirname, 'terminal.py');

/** Where to log in, and as whom. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Login name: of a target, or a gate's `user@account@target`. */
  readonly user: string;
  readonly key?: string;
  /** Answered at a password prompt. */
  readonly password?: string;
  /** A known_hosts file to check against; any host key is taken without one. */
  readonly knownHosts?: string;
}

export interface SshOptions extends RunOptions {
  /** `-o` settings, `Name=value`; they count before the ones here. */
  readonly settings?: readonly string[];
  /** Other flags, such as `-tt`. */
  readonly flags?: readonly string[];
}

/** The command line of ssh up to and including the host; append the command. */
export function sshCommand(to: Endpoint, options: SshOptions = {}): [string, ...string[]] {
  const settings = [
    ...(options.settings ?? []),
    'LogLevel=ERROR',
    'ConnectTimeout=20',
    'IdentityAgent=none',
    'IdentitiesOnly=yes',
    'UpdateHostKeys=no',
    `UserKnownHostsFile=${to.knownHosts ?? '/dev/null'}`,
    'GlobalKnownHostsFile=/dev/null',
    `StrictHostKeyChecking=${to.knownHosts === undefined ? 'no' : 'yes'}`,
    ...(to.password === undefined
      ? ['BatchMode=yes', 'PreferredAuthentications=publickey']
      : ['NumberOfPasswordPrompts=1', 'PreferredAuthentications=password,keyboard-interactive']),
  ];
  const key = to.key === undefined ? [] : ['-i', to.key];
  const flags = [...settings.flatMap((setting) => ['-o', setting]), ...(options.flags ?? [])];
  // -l rather than user@host: login names of a gate hold an @ themselves.
  return ['ssh', '-F', 'none', ...key, ...flags, '-p', String(to.port), '-l', to.user, to.host];
}

/** The environment of the client: only what it needs, so that nothing of the machine's is sent. */
export function sshEnv(to: Endpoint, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const askpass =
    to.password === undefined
      ? {}
      : {
          SSH_ASKPASS: join(import.meta.dirname, 'askpass'),
          SSH_ASKPASS_REQUIRE: 'force',
          SALLYPORT_TEST_PASSWORD: to.password,
        };
  const { PATH, HOME } = process.env;
  return { PATH, HOME, TERM: 'xterm', ...askpass, ...extra };
}

/** Runs one command (or a shell without one) and waits for its end. */
export function ssh(to: Endpoint, command?: string, options: SshOptions = {}): Promise<Outcome> {
  const args = command === undefined ? [] : [command];
  return run([...sshCommand(to, options), ...args], {
    ...options,
    env: sshEnv(to, options.env),
  });
}

/** Starts one command and leaves it running. */
export function startSsh(
  scope: Scope,
  to: Endpoint,
  command?: string,
  options: SshOptions = {},
): Running {
  const args = command === undefined ? [] : [command];
  return start(scope, [...sshCommand(to, options), ...args], {
    ...options,
    env: sshEnv(to, options.env),
  });
}

/** What happens in a terminal, one after the other. */
export type PtyStep =
  | { readonly expect: string }
  | { readonly send: string }
  | { readonly resize: readonly [rows: number, columns: number] }
  | { readonly eof: true };

export interface PtyOptions {
  readonly rows?: number;
  readonly columns?: number;
  /** Settings that `stty` applies to the terminal before the command runs. */
  readonly stty?: readonly string[];
  readonly steps?: readonly PtyStep[];
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

/** Runs a program in a real terminal; `stdout` is all that the terminal showed. */
export function runInPty(
  command: readonly [string, ...string[]],
  options: PtyOptions = {},
): Promise<Outcome> {
  const { rows = 24, columns = 80, stty = [], steps = [], timeoutMs = 90_000 } = options;
  const plan = JSON.stringify({ command, rows, columns, stty, steps });
  return run(['/usr/bin/python3', TERMINAL, plan], {
    stdin: 'ignore',
    timeoutMs,
    ...(options.env === undefined ? {} : { env: options.env }),
  });
}

/** `ssh -tt` in a real terminal. */
export function sshInPty(
  to: Endpoint,
  command: string | undefined,
  options: PtyOptions & Pick<SshOptions, 'settings' | 'flags'> = {},
): Promise<Outcome> {
  const line = sshCommand(to, {
    ...(options.settings ? { settings: options.settings } : {}),
    flags: [...(options.flags ?? []), '-tt'],
  });
  const args = command === undefined ? [] : [command];
  return runInPty([...line, ...args], { ...options, env: sshEnv(to, options.env) });
}
