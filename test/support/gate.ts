/**
 * A real gate: `bin/sallyport init`, `apply` and `serve` in a folder of the test's, by the fixed names alone, so that
 * it is tested as a stranger would use it. Ended with the test.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import type { KeyPair } from './keys.ts';
import type { OpenSsh } from './openssh.ts';
import { run, start } from './process.ts';
import type { Outcome, RunOptions, Running } from './process.ts';
import type { Scope } from './scope.ts';
import type { Endpoint } from './ssh-client.ts';
import { ROOT } from './source-tree.ts';
import { tempDir } from './tempdir.ts';

export const SALLYPORT = join(ROOT, 'bin/sallyport');

/** An inventory as `apply` takes it. JSON is YAML. */
export interface Inventory {
  readonly users?: readonly object[];
  readonly groups?: readonly object[];
  readonly targets?: readonly object[];
  readonly rules?: readonly object[];
  readonly acls?: readonly object[];
}

export interface GateOptions {
  /** Applied before the gate serves. */
  readonly inventory?: Inventory;
  /** Called with the folder between `init` and `serve`: to change `sallyport.yaml`. */
  readonly configure?: (dir: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** What the gate says when it listens. */
interface Ready {
  readonly event: 'ready';
  readonly ssh: string;
  readonly https: string;
  readonly pid: number;
}

function isReady(value: unknown): value is Ready {
  return typeof value === 'object' && value !== null && 'event' in value && value.event === 'ready';
}

export class Gate {
  readonly dir: string;
  readonly #scope: Scope;
  readonly #env: NodeJS.ProcessEnv;
  #running: Running | undefined;
  #ready: Ready | undefined;

  constructor(scope: Scope, dir: string, env: NodeJS.ProcessEnv) {
    this.#scope = scope;
    this.dir = dir;
    this.#env = env;
  }

  /** The process that said it is ready. */
  get pid(): number {
    return this.#serving().pid;
  }

  get sshPort(): number {
    return Number(/:(\d+)$/.exec(this.#serving().ssh)?.[1]);
  }

  /** `host:port` of the API. */
  get https(): string {
    return this.#serving().https;
  }

  /** What the gate wrote to standard error: its log. */
  log(): string {
    return this.#running?.stderr.toString() ?? '';
  }

  /** Settles when the process ends, however it does. */
  get exited(): Promise<Outcome> {
    if (!this.#running) throw new Error('the gate was never started');
    return this.#running.exited;
  }

  /** Runs `sallyport COMMAND --dir DIR ARGS...`. */
  cli(args: readonly [string, ...string[]], options: RunOptions = {}): Promise<Outcome> {
    const [command, ...rest] = args;
    // `trail show`, `audit verify` and `files get` are one command in two words.
    const isDouble = command === 'trail' || command === 'audit' || rest[0] === 'get';
    const words = isDouble ? [command, rest.shift() ?? ''] : [command];
    return run([SALLYPORT, ...words, '--dir', this.dir, ...rest], { env: this.#env, ...options });
  }

  /** The same for a command that must succeed; its output as text. */
  async text(args: readonly [string, ...string[]], options: RunOptions = {}): Promise<string> {
    const { stdout, stderr, code } = await this.cli(args, options);
    if (code !== 0) {
      throw new Error(
        `sallyport ${args.join(' ')}: exit ${code ?? 'by signal'}: ${stderr.toString()}`,
      );
    }
    return stdout.toString();
  }

  /** Every connection, newest or oldest first as the command has it. */
  async connections(): Promise<Record<string, unknown>[]> {
    const lines = (await this.text(['connections', '--json'])).split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Applies an inventory; the outcome tells whether it was taken. */
  apply(inventory: Inventory | string): Promise<Outcome> {
    const file = join(this.dir, 'inventory.yaml');
    const text = typeof inventory === 'string' ? inventory : JSON.stringify(inventory, null, 2);
    writeFileSync(file, text, { mode: 0o600 });
    return this.cli(['apply', file]);
  }

  /** Starts `serve` and waits until it listens. */
  async serve(): Promise<void> {
    const command: [string, ...string[]] = [SALLYPORT, 'serve', '--dir', this.dir];
    const running = start(this.#scope, command, { stdin: 'ignore', env: this.#env });
    this.#running = running;
    this.#ready = await running.until(({ stdout }) => {
      for (const line of stdout.toString().split('\n').slice(0, -1)) {
        const value: unknown = JSON.parse(line);
        if (isReady(value)) return value;
      }
      return undefined;
    }, 'ready line');
  }

  /** Ends it as an operator would (SIGTERM). */
  async stop(): Promise<Outcome | undefined> {
    return this.#running?.stop(15_000);
  }

  /** Ends it as a crash would, and waits until it is gone. */
  async kill9(): Promise<void> {
    this.#running?.kill('SIGKILL');
    await this.#running?.exited;
  }

  /** Serves again, on the same port, after `stop` or `kill9`. */
  async restart(): Promise<void> {
    await this.stop();
    await this.serve();
  }

  /** How a client reaches a target through this gate. */
  endpoint(login: string, credentials: Pick<Endpoint, 'key' | 'password'>): Endpoint {
    return { host: '127.0.0.1', port: this.sshPort, user: login, ...credentials };
  }

  #serving(): Ready {
    if (!this.#ready) throw new Error('the gate does not serve');
    return this.#ready;
  }
}

/** Makes a gate, applies the inventory and serves. */
export async function startGate(scope: Scope, options: GateOptions = {}): Promise<Gate> {
  const dir = join(tempDir(scope), 'gate');
  const gate = new Gate(scope, dir, { ...process.env, ...options.env });
  const ssh = `127.0.0.1:${await freePort(scope)}`;
  const https = `127.0.0.1:${await freePort(scope)}`;
  await gate.text(['init', '--ssh', ssh, '--https', https]);
  options.configure?.(dir);
  if (options.inventory) {
    const { code, stderr } = await gate.apply(options.inventory);
    if (code !== 0) throw new Error(`apply: ${stderr.toString()}`);
  }
  await gate.serve();
  return gate;
}

const ALL_SESSIONS = ['shell', 'exec', 'sftp', 'scp'];

/** The inventory entry of a test target, with the one account that it lets in. */
export function targetOf(name: string, target: OpenSsh, port: number = target.port): object {
  return {
    name,
    address: target.host,
    port,
    host_keys: target.hostKeyLines,
    accounts: [{ name: target.user, private_key: target.privateKeyText }],
  };
}

/** One user with one key who may do everything on the targets. */
export function inventoryOf(
  user: { readonly name: string; readonly key: KeyPair; readonly password?: string },
  targets: readonly { readonly name: string; readonly target: OpenSsh; readonly port?: number }[],
  channels: readonly string[] = ALL_SESSIONS,
): Inventory {
  const { name, key, password } = user;
  return {
    groups: [{ name: 'testers' }],
    users: [
      {
        name,
        keys: [key.publicLine],
        groups: ['testers'],
        ...(password === undefined ? {} : { password }),
      },
    ],
    targets: targets.map((one) => targetOf(one.name, one.target, one.port)),
    rules: [
      {
        name: 'all',
        groups: ['testers'],
        targets: targets.map((one) => one.name),
        accounts: [...new Set(targets.map(({ target }) => target.user))],
        channels,
      },
    ],
  };
}
