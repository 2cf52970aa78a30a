/** Ansible over ssh: ping, copy and template; transfers by sftp and scp, pipelining, and its own ControlPersist. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client, Stage } from './scene.ts';
import { fillFolder, hashFolder, must, onPath, sshConfig } from './steps.ts';
import type { Line } from './steps.ts';

interface Style {
  readonly transfer?: 'sftp' | 'scp';
  readonly pipelining?: boolean;
  /** Connections that stay for the next module. */
  readonly persist?: boolean;
}

async function ansible(
  stage: Stage,
  { transfer = 'sftp', pipelining = false, persist = false }: Style,
  modules: readonly (readonly [name: string, args: string])[],
): Promise<object> {
  const { local, remote } = stage;
  const inventory = join(local, 'inventory.ini');
  writeFileSync(inventory, 'there ansible_python_interpreter=/usr/bin/python3\n');
  const reuse = persist
    ? ['ControlMaster=auto', 'ControlPersist=10s', `ControlPath=${join(local, 'cp')}`]
    : ['ControlMaster=no', 'ControlPath=none'];
  const settings = reuse.map((setting) => `-o ${setting}`).join(' ');
  const env = {
    ANSIBLE_HOME: join(local, 'ansible'),
    ANSIBLE_LOCAL_TEMP: join(local, 'ansible-tmp'),
    ANSIBLE_REMOTE_TEMP: join(remote, '.ansible'),
    ANSIBLE_NOCOLOR: '1',
    ANSIBLE_SSH_ARGS: `-F ${sshConfig(stage)} ${settings}`,
    ANSIBLE_SCP_EXTRA_ARGS: '-O',
    ANSIBLE_SSH_TRANSFER_METHOD: transfer,
    ANSIBLE_PIPELINING: pipelining ? 'True' : 'False',
    ANSIBLE_TIMEOUT: '30',
  };
  const results: object[] = [];
  for (const [name, args] of modules) {
    const line: Line = ['ansible', '-i', inventory, 'there', '-m', name, '-a', args];
    const { stdout } = await must(stage, line, { env });
    const text = stdout.toString();
    results.push([name, /SUCCESS|CHANGED/.exec(text)?.[0], /"changed": (\w+)/.exec(text)?.[1]]);
  }
  if (persist) {
    const config = sshConfig(stage);
    const control = ['-o', `ControlPath=${join(local, 'cp')}`, '-O', 'exit', 'there'];
    await must(stage, ['ssh', '-F', config, ...control]);
  }
  return { results, files: hashFolder(remote).filter(([name]) => !name.startsWith('.ansible')) };
}

const PING = ['ping', ''] as const;

/** Copies a folder twice (the second time nothing changes) and fills a template in. */
function copies({ local, remote }: Stage): readonly (readonly [string, string])[] {
  fillFolder(join(local, 'up'), [1, 70_000, 1_000_003]);
  writeFileSync(join(local, 'greeting.j2'), 'Hello {{ inventory_hostname }}, {{ 6 * 7 }}.\n');
  const copy = ['copy', `src=${join(local, 'up')}/ dest=${remote}/far/`] as const;
  const template = `src=${join(local, 'greeting.j2')} dest=${remote}/greeting`;
  return [PING, copy, copy, ['template', template]];
}

export const ansibleClient: Client = {
  name: 'Ansible',
  package: 'ansible-core',
  isThere: () => onPath('ansible'),
  scenes: {
    exec: (stage) => ansible(stage, {}, [PING, ['command', 'echo hello']]),
    stdin: (stage) => ansible(stage, { pipelining: true }, copies(stage)),
    sftp: (stage) => ansible(stage, { transfer: 'sftp' }, copies(stage)),
    scp: (stage) => ansible(stage, { transfer: 'scp' }, copies(stage)),
    mux: (stage) => ansible(stage, { persist: true, pipelining: true }, copies(stage)),
  },
};
