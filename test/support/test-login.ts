/**
 * The login that test targets let in: as root an ordinary user with /bin/sh, called sallyport-test and made on first
 * use (root's own login shell may take seconds to start); as anyone else the user who runs the tests. Its password is
 * random, kept where only root can read it, so that the machine's own sshd is not opened to anyone.
 */
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { check, run } from './process.ts';

export interface TestLogin {
  readonly name: string;
  readonly home: string;
  readonly uid: number;
  readonly gid: number;
  /** Absent when the tests do not run as root. */
  readonly password: string | undefined;
}

const NAME = 'sallyport-test';

/** Whether the tests run as root. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** The home folder: the same for all targets, since /etc/passwd holds one. */
function homeFolder(): string {
  return join(tmpdir(), 'sallyport-test-home');
}

/** Makes the login if it is missing; any number of test processes may do so at once. */
export async function testLogin(): Promise<TestLogin> {
  if (!isRoot()) {
    const { username, homedir, uid, gid } = userInfo();
    return { name: username, home: homedir, uid, gid, password: undefined };
  }
  const home = homeFolder();
  const secret = '/root/.sallyport-test-password';
  const ids = (await run(['id', '-u', NAME])).code === 0;
  if (!ids || !existsSync(secret) || !existsSync(home)) await makeLogin(home, secret);
  const uid = Number(await check(['id', '-u', NAME]));
  const gid = Number(await check(['id', '-g', NAME]));
  return { name: NAME, home, uid, gid, password: readFileSync(secret, 'utf8') };
}

async function makeLogin(home: string, secret: string): Promise<void> {
  const password = randomBytes(12).toString('base64url');
  closeSync(openSync(secret, 'a', 0o600));
  const hash = (await check(['openssl', 'passwd', '-6', '-stdin'], { input: password })).trim();
  // One process at a time: whoever waited finds the work done.
  const script = [
    `id -u ${NAME} >/dev/null 2>&1 || useradd --no-create-home --home-dir "$1" --shell /bin/sh ${NAME} || exit 1`,
    `[ -s "$2" ] || { usermod -p "$3" -s /bin/sh -d "$1" ${NAME} && cat >"$2"; }`,
  ].join('\n');
  await check(['flock', secret, 'sh', '-c', script, 'sh', home, secret, hash], { input: password });
  mkdirSync(home, { recursive: true, mode: 0o755 });
  chownSync(home, Number(await check(['id', '-u', NAME])), Number(await check(['id', '-g', NAME])));
  // Keeps a login quiet whatever the machine's message of the day says.
  writeFileSync(join(home, '.hushlogin'), '');
}
