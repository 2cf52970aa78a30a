/** The inventory of the demo: written as a person would write it, to be read as an example, and applied. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { apply } from './apply.ts';
import type { DemoFolder } from './demo-folder.ts';
import type { DemoLogin } from './demo-login.ts';
import type { DemoTarget } from './demo-target.ts';
import { quietOutput } from './output.ts';

/** Writes `inventory.yaml` and applies it; what an earlier demo had is removed. */
export async function applyDemoInventory(
  folder: DemoFolder,
  login: DemoLogin,
  target: DemoTarget,
): Promise<void> {
  const hostKey = (await readFile(join(folder.target, 'host_key.pub'), 'utf8')).trim();
  const text = `# Written and applied by sallyport demo.
groups:
  - name: everybody

users:
  - name: alice
    groups: [everybody]
    keys:
      - ${JSON.stringify(folder.userKey)}

targets:
  - name: playground
    address: 127.0.0.1
    port: ${target.port}
    host_keys:
      - ${JSON.stringify(hostKey)}
    accounts:
      - name: ${JSON.stringify(login.name)}
        private_key_file: ${JSON.stringify(join(folder.target, 'account_key'))}

rules:
  - name: playing
    groups: [everybody]
    targets: [playground]
    accounts: [${JSON.stringify(login.name)}]
    channels: [shell, exec, sftp, scp]
`;
  await writeFile(folder.inventory, text, { mode: 0o600 });
  const { dir } = folder;
  const options = { dir, prune: true, message: 'sallyport demo' };
  await apply(folder.inventory, options, quietOutput());
}
