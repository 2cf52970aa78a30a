/** PuTTY's tools for Unix: plink, psftp and pscp. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gitOver } from './git.ts';
import { COMMAND, SHELL_INPUT, STDIN } from './openssh.ts';
import { sha256 } from './play.ts';
import { rsyncOver } from './rsync.ts';
import type { Client, Login, Stage } from './scene.ts';
import {
  asSsh,
  askSocks,
  fill,
  fillFolder,
  forwardHere,
  moved,
  must,
  onPath,
  play,
  question,
  stay,
  told,
} from './steps.ts';
import type { Line } from './steps.ts';

/** The flags of a login; PuTTY wants its own key format, and to know the host key. */
async function flags(stage: Stage, login: Login, extra: readonly string[]): Promise<string[]> {
  const { host, port, user, key } = login;
  const ppk = join(stage.local, `${port}.ppk`);
  await must(stage, ['puttygen', key, '-O', 'private', '-o', ppk]);
  const how = ['-batch', '-noagent', '-P', String(port), '-l', user, '-i', ppk, ...extra];
  const { stderr } = await play(stage, ['plink', ...how, host, 'true']);
  const print = /SHA256:[A-Za-z0-9+/]+/.exec(stderr.toString())?.[0];
  return print === undefined ? how : [...how, '-hostkey', print];
}

/** The flags of the way: the gate as jump host is reached by another plink. */
async function way(stage: Stage): Promise<string[]> {
  const { route } = stage;
  if (!route.hop) return flags(stage, route, []);
  const hop = await flags(stage, route.hop, []);
  const quoted = hop.map((word) => `'${word}'`).join(' ');
  const command = `plink ${quoted} -nc %host:%port ${route.hop.host}`;
  return flags(stage, route, ['-proxycmd', command]);
}

async function plink(stage: Stage, before: readonly string[], ...after: string[]): Promise<Line> {
  return ['plink', ...(await way(stage)), ...before, stage.route.host, ...after];
}

async function script(stage: Stage): Promise<string> {
  return asSsh(stage, 'plink', await way(stage), stage.route.host);
}

async function sharing(stage: Stage): Promise<object> {
  const line = await plink(stage, ['-share'], 'echo ready; cat');
  const master = stay(stage, line);
  await master.line(/ready/);
  const runs = [];
  for (const n of [1, 2, 3]) {
    runs.push(
      quiet(told(await play(stage, await plink(stage, ['-share'], `echo ${n}; exit ${n}`)))),
    );
  }
  const exists = (await play(stage, await plink(stage, ['-share', '-shareexists']))).code;
  await master.stop();
  return { runs, exists };
}

async function withAgent(stage: Stage): Promise<object> {
  const socket = join(stage.local, 'agent');
  const agent = stay(stage, ['ssh-agent', '-D', '-a', socket]);
  await agent.line(/SSH_AUTH_SOCK/);
  const env = { SSH_AUTH_SOCK: socket };
  await must(stage, ['ssh-add', '-q', stage.place.target.key.path], { env });
  const { stdout, code } = await play(stage, await plink(stage, ['-A'], 'ssh-add -l'), { env });
  await agent.stop();
  return { code, listed: /SHA256:\S+/.test(stdout.toString()) };
}

/** plink cannot ask for any port: it is given a free one. */
async function remoteForward(stage: Stage): Promise<object> {
  const base = await way(stage);
  return forwardHere(stage, (port) => {
    const to = `${port}:127.0.0.1:${stage.place.echoPort}`;
    return ['plink', ...base, '-N', '-R', to, stage.route.host];
  });
}

/** Without what names the login, which is another on each way. */
function quiet(result: object): object {
  const { stderr, ...rest } = result as { stderr: string };
  return { ...rest, stderr: stderr.replace(/^Using username .*\r?\n/gm, '') };
}

async function transfer(stage: Stage, how: '-scp' | '-sftp'): Promise<object> {
  const { local, remote, route } = stage;
  const pscp: Line = ['pscp', '-q', how, ...(await way(stage))];
  fillFolder(join(local, 'up'));
  await must(stage, [...pscp, '-r', 'up', `${route.host}:${remote}`]);
  mkdirSync(join(local, 'down'), { recursive: true });
  await must(stage, [...pscp, '-r', `${route.host}:${remote}/up`, 'down']);
  return moved(join(local, 'down'), remote);
}

export const putty: Client = {
  name: 'PuTTY tools',
  package: 'putty-tools',
  isThere: () => onPath('plink'),
  scenes: {
    shell: async (stage) =>
      quiet(told(await play(stage, await plink(stage, ['-T']), { input: SHELL_INPUT }))),
    exec: async (stage) => quiet(told(await play(stage, await plink(stage, [], COMMAND)))),
    stdin: async (stage) => {
      fill(join(stage.local, 'data'), STDIN);
      const input = readFileSync(join(stage.local, 'data'));
      const { stdout, code } = await play(stage, await plink(stage, [], 'cat'), { input });
      return { code, back: sha256(stdout) };
    },
    sftp: async (stage) => {
      const { local, remote, route } = stage;
      fillFolder(join(local, 'up'));
      const batch = [`put -r up ${remote}/one`, `mv "${remote}/one/file 1" "${remote}/renamed"`];
      batch.push(`get -r ${remote} down`, `ls ${remote}`, 'quit', '');
      writeFileSync(join(local, 'batch'), batch.join('\n'));
      await must(stage, ['psftp', ...(await way(stage)), '-b', 'batch', route.host]);
      const byPscp = await transfer({ ...stage, remote: join(remote, 'one') }, '-sftp');
      return { byPscp, ...moved(join(local, 'down'), remote) };
    },
    scp: (stage) => transfer(stage, '-scp'),
    rsync: async (stage) => rsyncOver(stage, await script(stage)),
    git: async (stage) =>
      gitOver(stage, { GIT_SSH: await script(stage), GIT_SSH_VARIANT: 'simple' }, 20),
    '-L': async (stage) => {
      const base = await way(stage);
      return forwardHere(stage, (port) => {
        const to = `127.0.0.1:${port}:127.0.0.1:${stage.place.echoPort}`;
        return ['plink', ...base, '-N', '-L', to, stage.route.host];
      });
    },
    '-R': remoteForward,
    '-D': async (stage) => {
      const base = await way(stage);
      return forwardHere(
        stage,
        (port) => ['plink', ...base, '-N', '-D', `127.0.0.1:${port}`, stage.route.host],
        (port) => askSocks(port, stage.place.echoPort),
      );
    },
    '-W': async (stage) => {
      const { sent: input, answer } = question();
      const to = `127.0.0.1:${stage.place.echoPort}`;
      const { stdout } = await play(stage, await plink(stage, ['-nc', to]), { input });
      return { right: sha256(stdout) === answer };
    },
    '-A': withAgent,
    mux: sharing,
  },
};
