/** What several clients do the same way: run a program, write a configuration for ssh, fill folders, ask the service. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { chown, readdir } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { run, start } from '../support/process.ts';
import type { Outcome, RunOptions, Running } from '../support/process.ts';
import { randomFrom, rounds } from '../support/scale.ts';
import { isRoot, testLogin } from '../support/test-login.ts';
import { sha256 } from './play.ts';
import type { Login, Stage } from './scene.ts';

export type Line = [string, ...string[]];

/** Whether a program is on the PATH. */
export function onPath(program: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(':');
  return folders.some((folder) => existsSync(join(folder, program)));
}

/** Environment of a client: a home of its own, nothing of the machine's. */
export function envOf({ local }: Stage, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { PATH } = process.env;
  return { PATH, HOME: local, TERM: 'xterm', LC_ALL: 'C.UTF-8', USER: 'tester', ...extra };
}

/** Runs a client's program in its own folder. */
export function play(stage: Stage, line: Line, options: RunOptions = {}): Promise<Outcome> {
  const env = envOf(stage, options.env);
  return run(line, { cwd: stage.local, timeoutMs: 120_000, ...options, env });
}

/** The same for one that must succeed. */
export async function must(stage: Stage, line: Line, options: RunOptions = {}): Promise<Outcome> {
  const outcome = await play(stage, line, options);
  if (outcome.code !== 0) {
    const said = `${outcome.stderr.toString()} ${outcome.stdout.toString()}`.trim().slice(-400);
    throw new Error(`${line[0]}: exit ${outcome.code ?? outcome.signal}: ${said}`);
  }
  return outcome;
}

/** Starts a client that stays. */
export function stay(stage: Stage, line: Line, env: NodeJS.ProcessEnv = {}): Running {
  return start(stage.scope, line, { cwd: stage.local, stdin: 'pipe', env: envOf(stage, env) });
}

/** What a command did, as a result. */
export function told({ stdout, stderr, code, signal }: Outcome): object {
  return { code, signal, stdout: stdout.toString(), stderr: stderr.toString() };
}

const ALWAYS = [
  'StrictHostKeyChecking no',
  'UserKnownHostsFile /dev/null',
  'GlobalKnownHostsFile /dev/null',
  'UpdateHostKeys no',
  'LogLevel ERROR',
  'BatchMode yes',
  'IdentitiesOnly yes',
  'ConnectTimeout 20',
];

/** A configuration in which the host `there` is the target by the way of this stage; its path. */
export function sshConfig({ local, route }: Stage): string {
  const host = (name: string, { host: address, port, user, key }: Login): string[] => [
    `Host ${name}`,
    `  HostName ${address}`,
    `  Port ${port}`,
    `  User ${user}`,
    `  IdentityFile ${key}`,
  ];
  const lines = [
    ...host('there', route),
    ...(route.hop ? ['  ProxyJump hop', ...host('hop', route.hop)] : []),
    'Host *',
    ...ALWAYS.map((line) => `  ${line}`),
  ];
  const path = join(local, 'ssh_config');
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 });
  return path;
}

/**
 * A script that takes the command line of ssh, as sftp, scp, rsync and git make it, and runs another client with its own
 * words for host and login: `words`, `-s` where a subsystem is asked for, then the command.
 */
export function asSsh(
  { local }: Stage,
  program: string,
  words: readonly string[],
  host: string,
): string {
  const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const path = join(local, 'as-ssh');
  const script = [
    '#!/bin/sh',
    'subsystem=',
    'while :; do',
    '  case "$1" in',
    '    -s) subsystem=-s; shift ;;',
    '    -[olpi]) shift 2 ;;',
    '    --) shift; break ;;',
    '    -*) shift ;;',
    '    *) break ;;',
    '  esac',
    'done',
    'shift',
    'if [ "$1" = -s ]; then subsystem=-s; shift; fi',
    'if [ "$1" = -- ]; then shift; fi',
    `exec ${program} ${quoted} $subsystem ${host} "$@"`,
    '',
  ];
  writeFileSync(path, script.join('\n'));
  chmodSync(path, 0o755);
  return path;
}

/** A file of so many bytes that are the same in every run. */
export function fill(path: string, bytes: number, seed = 1): string {
  const content = randomFrom(seed).bytes(bytes);
  writeFileSync(path, content);
  return sha256(content);
}

/** Sizes that files are moved in: nothing, a byte, around a packet's end, large. */
export const SIZES = [0, 1, 32_767, 32_769, rounds(64, 2) * 2 ** 20 + 3];

/** A folder of files of these sizes. */
export function fillFolder(path: string, sizes: readonly number[] = SIZES): void {
  mkdirSync(path, { recursive: true });
  sizes.forEach((size, index) => fill(join(path, `file ${index}`), size, index + 1));
}

/** Hashes of all files below a folder by name, in order. */
export function hashFolder(path: string): [string, string][] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(path, name)).isFile())
    .sort()
    .map((name) => [name, sha256(readFileSync(join(path, name)))]);
}

/** A result of files on both sides, with what `files get` must have. */
export function moved(...folders: readonly string[]): object {
  const lists = folders.map(hashFolder);
  return { files: lists, hashes: lists.flatMap((list) => list.map(([, hash]) => hash)) };
}

/** Gives all below a folder to the account of the target. */
export async function giveAway(path: string): Promise<void> {
  if (!isRoot()) return;
  const { uid, gid } = await testLogin();
  await chown(path, uid, gid);
  for (const name of await readdir(path, { recursive: true }))
    await chown(join(path, name), uid, gid);
}

const QUESTION = rounds(16, 1) * 2 ** 20;

/** What is sent to the service, and what it must answer with. */
export function question(): { readonly sent: Buffer; readonly answer: string } {
  const body = randomFrom(5).bytes(QUESTION);
  const sent = Buffer.alloc(4 + body.length);
  sent.writeUInt32BE(body.length);
  body.copy(sent, 4);
  return { sent, answer: sha256(Buffer.from(body.map((byte) => byte ^ 0xff))) };
}

/** Sends the question over a connection, and hashes what comes back. */
async function converse(socket: Socket): Promise<object> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.setTimeout(60_000, () => socket.destroy());
  const closed = once(socket, 'close');
  socket.write(question().sent);
  await closed;
  const answer = Buffer.concat(chunks);
  return { bytes: answer.length, right: sha256(answer) === question().answer };
}

/** Connects as soon as somebody listens on a port. */
async function dialWhenOpen(port: number): Promise<Socket> {
  return eventually(`somebody on port ${port}`, async () => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => undefined);
    const open = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
      once(socket, 'close').then(() => false),
    ]);
    return open ? socket : undefined;
  });
}

/** Asks the service over a port that leads there. */
export async function askPort(port: number): Promise<object> {
  return converse(await dialWhenOpen(port));
}

/** Asks the service through a SOCKS 5 proxy on a port (RFC 1928, no login). */
export async function askSocks(port: number, echoPort: number): Promise<object> {
  const socket = await dialWhenOpen(port);
  const answer = async (bytes: readonly number[], length: number): Promise<Buffer> => {
    socket.write(Buffer.from(bytes));
    let got: Buffer | null = null;
    while ((got = socket.read(length) as Buffer | null) === null) {
      if (socket.destroyed || socket.readableEnded) throw new Error('the proxy hung up');
      await Promise.race([once(socket, 'readable'), once(socket, 'close')]);
    }
    return got;
  };
  await answer([5, 1, 0], 2);
  const reply = await answer([5, 1, 0, 1, 127, 0, 0, 1, echoPort >> 8, echoPort & 0xff], 10);
  if (reply[1] !== 0) {
    socket.destroy();
    return { refused: reply[1] };
  }
  return converse(socket);
}

/** A client that listens here and leads to the service. */
export async function forwardHere(
  stage: Stage,
  line: (port: number) => Line,
  ask: (port: number) => Promise<object> = askPort,
): Promise<object> {
  const port = await freePort(stage.scope);
  const running = stay(stage, line(port));
  try {
    return await ask(port);
  } finally {
    await running.stop();
  }
}
