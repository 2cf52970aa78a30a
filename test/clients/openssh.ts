/** OpenSSH: ssh, sftp, scp, and what uses them. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasOpenSsh } from '../support/openssh.ts';
import { runInPty } from '../support/ssh-client.ts';
import { gitOver } from './git.ts';
import { sha256 } from './play.ts';
import { rsyncOver } from './rsync.ts';
import type { Client, Stage } from './scene.ts';
import {
  askSocks,
  envOf,
  fill,
  fillFolder,
  forwardHere,
  hashFolder,
  moved,
  must,
  play,
  askPort,
  question,
  sshConfig,
  stay,
  told,
} from './steps.ts';
import type { Line } from './steps.ts';

export const COMMAND = "printf 'out\\n'; printf 'err\\n' >&2; exit 7";
export const SHELL_INPUT = 'echo in a shell; echo $((6 * 7)); exit 3\n';
export const STDIN = 5_000_000;

const ssh = (stage: Stage, ...flags: string[]): Line => ['ssh', '-F', sshConfig(stage), ...flags];

/** Uploads and downloads by a batch of sftp, with requests of the usual size and of the largest that it can send. */
async function sftp(stage: Stage, program: Line): Promise<object> {
  const { local, remote } = stage;
  fillFolder(join(local, 'up'));
  for (const [flags, name] of [
    [[], 'a'],
    [['-R', '256', '-B', '261120'], 'b'],
  ] as const) {
    const far = join(remote, name);
    const batch = [
      `mkdir ${far}`,
      `put -rp up ${far}/one`,
      `rename "${far}/one/file 1" "${far}/renamed"`,
      `chmod 600 ${far}/renamed`,
      `get -rp ${far} down-${name}`,
      `ls -1 ${far}`,
      `-get ${far}/missing`,
      '',
    ].join('\n');
    await must(stage, [...program, ...flags, '-q', '-b', '-', 'there'] as Line, { input: batch });
  }
  return moved(join(local, 'down-a'), join(local, 'down-b'), remote);
}

/** Both directions, single files and folders. */
export async function scp(stage: Stage, program: Line): Promise<object> {
  const { local, remote } = stage;
  fillFolder(join(local, 'up'));
  const file = join(local, 'up', 'file 4');
  await must(stage, [...program, '-p', file, `there:${remote}/single`] as Line);
  await must(stage, [...program, '-rp', 'up', `there:${remote}/folder`] as Line);
  await must(stage, [...program, `there:${remote}/single`, 'single'] as Line);
  await must(stage, [...program, '-rp', `there:${remote}/folder`, 'down'] as Line);
  const missing = await play(stage, [...program, `there:${remote}/missing`, 'x'] as Line);
  return { ...moved(join(local, 'down'), remote), missing: missing.code };
}

async function withAgent(stage: Stage): Promise<object> {
  const socket = join(stage.local, 'agent');
  const agent = stay(stage, ['ssh-agent', '-D', '-a', socket]);
  await agent.line(/SSH_AUTH_SOCK/);
  const env = { SSH_AUTH_SOCK: socket };
  await must(stage, ['ssh-add', '-q', stage.place.target.key.path], { env });
  const there = [...ssh(stage, '-A', 'there'), 'ssh-add -l; ssh-add -T /dev/null; true'] as Line;
  const listed = await play(stage, there, { env });
  await agent.stop();
  const { code, stdout } = listed;
  const print = /SHA256:\S+/.exec(stdout.toString())?.[0] ?? stdout.toString();
  const own = await must(stage, ['ssh-keygen', '-lf', stage.place.target.key.path]);
  return { code, same: own.stdout.toString().includes(print) && print !== '' };
}

/** Several sessions of different kinds on one connection. */
async function multiplexed(stage: Stage): Promise<object> {
  const { local, remote } = stage;
  const socket = join(local, 'mux');
  const master = stay(stage, ssh(stage, '-M', '-S', socket, 'there', 'echo ready; cat'));
  await master.line(/ready/);
  const config = sshConfig(stage);
  const over = (...words: string[]): Line => ['ssh', '-F', config, '-S', socket, 'there', ...words];
  const runs = await Promise.all(
    [1, 2, 3, 4, 5].map(async (n) => told(await play(stage, over(`echo ${n}; exit ${n}`)))),
  );
  const hash = fill(join(local, 'file'), 1_000_003);
  const option = `ControlPath=${socket}`;
  await must(stage, ['scp', '-F', config, '-o', option, 'file', `there:${remote}/file`]);
  const mux = (await play(stage, ['ssh', '-F', config, '-S', socket, '-O', 'check', 'there'])).code;
  await play(stage, ['ssh', '-F', config, '-S', socket, '-O', 'exit', 'there']);
  return { runs, mux, file: sha256(readFileSync(join(remote, 'file'))) === hash };
}

async function remoteForward(stage: Stage): Promise<object> {
  const to = `127.0.0.1:0:127.0.0.1:${stage.place.echoPort}`;
  const flags = ['-N', '-R', to, '-o', 'ExitOnForwardFailure=yes', '-o', 'LogLevel=INFO'];
  const [program, ...rest] = ssh(stage, ...flags, 'there');
  const running = stay(stage, [program, ...rest]);
  const [, port] = await running.line(/Allocated port (\d+)/);
  const answer = await askPort(Number(port));
  await running.stop();
  return answer;
}

export const openssh: Client = {
  name: 'OpenSSH',
  package: 'openssh-client',
  isThere: hasOpenSsh,
  scenes: {
    shell: async (stage) => {
      const plain = told(await play(stage, ssh(stage, '-T', 'there'), { input: SHELL_INPUT }));
      const line = [...ssh(stage, '-tt', 'there'), 'stty size; printf x | od -c; exit 4'] as Line;
      const { stdout, code } = await runInPty(line, { rows: 40, columns: 132, env: envOf(stage) });
      return { plain, terminal: stdout.toString(), code };
    },
    exec: async (stage) => {
      const ran = told(await play(stage, [...ssh(stage, 'there'), COMMAND] as Line));
      const killed = await play(stage, [...ssh(stage, 'there'), 'kill -TERM $$'] as Line);
      return { ran, killed: killed.code };
    },
    stdin: async (stage) => {
      fill(join(stage.local, 'data'), STDIN);
      const input = readFileSync(join(stage.local, 'data'));
      const { stdout, code } = await play(stage, ssh(stage, 'there', 'cat'), { input });
      return { code, back: sha256(stdout) };
    },
    sftp: (stage) => sftp(stage, ['sftp', '-F', sshConfig(stage)]),
    scp: async (stage) => {
      const modern = await scp(stage, ['scp', '-q', '-F', sshConfig(stage)]);
      mkdirSync(join(stage.local, 'old'));
      const again = {
        ...stage,
        local: join(stage.local, 'old'),
        remote: join(stage.remote, 'old'),
      };
      await must(stage, ssh(stage, 'there', `mkdir ${again.remote}`));
      const old = await scp(again, ['scp', '-q', '-O', '-F', sshConfig(again)]);
      return { modern, old, hashes: hashFolder(stage.remote).map(([, hash]) => hash) };
    },
    rsync: (stage) => rsyncOver(stage, `ssh -F ${sshConfig(stage)}`),
    git: (stage) => gitOver(stage, { GIT_SSH_COMMAND: `ssh -F ${sshConfig(stage)}` }, 20),
    '-L': (stage) =>
      forwardHere(stage, (port) => {
        const to = `127.0.0.1:${port}:127.0.0.1:${stage.place.echoPort}`;
        return ssh(stage, '-N', '-L', to, 'there');
      }),
    '-R': remoteForward,
    '-D': (stage) =>
      forwardHere(
        stage,
        (port) => ssh(stage, '-N', '-D', `127.0.0.1:${port}`, 'there'),
        (port) => askSocks(port, stage.place.echoPort),
      ),
    '-W': async (stage) => {
      const to = `127.0.0.1:${stage.place.echoPort}`;
      const { sent: input, answer } = question();
      const { stdout, code } = await play(stage, ssh(stage, '-W', to, 'there'), { input });
      return { code, right: sha256(stdout) === answer };
    },
    '-A': withAgent,
    mux: multiplexed,
  },
};
