/** The Python libraries that most scripts use, through `libraries.py`. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { COMMAND, SHELL_INPUT } from './openssh.ts';
import type { Client, Feature, Scene, Stage } from './scene.ts';
import { fillFolder, moved, must, question, stay } from './steps.ts';

const PROGRAM = join(import.meta.dirname, 'libraries.py');

function scene(library: string, feature: Feature): Scene {
  return async (stage) => {
    const { route, local, remote, place } = stage;
    fillFolder(join(local, 'up'));
    const asked = join(local, 'question');
    writeFileSync(asked, question().sent);
    const plan = JSON.stringify({
      ...{ library, feature, route, local, remote, echo: place.echoPort },
      ...{ command: COMMAND, shell: SHELL_INPUT, question: asked },
    });
    const env = feature === '-A' ? await agent(stage) : {};
    const line = ['/usr/bin/python3', PROGRAM, plan] as [string, ...string[]];
    const { stdout } = await must(stage, line, { env });
    const result = JSON.parse(stdout.toString()) as object;
    const files = feature === 'sftp' || feature === 'scp' ? moved(join(local, 'down'), remote) : {};
    return { ...result, ...files };
  };
}

async function agent(stage: Stage): Promise<NodeJS.ProcessEnv> {
  const socket = join(stage.local, 'agent');
  const running = stay(stage, ['ssh-agent', '-D', '-a', socket]);
  await running.line(/SSH_AUTH_SOCK/);
  const env = { SSH_AUTH_SOCK: socket };
  await must(stage, ['ssh-add', '-q', stage.place.target.key.path], { env });
  return env;
}

function client(name: string, library: string, features: readonly Feature[]): Client {
  const scenes: Partial<Record<Feature, Scene>> = {};
  for (const feature of features) scenes[feature] = scene(library, feature);
  return {
    name,
    package: `python3-${library}`,
    isThere: () => existsSync(`/usr/lib/python3/dist-packages/${library}`),
    scenes,
  };
}

const COMMON = ['shell', 'exec', 'stdin', 'sftp', '-R', '-W', '-A', 'mux'] as const;

export const asyncssh = client('AsyncSSH', 'asyncssh', [...COMMON, 'scp', '-L', '-D']);
export const paramiko = client('paramiko', 'paramiko', COMMON);
