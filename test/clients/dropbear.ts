/** dropbear's client, by itself and under OpenSSH's sftp and scp. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gitOver } from './git.ts';
import { COMMAND, SHELL_INPUT, STDIN, scp } from './openssh.ts';
import { sha256 } from './play.ts';
import { rsyncOver } from './rsync.ts';
import type { Client, Stage } from './scene.ts';
import {
  asSsh,
  fill,
  fillFolder,
  forwardHere,
  moved,
  must,
  play,
  question,
  stay,
  told,
} from './steps.ts';
import type { Line } from './steps.ts';

/** By its whole path, by which it starts itself for each further host of a chain. */
const DBCLIENT = '/usr/bin/dbclient';

/** Flags, and the host: a chain of hosts where the gate is the jump host. */
async function way(stage: Stage): Promise<{ readonly words: string[]; readonly host: string }> {
  const { host, port, user, key, hop } = stage.route;
  const own = join(stage.local, 'key.db');
  await must(stage, ['dropbearconvert', 'openssh', 'dropbear', key, own]);
  const words = ['-y', '-y', '-i', own];
  if (hop) return { words, host: `${hop.user}@${hop.host}/${hop.port},${user}@${host}/${port}` };
  return { words: [...words, '-p', String(port), '-l', user], host };
}

async function dbclient(stage: Stage, flags: readonly string[], ...after: string[]): Promise<Line> {
  const { words, host } = await way(stage);
  return [DBCLIENT, ...words, ...flags, host, ...after];
}

async function script(stage: Stage): Promise<string> {
  const { words, host } = await way(stage);
  return asSsh(stage, DBCLIENT, words, host);
}

/** What it says of its own: keys it does not know, options it ignores. */
function quiet(result: object): object {
  const { stderr, ...rest } = result as { stderr: string };
  const lines = stderr.split('\n').filter((line) => !/dbclient|Host '|fingerprint|^$/i.test(line));
  return { ...rest, stderr: lines };
}

export const dropbear: Client = {
  name: 'dropbear',
  package: 'dropbear-bin',
  isThere: () => existsSync(DBCLIENT),
  scenes: {
    shell: async (stage) =>
      quiet(told(await play(stage, await dbclient(stage, ['-T']), { input: SHELL_INPUT }))),
    exec: async (stage) => quiet(told(await play(stage, await dbclient(stage, [], COMMAND)))),
    stdin: async (stage) => {
      fill(join(stage.local, 'data'), STDIN);
      const input = readFileSync(join(stage.local, 'data'));
      const { stdout, code } = await play(stage, await dbclient(stage, [], 'cat'), { input });
      return { code, back: sha256(stdout) };
    },
    sftp: async (stage) => {
      const { local, remote } = stage;
      fillFolder(join(local, 'up'));
      const batch = [`put -r up ${remote}/one`, `get -r ${remote} down`, ''].join('\n');
      const line: Line = ['sftp', '-q', '-S', await script(stage), '-b', '-', 'there'];
      await must(stage, line, { input: batch });
      return moved(join(local, 'down'), remote);
    },
    scp: async (stage) => scp(stage, ['scp', '-q', '-O', '-S', await script(stage)]),
    rsync: async (stage) => rsyncOver(stage, await script(stage)),
    git: async (stage) =>
      gitOver(stage, { GIT_SSH: await script(stage), GIT_SSH_VARIANT: 'simple' }, 20),
    '-L': async (stage) => {
      const { words, host } = await way(stage);
      return forwardHere(stage, (port) => {
        const to = `127.0.0.1:${port}:127.0.0.1:${stage.place.echoPort}`;
        return [DBCLIENT, ...words, '-N', '-L', to, host];
      });
    },
    '-W': async (stage) => {
      const { sent: input, answer } = question();
      const line = await dbclient(stage, ['-B', `127.0.0.1:${stage.place.echoPort}`]);
      const { stdout } = await play(stage, line, { input });
      return { right: sha256(stdout) === answer };
    },
    '-A': async (stage) => {
      const socket = join(stage.local, 'agent');
      const agent = stay(stage, ['ssh-agent', '-D', '-a', socket]);
      await agent.line(/SSH_AUTH_SOCK/);
      const env = { SSH_AUTH_SOCK: socket };
      await must(stage, ['ssh-add', '-q', stage.place.target.key.path], { env });
      const line = await dbclient(stage, ['-A'], 'ssh-add -l');
      const { stdout, code } = await play(stage, line, { env });
      await agent.stop();
      return { code, listed: /SHA256:\S+/.test(stdout.toString()) };
    },
  },
};
