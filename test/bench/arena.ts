/**
 * The four ways to one target, all on loopback: directly, through OpenSSH's ProxyJump, through a second sshd that
 * records with `tee` what a forced command relays with `ssh`, and through the gate. Each middle is a server of its own,
 * so that its cost can be told apart. The clients are the real `ssh` with one configuration file for all.
 */
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inventoryOf, startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import type { KeyPair } from '../support/keys.ts';
import { startOpenSsh } from '../support/openssh.ts';
import type { OpenSsh } from '../support/openssh.ts';
import { run } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';
import { isRoot } from '../support/test-login.ts';
import type { Middle } from './cpu-time.ts';

export const WAYS = ['direct', 'proxyjump', 'tee', 'gate'] as const;
export type Way = (typeof WAYS)[number];

/** How the report calls them. */
export const WAY_NAMES: Readonly<Record<Way, string>> = {
  direct: 'OpenSSH direct',
  proxyjump: 'OpenSSH ProxyJump',
  tee: 'sshd + tee + ssh',
  gate: 'gate, recording',
};

export type Direction = 'down' | 'up';

/** A cipher by name, as ssh -v and the trail write it. */
const CIPHER_NAMES = /chacha20-poly1305@openssh\.com|aes\d{3}-(?:gcm@openssh\.com|ctr)/g;

export interface ArenaOptions {
  /** Allowed on every hop; undefined for what each peer picks by itself. */
  readonly cipher?: string;
  /** Further variables for the gate's process. */
  readonly gateEnv?: NodeJS.ProcessEnv;
}

/** So that no child's CPU time is lost. */
const REAPER = ['/usr/bin/python3', join(import.meta.dirname, 'reaper.py')];
const TARGET = 'target';
const USER = 'bench';

/**
 * What the bastion runs for everybody who logs in. The first word of the command says which stream is recorded, since
 * the other is empty here: the cheapest recording that a shell can make.
 */
function bastionScript(folder: string): string {
  return [
    'direction=${SSH_ORIGINAL_COMMAND%% *}',
    'command=${SSH_ORIGINAL_COMMAND#* }',
    `case $direction in`,
    `down) ssh -F ${folder}/ssh_config target "$command" | tee ${folder}/tee/$$ ;;`,
    `up) tee ${folder}/tee/$$ | ssh -F ${folder}/ssh_config target "$command" ;;`,
    // The first tee is ended by hand: a client that has its file waits for the end of the session, and it for the client.
    `both) mkfifo ${folder}/tee/$$; exec 3<&0; tee ${folder}/tee/$$.in <&3 >${folder}/tee/$$ & up=$!`,
    `  ssh -F ${folder}/ssh_config target "$command" <${folder}/tee/$$ | tee ${folder}/tee/$$.out; kill $up 2>/dev/null || true ;;`,
    `probe) ssh -v -F ${folder}/ssh_config target "$command" ;;`,
    'esac',
    '',
  ].join('\n');
}

/** What sftp and scp run as their ssh on the way through the bastion, which knows commands alone, no subsystems. */
function fileClientScript(config: string): string {
  return [
    '#!/bin/sh',
    'for last; do :; done',
    '[ "$last" != sftp ] || last=/usr/lib/openssh/sftp-server',
    `exec ssh -F ${config} tee "both $last"`,
    '',
  ].join('\n');
}

function host(
  name: string,
  to: { port: number; user: string; key: string; jump?: string },
): string {
  return [
    `Host ${name}`,
    '  HostName 127.0.0.1',
    `  Port ${to.port}`,
    `  User ${to.user}`,
    `  IdentityFile ${to.key}`,
    ...(to.jump === undefined ? [] : [`  ProxyJump ${to.jump}`]),
    '',
  ].join('\n');
}

function forAll(cipher: string | undefined): string {
  return [
    'Host *',
    '  LogLevel ERROR',
    '  BatchMode yes',
    '  IdentityAgent none',
    '  IdentitiesOnly yes',
    '  UpdateHostKeys no',
    '  StrictHostKeyChecking no',
    '  UserKnownHostsFile /dev/null',
    '  GlobalKnownHostsFile /dev/null',
    '  IgnoreUnknown ObscureKeystrokeTiming',
    '  ObscureKeystrokeTiming no',
    ...(cipher === undefined ? [] : [`  Ciphers ${cipher}`]),
    '',
  ].join('\n');
}

export class Arena {
  readonly target: OpenSsh;
  readonly gate: Gate;
  /** The key that the gate's user logs in with. */
  readonly userKey: KeyPair;
  readonly #jump: OpenSsh;
  readonly #bastion: OpenSsh;
  readonly #config: string;
  readonly #fileClient: string;
  readonly #tees: string;

  constructor(
    servers: { target: OpenSsh; jump: OpenSsh; bastion: OpenSsh; gate: Gate },
    files: { userKey: KeyPair; config: string; fileClient: string; tees: string },
  ) {
    this.target = servers.target;
    this.gate = servers.gate;
    this.#jump = servers.jump;
    this.#bastion = servers.bastion;
    this.userKey = files.userKey;
    this.#config = files.config;
    this.#fileClient = files.fileClient;
    this.#tees = files.tees;
  }

  /** The login name that leads through the gate to the target. */
  get login(): string {
    return gateLogin(this.target);
  }

  /** What stands between client and target on a way. */
  middle(way: Way): Middle | undefined {
    if (way === 'direct') return undefined;
    if (way === 'gate') return { pid: this.gate.pid, resting: 0 };
    // At rest only the listener runs below the reaper.
    return { pid: (way === 'tee' ? this.#bastion : this.#jump).pid, resting: 1 };
  }

  /** The command line of ssh that runs `command` on the target. */
  ssh(way: Way, direction: Direction, command: string, flags: readonly string[] = []): string[] {
    const sent = way === 'tee' ? `${direction} ${command}` : command;
    return ['ssh', '-F', this.#config, ...flags, way, sent];
  }

  /** The flags with which sftp and scp take a way. */
  fileClient(way: Way): string[] {
    return ['-F', this.#config, ...(way === 'tee' ? ['-S', this.#fileClient] : [])];
  }

  /** Bytes of the channel trails that are there, and of the data that the newest connection has moved. */
  async recorded(): Promise<{ readonly disk: number; readonly moved: number }> {
    const rows = await this.gate.connections();
    const newest = rows.reduce((a, b) => (String(a['id']) > String(b['id']) ? a : b));
    const disk = this.#channelTrails().reduce((sum, path) => sum + statSync(path).size, 0);
    return { disk, moved: Number(newest['bytes_in']) + Number(newest['bytes_out']) };
  }

  /** The ciphers that the hops of a way really use, each once: from what ssh says, or from the gate's own trail. */
  async ciphers(way: Way): Promise<string> {
    const [program = '', ...args] = this.ssh(way, 'down', 'true', ['-v']).map((word) =>
      word === 'down true' ? 'probe true' : word,
    );
    const { code, stderr } = await run([program, ...args], { stdin: 'ignore' });
    let said = stderr.toString();
    if (code !== 0) throw new Error(`${way}: ssh ended with ${String(code)}: ${said.slice(-2000)}`);
    // Without the lists of what is offered.
    said = said.replace(/^(?!debug1: kex: (?:server->client|client->server) cipher:).*$/gm, '');
    if (way === 'gate') {
      const ids = (await this.gate.connections()).map(({ id }) => String(id));
      said = await this.gate.text(['trail', 'show', ids.sort().at(-1) ?? '']);
    }
    return [...new Set(said.match(CIPHER_NAMES))].join(', ');
  }

  /** Removes what the ended connections have left on the disk. */
  clearRecordings(): void {
    for (const name of readdirSync(this.#tees)) rmSync(join(this.#tees, name));
    for (const path of this.#channelTrails()) rmSync(path);
  }

  /** Without those of the ledger and of connections, which are small and perhaps still open. */
  #channelTrails(): string[] {
    const top = join(this.gate.dir, 'recordings');
    return readdirSync(top, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /^\d+\.trail$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name));
  }
}

function gateLogin(target: OpenSsh): string {
  return `${USER}@${target.user}@${TARGET}`;
}

/** Starts everything; ended with the scope. */
export async function startArena(scope: Scope, options: ArenaOptions): Promise<Arena> {
  const { cipher } = options;
  const algorithms = cipher === undefined ? {} : { ciphers: cipher };
  const files = tempDir(scope);
  const tees = join(files, 'tee');
  mkdirSync(tees);
  const script = join(files, 'bastion.sh');
  writeFileSync(script, bastionScript(files), { mode: 0o644 });

  const target = await startOpenSsh(scope, algorithms);
  const jump = await startOpenSsh(scope, { ...algorithms, runBy: REAPER });
  const bastion = await startOpenSsh(scope, {
    ...algorithms,
    runBy: REAPER,
    config: [`ForceCommand exec sh ${script}`],
  });
  if (isRoot()) {
    chmodSync(files, 0o755);
    chmodSync(tees, 0o777);
  }
  // The bastion's ssh runs as the login; a key of somebody else's may be readable.
  const innerKey = join(files, 'id');
  writeFileSync(innerKey, target.privateKeyText, { mode: isRoot() ? 0o644 : 0o600 });
  const inner = host('target', { port: target.port, user: target.user, key: innerKey });
  writeFileSync(join(files, 'ssh_config'), inner + forAll(cipher), { mode: 0o644 });

  const userKey = await makeKey(scope);
  const inventory = inventoryOf({ name: USER, key: userKey }, [{ name: TARGET, target }]);
  const gate = await startGate(scope, {
    inventory,
    ...(options.gateEnv === undefined ? {} : { env: options.gateEnv }),
  });

  const direct = { port: target.port, user: target.user, key: target.privateKeyPath };
  const through = { port: jump.port, user: jump.user, key: jump.privateKeyPath };
  const recorded = { port: bastion.port, user: bastion.user, key: bastion.privateKeyPath };
  const gated = { port: gate.sshPort, user: gateLogin(target), key: userKey.path };
  const config = join(tempDir(scope), 'ssh_config');
  const hosts = [
    host('direct', direct),
    host('jump', through),
    host('proxyjump', { ...direct, jump: 'jump' }),
    host('tee', recorded),
    host('gate', gated),
  ];
  writeFileSync(config, hosts.join('\n') + forAll(cipher));
  const fileClient = join(files, 'file-client.sh');
  writeFileSync(fileClient, fileClientScript(config), { mode: 0o755 });
  return new Arena({ target, jump, bastion, gate }, { userKey, config, fileClient, tees });
}
