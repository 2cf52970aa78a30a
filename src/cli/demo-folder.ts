/**
 * The folder of a demo: that of a gate, and beside it what the user and the target need. Only a folder that a demo has
 * made is ever removed: a file in it says so.
 *
 *     DIR/demo-made-this   the mark            DIR/client/   alice's key, known_hosts and ssh_config
 *     DIR/inventory.yaml   what was applied    DIR/target/   the target's keys, configuration and log
 *     DIR/gate.log         the gate's log      and DIR/sallyport.yaml, data, keys, recordings, ... of the gate
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import { connectControl } from '../ops/control-client.ts';
import { generateKeyPair } from '../wire/ssh2.ts';
import { init } from './init.ts';
import { quietOutput } from './output.ts';

const MADE = 'demo-made-this';

export interface DemoFolder {
  /** Its whole path. */
  readonly dir: string;
  /** Where the demo was started, from where the next three are good. */
  readonly here: string;
  readonly shown: string;
  readonly shownSshConfig: string;
  /** `bin/sallyport`. */
  readonly sallyport: string;
  readonly inventory: string;
  readonly gateLog: string;
  readonly target: string;
  /** One line, as in authorized_keys. */
  readonly userKey: string;
}

/** Makes the folder with a gate in it, anew or, where that is asked for, with what is there. */
export async function makeDemoFolder(name: string, keep: boolean): Promise<DemoFolder> {
  const here = process.cwd();
  const dir = resolve(name);
  await requireOurs(name, dir);
  const client = join(dir, 'client');
  const target = join(dir, 'target');
  const key = join(client, 'id_ed25519');
  const isNew = !(keep && existsSync(join(dir, 'sallyport.yaml')));
  try {
    if (isNew) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      writeFileSync(join(dir, MADE), 'A demo may remove this folder and all that is in it.\n');
      for (const path of [client, target]) mkdirSync(path, { mode: 0o700 });
      makeKey(key, 'alice at the demo');
      makeKey(join(target, 'host_key'), 'playground');
      makeKey(join(target, 'account_key'), 'the gate of the demo');
    }
  } catch (cause) {
    throw new AppError('dir-invalid', `cannot make ${name}: ${reasonOf(cause)}`, { cause });
  }
  if (isNew) await init({ dir, ssh: '127.0.0.1:0', https: '127.0.0.1:0' }, quietOutput());
  return {
    dir,
    here,
    shown: shortest(here, dir),
    shownSshConfig: shortest(here, join(client, 'ssh_config')),
    sallyport: shortest(here, resolve(import.meta.dirname, '../../bin/sallyport')),
    inventory: join(dir, 'inventory.yaml'),
    gateLog: join(dir, 'gate.log'),
    target,
    userKey: (await readFile(`${key}.pub`, 'utf8')).trim(),
  };
}

/** What OpenSSH's clients need to come to this gate without a question, and with nothing else of their user's. */
export async function writeClientFiles({ dir }: DemoFolder, port: number): Promise<void> {
  const client = join(dir, 'client');
  const [type = '', blob = ''] = (
    await readFile(join(dir, 'keys', 'ssh_host_ed25519_key.pub'), 'utf8')
  ).split(' ');
  writeFileSync(join(client, 'known_hosts'), `sallyport-demo ${type} ${blob.trim()}\n`);
  const config = `# Written by sallyport demo:  ssh -F THIS-FILE alice@playground@gate
Host gate
  HostName 127.0.0.1
  Port ${port}
  HostKeyAlias sallyport-demo
  UserKnownHostsFile ${quoted(join(client, 'known_hosts'))}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  IdentityFile ${quoted(join(client, 'id_ed25519'))}
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
`;
  writeFileSync(join(client, 'ssh_config'), config);
}

/** Neither a folder that something else made, nor one whose gate still runs. */
async function requireOurs(name: string, dir: string): Promise<void> {
  let names: string[];
  try {
    names = existsSync(dir) ? readdirSync(dir) : [];
  } catch (cause) {
    throw new AppError('dir-invalid', `cannot use ${name}: ${reasonOf(cause)}`, { cause });
  }
  if (names.length === 0) return;
  if (!names.includes(MADE)) {
    const text = `${name} was not made by a demo, and is left alone: name another with --dir`;
    throw new AppError('dir-invalid', text);
  }
  if (!names.includes('run')) return;
  const gate = await connectControl(dir);
  if (!gate) return;
  gate.close();
  throw new AppError('dir-in-use', `a demo runs in ${name}: end it, or name another with --dir`);
}

function makeKey(path: string, comment: string): void {
  const { privateText, publicLine } = generateKeyPair('ed25519', comment);
  writeFileSync(path, privateText, { mode: 0o600 });
  writeFileSync(`${path}.pub`, `${publicLine.trim()}\n`);
}

/** A path from here, unless that is longer than the whole one. */
function shortest(here: string, path: string): string {
  const short = relative(here, path) || '.';
  return short.length < path.length ? short : path;
}

/** A path in ssh_config, which knows quotes and tokens that begin with `%`. */
function quoted(path: string): string {
  return `"${path.replaceAll('%', '%%')}"`;
}
