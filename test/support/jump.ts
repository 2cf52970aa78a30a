/** Stock ssh with the gate as its jump host, told by a configuration file, as a user would have it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, start } from './process.ts';
import type { Outcome, RunOptions, Running } from './process.ts';
import type { Scope } from './scope.ts';
import type { Site } from './site.ts';
import { sshEnv } from './ssh-client.ts';
import { tempDir } from './tempdir.ts';

export interface JumpOptions {
  /** Lines for known_hosts; any host key is taken without. */
  readonly knownHosts?: string;
  /** Further lines for every host. */
  readonly lines?: readonly string[];
  /** Whether every other host is reached through the gate without being told so; true by default. */
  readonly always?: boolean;
}

export interface JumpConfig {
  /** The ssh_config file: `gate` is the gate, and every other host is reached through it. */
  readonly file: string;
  readonly ssh: (args: readonly string[], options?: RunOptions) => Promise<Outcome>;
  /** Any program with this environment. */
  readonly run: (command: readonly [string, ...string[]], options?: RunOptions) => Promise<Outcome>;
  readonly start: (scope: Scope, args: readonly string[], options?: RunOptions) => Running;
}

/** Writes the configuration for alice of the site. */
export function jumpConfig(scope: Scope, site: Site, options: JumpOptions = {}): JumpConfig {
  const dir = tempDir(scope);
  const file = join(dir, 'config');
  const known = join(dir, 'known_hosts');
  writeFileSync(known, options.knownHosts ?? '');
  const check = options.knownHosts === undefined ? 'no' : 'yes';
  writeFileSync(
    file,
    [
      ...(options.lines ?? []),
      'Host gate',
      '  HostName 127.0.0.1',
      `  Port ${site.gate.sshPort}`,
      '  User alice',
      `  IdentityFile ${site.key.path}`,
      '  StrictHostKeyChecking no',
      'Host * !gate',
      ...(options.always === false ? [] : ['  ProxyJump gate']),
      `  User ${site.target.user}`,
      '  PubkeyAuthentication no',
      `  StrictHostKeyChecking ${check}`,
      'Host *',
      `  UserKnownHostsFile ${known}`,
      '  GlobalKnownHostsFile /dev/null',
      '  IdentityAgent none',
      '  IdentitiesOnly yes',
      '  BatchMode yes',
      '  ConnectTimeout 20',
      '  LogLevel ERROR',
      '',
    ].join('\n'),
  );
  const env = sshEnv(site.to);
  return {
    file,
    ssh: (args, more) => run(['ssh', '-F', file, ...args], { ...more, env }),
    run: (command, more) => run(command, { ...more, env }),
    start: (owner, args, more) => start(owner, ['ssh', '-F', file, ...args], { ...more, env }),
  };
}
