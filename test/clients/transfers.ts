/** Clients that move files: curl (libssh2), lftp, rclone, sshfs. */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  writeSync,
} from 'node:fs';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { randomFrom, rounds } from '../support/scale.ts';
import { sha256 } from './play.ts';
import { CannotPlay } from './scene.ts';
import type { Client, Stage } from './scene.ts';
import {
  SIZES,
  fill,
  fillFolder,
  giveAway,
  hashFolder,
  moved,
  must,
  onPath,
  play,
  sshConfig,
  stay,
} from './steps.ts';
import type { Line } from './steps.ts';

/** Up and down with libssh2, each file a connection of its own. */
async function curlOver(stage: Stage, scheme: 'sftp' | 'scp'): Promise<object> {
  const { local, remote, route } = stage;
  const { host, port, user, key } = route;
  const login = ['--insecure', '--user', `${user}:`, '--key', key, '--pubkey', `${key}.pub`];
  const curl = (...words: string[]): Line => [
    'curl',
    '--silent',
    '--show-error',
    ...login,
    ...words,
  ];
  const url = (name: string): string => `${scheme}://${host}:${port}${remote}/${name}`;
  fillFolder(join(local, 'up'), SIZES.slice(1));
  mkdirSync(join(local, 'down'));
  for (const name of readdirSync(join(local, 'up')).sort()) {
    const far = name.replace(' ', '-');
    await must(stage, curl('--upload-file', join(local, 'up', name), url(far)));
    await must(stage, curl('--output', join(local, 'down', far), url(far)));
  }
  const missing = await play(stage, curl(url('missing')));
  const files = [join(local, 'down'), remote].map(hashFolder);
  // libssh2 ends its scp before the last byte of the protocol, so that nobody has said that a file is whole.
  const hashes = scheme === 'sftp' ? files.flatMap((list) => list.map(([, hash]) => hash)) : [];
  return { files, hashes, perhaps: files.flat().map(([, hash]) => hash), missing: missing.code };
}

export const curl: Client = {
  name: 'libssh2 (curl)',
  package: 'curl',
  isThere: () => onPath('curl'),
  noJump: 'curl dials by itself',
  scenes: {
    sftp: (stage) => curlOver(stage, 'sftp'),
    scp: (stage) => curlOver(stage, 'scp'),
  },
};

/** Mirrors up and down, and resumes a download and an upload that stopped half way. */
async function lftpMirror(stage: Stage): Promise<object> {
  const { local, remote } = stage;
  fillFolder(join(local, 'up'));
  const whole = SIZES.at(-1) ?? 0;
  const lftp = (...commands: string[]): Line => {
    const how = `set sftp:connect-program "ssh -a -x -F ${sshConfig(stage)}"; set net:max-retries 1`;
    return [
      'lftp',
      '-c',
      [how, 'set cmd:fail-exit yes', 'open sftp://there', ...commands].join('; '),
    ];
  };
  await must(stage, lftp(`mirror -R --parallel=3 up ${remote}/far`, `mirror ${remote}/far down`));
  mkdirSync(join(local, 'half'));
  fill(join(local, 'half', 'file 4'), whole, 5);
  const half = openSync(join(local, 'half', 'file 4'), 'r+');
  ftruncateSync(half, Math.floor(whole / 2));
  closeSync(half);
  await must(stage, ['cp', join(local, 'half', 'file 4'), join(remote, 'resumed')]);
  await giveAway(remote);
  await must(
    stage,
    lftp(
      `get -c "${remote}/far/file 4" -o "half/file 4"`,
      `put -c "up/file 4" -o ${remote}/resumed`,
    ),
  );
  return moved(join(local, 'down'), join(local, 'half'), remote);
}

export const lftp: Client = {
  name: 'lftp',
  package: 'lftp',
  isThere: () => onPath('lftp'),
  scenes: { sftp: lftpMirror },
};

/** Copies with parallel transfers, checks by the hashes that the target computes, and copies back. */
async function rcloneCopy(stage: Stage): Promise<object> {
  const { local, remote, route } = stage;
  const sizes = Array.from({ length: rounds(780, 12) }, (_, index) => index * 4_001);
  fillFolder(join(local, 'up'), [...SIZES, ...sizes]);
  const env = {
    RCLONE_CONFIG: join(local, 'rclone.conf'),
    RCLONE_CONFIG_THERE_TYPE: 'sftp',
    RCLONE_CONFIG_THERE_HOST: route.host,
    RCLONE_CONFIG_THERE_PORT: String(route.port),
    RCLONE_CONFIG_THERE_USER: route.user,
    RCLONE_CONFIG_THERE_KEY_FILE: route.key,
  };
  const rclone = (...words: string[]): Promise<object> =>
    must(stage, ['rclone', '--transfers', '8', '--retries', '1', ...words], { env });
  await rclone('copy', 'up', `there:${remote}/far`);
  await rclone('check', 'up', `there:${remote}/far`);
  await rclone('copy', `there:${remote}/far`, 'down');
  return moved(join(local, 'down'), remote);
}

export const rclone: Client = {
  name: 'rclone',
  package: 'rclone',
  isThere: () => onPath('rclone'),
  noJump: 'rclone 1.60 dials by itself',
  scenes: { sftp: rcloneCopy },
};

/** A mounted folder under random writes, reads and truncations, compared byte for byte as it goes. */
async function sshfsWorkload(stage: Stage): Promise<object> {
  const { local, remote } = stage;
  const mount = join(local, 'mount');
  mkdirSync(mount);
  if (!existsSync('/dev/fuse')) throw new CannotPlay('no /dev/fuse');
  const options = ['-f', '-F', sshConfig(stage), '-o', 'idmap=user,cache=no'];
  const running = stay(stage, ['sshfs', `there:${remote}`, mount, ...options]);
  const mounted = await eventually('the mount', async () => {
    const { code } = await play(stage, ['mountpoint', '-q', mount]);
    if (code === 0) return 'yes';
    return running.outcome ? running.outcome.stderr.toString() : undefined;
  });
  if (/fuse|mount/i.test(mounted) && /not permitted|denied|fusermount/i.test(mounted)) {
    throw new CannotPlay('FUSE may not be mounted here');
  }
  if (mounted !== 'yes') throw new Error(mounted);
  try {
    const random = randomFrom(11);
    const file = openSync(join(mount, 'file'), 'w+');
    let model: Buffer = Buffer.alloc(0);
    let wrong = 0;
    for (let i = 0; i < rounds(5_000, 150); i++) {
      const at = random.int(0, 200_000);
      const kind = random.int(0, 9);
      if (kind < 5) {
        const bytes = random.bytes(random.int(1, 60_000));
        const next = Buffer.alloc(Math.max(model.length, at + bytes.length));
        model.copy(next);
        bytes.copy(next, at);
        model = next;
        writeSync(file, bytes, 0, bytes.length, at);
      } else if (kind < 9) {
        const into = Buffer.alloc(random.int(1, 60_000));
        const count = readSync(file, into, 0, into.length, at);
        const want = model.subarray(at, at + into.length);
        if (!into.subarray(0, count).equals(want)) wrong++;
      } else {
        ftruncateSync(file, at);
        const next = Buffer.alloc(at);
        model.copy(next);
        model = next;
      }
    }
    closeSync(file);
    fillFolder(join(mount, 'folder'));
    const folder = hashFolder(join(remote, 'folder'));
    const end = sha256(model);
    const far = sha256(readFileSync(join(remote, 'file')));
    return {
      wrong,
      end,
      same: far === end,
      hashes: folder.map(([, hash]) => hash),
      perhaps: [end],
    };
  } finally {
    await play(stage, ['fusermount', '-u', mount]);
    await running.exited;
  }
}

export const sshfs: Client = {
  name: 'sshfs',
  package: 'sshfs',
  isThere: () => onPath('sshfs'),
  scenes: { sftp: sshfsWorkload },
};
