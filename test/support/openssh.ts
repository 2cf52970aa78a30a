/**
 * A real OpenSSH server on a free loopback port, as a throw-away target: host keys and configuration of its own, one
 * ordinary login with /bin/sh and one key that opens it. Ended with the test, its sessions included.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { makeKey } from './keys.ts';
import type { KeyPair } from './keys.ts';
import { start } from './process.ts';
import type { Running } from './process.ts';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';
import type { Endpoint } from './ssh-client.ts';
import { tempDir } from './tempdir.ts';
import { isRoot, testLogin } from './test-login.ts';

const SSHD = '/usr/sbin/sshd';

export interface OpenSshOptions {
  readonly ciphers?: string;
  readonly macs?: string;
  readonly kexAlgorithms?: string;
  /** As in sshd_config, for instance `1M`. */
  readonly rekeyLimit?: string;
  /** Whether the login may use its password; needs root. */
  readonly password?: boolean;
  /** Another port than a free one: to let a target come back. */
  readonly port?: number;
  /** Further lines of sshd_config, before all others (the first value counts). */
  readonly config?: readonly string[];
  /** A program that runs the server, given as its arguments; the server's `pid` is then that program's. */
  readonly runBy?: readonly string[];
  /** Host keys to use, ed25519 and rsa of its own by default. */
  readonly hostKeys?: readonly KeyPair[];
}

export interface OpenSsh {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** The login that it lets in. */
  readonly user: string;
  readonly home: string;
  /** Only where it was asked for. */
  readonly password: string | undefined;
  readonly key: KeyPair;
  /** How a client logs in directly, with the key. */
  readonly endpoint: Endpoint;
  readonly privateKeyPath: string;
  readonly privateKeyText: string;
  readonly hostKeys: readonly KeyPair[];
  /** `type base64` of each host key, as an inventory wants them. */
  readonly hostKeyLines: readonly string[];
  readonly pid: number;
  /** What sshd logged, at level VERBOSE. */
  log(): string;
  /** Ends the server and the sessions it has. */
  stop(): Promise<void>;
}

/** Whether this machine has OpenSSH's server. */
export function hasOpenSsh(): boolean {
  return existsSync(SSHD);
}

/** All descendants of a process, deepest last. */
export function descendants(pid: number): number[] {
  let text = '';
  try {
    text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  } catch {
    return [];
  }
  const children = text.split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function configOf(
  options: OpenSshOptions,
  port: number,
  files: string,
  keys: readonly KeyPair[],
): string {
  const algorithms = [
    ['Ciphers', options.ciphers],
    ['MACs', options.macs],
    ['KexAlgorithms', options.kexAlgorithms],
    ['RekeyLimit', options.rekeyLimit],
  ] as const;
  return [
    ...(options.config ?? []),
    `ListenAddress 127.0.0.1:${port}`,
    ...keys.map((key) => `HostKey ${key.path}`),
    ...algorithms.flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`])),
    `AuthorizedKeysFile ${join(files, 'authorized_keys')}`,
    'StrictModes no',
    'UsePAM no',
    `PasswordAuthentication ${options.password === true ? 'yes' : 'no'}`,
    'KbdInteractiveAuthentication no',
    'AcceptEnv *',
    'PermitUserEnvironment no',
    'PrintMotd no',
    'PrintLastLog no',
    'UseDNS no',
    'X11Forwarding yes',
    'AllowAgentForwarding yes',
    'MaxSessions 100',
    'MaxStartups 1000',
    'MaxAuthTries 100',
    'Subsystem sftp internal-sftp',
    'PidFile none',
    'LogLevel VERBOSE',
    '',
  ].join('\n');
}

/** Starts a server and waits until it listens. */
export async function startOpenSsh(scope: Scope, options: OpenSshOptions = {}): Promise<OpenSsh> {
  const login = await testLogin();
  if (options.password === true && login.password === undefined) {
    throw new Error('a target with a password needs root: skip the test with !isRoot()');
  }
  // sshd reads authorized_keys as the user who logs in.
  const files = tempDir(scope);
  const key = await makeKey(scope);
  const hostKeys = options.hostKeys ?? [await makeKey(scope), await makeKey(scope, 'rsa')];
  const port = options.port ?? (await freePort(scope));
  const config = join(files, 'sshd_config');
  writeFileSync(config, configOf(options, port, files, hostKeys));
  writeFileSync(join(files, 'authorized_keys'), `${key.publicLine}\n`, { mode: 0o644 });
  if (isRoot()) {
    chmodSync(files, 0o755);
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  }
  const [program, ...args] = [...(options.runBy ?? []), SSHD, '-D', '-e', '-f', config];
  const server = start(scope, [program, ...args], { stdin: 'ignore' });
  const stop = (): Promise<void> => stopServer(server);
  defer(scope, stop);
  await server.line(/Server listening on/);
  return {
    host: '127.0.0.1',
    port,
    user: login.name,
    home: login.home,
    password: options.password === true ? login.password : undefined,
    key,
    endpoint: { host: '127.0.0.1', port, user: login.name, key: key.path },
    privateKeyPath: key.path,
    privateKeyText: key.privateText,
    hostKeys,
    hostKeyLines: hostKeys.map(({ publicLine }) => publicLine.split(' ').slice(0, 2).join(' ')),
    pid: server.pid,
    log: () => server.stderr.toString(),
    stop,
  };
}

/** The listener's sessions would live on without it. */
async function stopServer(server: Running): Promise<void> {
  if (server.outcome) return;
  const sessions = descendants(server.pid);
  server.kill('SIGTERM');
  for (const pid of sessions.reverse()) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // has ended by itself
    }
  }
  await server.stop();
}
