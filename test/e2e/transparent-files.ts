/**
 * The part of the corpus that moves files: sftp and scp (both of its protocols), up and down again. Each shows what the
 * client said and the bytes that came back.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, run } from '../support/process.ts';
import { randomFrom } from '../support/scale.ts';
import { ssh, sshCommand, sshEnv } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { shownBy } from './transparent-place.ts';
import type { Place, Script, Shown } from './transparent-place.ts';

const CONTENT = randomFrom(7).bytes(700_001);

/** The options of ssh that sftp and scp take too: everything but port, login and host. */
function options(to: Endpoint): string[] {
  const line = sshCommand(to);
  return [...line.slice(1, line.indexOf('-p')), '-P', String(to.port), '-o', `User=${to.user}`];
}

/** A folder at the target for one play, under a name that it makes up itself. */
async function remoteFolder(to: Endpoint): Promise<string> {
  const { stdout, stderr } = await ssh(to, 'mktemp -d /tmp/sp-remote-XXXXXXXX');
  const folder = stdout.toString().trim();
  if (!folder.startsWith('/tmp/sp-remote-')) throw new Error(`no folder: ${stderr.toString()}`);
  return folder;
}

/** Runs `transfer` with a local file to send, a remote folder, and the local path for what comes back. */
async function roundTrip(
  { scope, to }: Place,
  transfer: (local: string, remote: string, back: string) => Promise<Shown>,
): Promise<Shown> {
  const folder = tempDir(scope);
  const [local, back] = [join(folder, 'local'), join(folder, 'back')];
  writeFileSync(local, CONTENT, { mode: 0o640 });
  const remote = await remoteFolder(to);
  try {
    const shown = await transfer(local, remote, back);
    const listing = await ssh(to, `cd ${remote} && ls -ln --time-style=+ | cut -d' ' -f1,5-`);
    const bytes = readFileSync(back);
    return { ...shown, listing: listing.stdout, bytes, same: String(bytes.equals(CONTENT)) };
  } finally {
    await check(['ssh', ...sshCommand(to).slice(1), `rm -rf ${remote}`], { env: sshEnv(to) });
  }
}

/** Two copies, there and back; messages are shown without the folders' names. */
function copies(name: string, flags: readonly string[]): Script {
  return {
    name,
    play: (place) =>
      roundTrip(place, async (local, remote, back) => {
        const { to } = place;
        const copy = (from: string, into: string): ReturnType<typeof run> =>
          run(['scp', ...flags, ...options(to), from, into], { env: sshEnv(to) });
        const up = await copy(local, `${to.host}:${remote}/file`);
        const down = await copy(`${to.host}:${remote}/file`, back);
        const missing = await copy(`${to.host}:/nowhere/at/all`, back);
        return {
          up: up.code,
          'up stderr': up.stderr,
          ...shownBy(down),
          missing: missing.code,
          'missing stderr': missing.stderr,
        };
      }),
  };
}

export const FILE_SCRIPTS: readonly Script[] = [
  copies('scp up and down (sftp protocol)', ['-s']),
  copies('scp up and down (old protocol)', ['-O', '-p']),
  {
    name: 'sftp: put, rename, chmod, list, get, and an error',
    play: (place) =>
      roundTrip(place, async (local, remote, back) => {
        const { to } = place;
        const batch = [
          `put ${local} ${remote}/a`,
          `rename ${remote}/a ${remote}/b`,
          `chmod 600 ${remote}/b`,
          `mkdir ${remote}/d`,
          `ls -1 ${remote}`,
          `get ${remote}/b ${back}`,
          '-rm /nowhere/at/all',
          `rmdir ${remote}/d`,
        ];
        const done = await run(['sftp', '-q', ...options(to), '-b', '-', to.host], {
          env: sshEnv(to),
          input: batch.join('\n') + '\n',
        });
        const text = done.stdout.toString().replaceAll(remote, 'REMOTE');
        const plain = text.replaceAll(local, 'LOCAL').replaceAll(back, 'BACK');
        return { stdout: plain, stderr: done.stderr, code: done.code };
      }),
  },
];
