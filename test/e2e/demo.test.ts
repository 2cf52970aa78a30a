/**
 * `make demo` as a stranger types it: what it prints can be copied as it stands and works, and the end of it leaves no
 * process, port or login behind, whichever way it is ended.
 */
import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { SALLYPORT } from '../support/gate.ts';
import { descendants, hasOpenSsh } from '../support/openssh.ts';
import { run, start } from '../support/process.ts';
import type { Outcome, Running } from '../support/process.ts';
import { defer } from '../support/scope.ts';
import { ROOT } from '../support/source-tree.ts';
import { runInPty } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { isRoot, testLogin } from '../support/test-login.ts';

/** A demo that is up, and the commands it printed. */
interface Demo {
  readonly running: Running;
  readonly dir: string;
  /** The printed lines that are commands, without `cd`. */
  readonly commands: readonly string[];
  /** All processes that it runs, itself among them. */
  readonly processes: readonly number[];
  readonly ports: readonly number[];
}

/** Starts it as `make demo` does, and waits for what it prints; `as` goes before the command. */
async function startDemo(
  t: TestContext,
  dir: string,
  more: readonly string[] = [],
  as: readonly string[] = [],
): Promise<Demo> {
  const [program = SALLYPORT, ...args] = [...as, SALLYPORT, 'demo', '--dir', dir, ...more];
  const command: [string, ...string[]] = [program, ...args];
  const running = start(t, command, { stdin: 'ignore', cwd: ROOT });
  await running.line(/^Ctrl-C ends all of it/, 60_000);
  const text = running.stdout.toString();
  const commands = text
    .split('\n')
    .filter((line) => /^ {2}\S/.test(line) && !line.startsWith('  cd '))
    .map((line) => line.trim());
  const ports = [
    Number(/port (\d+)/.exec(text)?.[1]),
    Number(/^ListenAddress .*:(\d+)$/m.exec(readText(dir, 'target/sshd_config'))?.[1]),
  ];
  const processes = [running.pid, ...descendants(running.pid)];
  assert.ok(processes.length >= 3, 'demo, gate and target');
  return { running, dir, commands, processes, ports };
}

function readText(dir: string, name: string): string {
  return readFileSync(join(dir, name), 'utf8');
}

/** Runs a printed command word for word, in a shell, where the demo was started. */
function typed(command: string, input = ''): Promise<Outcome> {
  return run(['/bin/sh', '-c', command], { cwd: ROOT, input });
}

function isAlive(pid: number): boolean {
  return (
    existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  );
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
}

/** Logins that demos of this process id made. */
function logins(pid: number): string[] {
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`sallyport-demo-${pid}:`));
}

async function assertNothingLeft(demo: Demo, more: readonly number[] = []): Promise<void> {
  const all = [...demo.processes, ...more];
  assert.deepEqual(all.filter(isAlive), [], 'processes are left');
  for (const port of demo.ports) assert.equal(await isListening(port), false, `port ${port}`);
  assert.deepEqual(logins(demo.running.pid), []);
  assert.equal(existsSync(`/run/sallyport-demo-${demo.running.pid}`), false);
}

suite('make demo', { timeout: 280_000, skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('the three commands it prints work as they stand, and Ctrl-C leaves nothing', async (t) => {
    // A name that a shell and two configuration files must quote.
    const dir = join(tempDir(t), "a demo's 100% folder");
    const demo = await startDemo(t, dir);
    const [ssh = '', show = '', verify = '', showChannel = '', cast = '', sftp = ''] =
      demo.commands;
    assert.match(ssh, /^ssh -F /);

    // Somebody leaves a program running on the target.
    const background = 'nohup sleep 1000 >/dev/null 2>&1 & echo pid=$!';
    const session = await typed(ssh, `echo hello from $((40+2))\n${background}\nexit 7\n`);
    assert.equal(session.stderr.toString().replace(/^Pseudo-terminal will not.*\r?\n/, ''), '');
    assert.equal(session.code, 7);
    assert.match(session.stdout.toString(), /hello from 42/);
    const left = Number(/pid=(\d+)/.exec(session.stdout.toString())?.[1]);
    assert.ok(isAlive(left));

    await demo.running.line(/alice has left playground .*shell: exit 7/);
    const shown = await typed(show);
    assert.equal(shown.code, 0, shown.stderr.toString());
    assert.match(shown.stdout.toString(), /alice@playground[\s\S]*exit 7/);
    const verified = await typed(verify);
    assert.equal(verified.code, 0, verified.stderr.toString());
    assert.match(verified.stdout.toString(), /good: 2 complete/);

    const channel = await typed(showChannel);
    assert.match(channel.stdout.toString(), /hello from 42/);
    const toFile = cast.replace(/ > \S+$/, '');
    assert.notEqual(toFile, cast, 'the cast goes to a file');
    assert.match((await typed(toFile)).stdout.toString(), /^\{"version": ?2/);
    const files = await typed(sftp, 'ls\n');
    assert.equal(files.code, 0, files.stderr.toString());

    // The command that a session's line names shows that session.
    const told = await demo.running.line(/^ {6}(\S*sallyport trail show .*)$/);
    assert.equal((await typed(told[1] ?? '')).stdout.toString(), shown.stdout.toString());

    demo.running.kill('SIGINT');
    const { code, stdout } = await demo.running.exited;
    assert.equal(code, 0);
    assert.match(stdout.toString(), /Nothing of it runs any more/);
    await assertNothingLeft(demo, [left]);

    // What it says of the folder is true: everything verifies without a gate.
    const last = stdout
      .toString()
      .split('\n')
      .find((line) => line.includes('trail verify --dir') && !line.includes('newest'));
    const whole = await typed(last ?? 'false');
    assert.equal(whole.code, 0, whole.stderr.toString());
    assert.match(whole.stdout.toString(), /^good: /m);
  });

  test('Ctrl-C in the middle of a session ends that too, and seals its trail', async (t) => {
    const demo = await startDemo(t, join(tempDir(t), 'demo'));
    const ssh = start(t, ['/bin/sh', '-c', `exec ${demo.commands[0] ?? ''} 'echo here; cat'`]);
    await ssh.line(/^here/);
    const inside = descendants(demo.running.pid);
    demo.running.kill('SIGINT');
    assert.equal((await demo.running.exited).code, 0);
    assert.notEqual((await ssh.exited).code, 0);
    await assertNothingLeft(demo, inside);
    const verified = await run([SALLYPORT, 'trail', 'verify', '--dir', demo.dir]);
    assert.equal(verified.code, 0, verified.stdout.toString());
  });

  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    test(`${signal} ends it as well`, async (t) => {
      const demo = await startDemo(t, join(tempDir(t), 'demo'));
      demo.running.kill(signal);
      assert.equal((await demo.running.exited).code, 0);
      await assertNothingLeft(demo);
    });
  }

  test('a demo that is killed leaves nothing running, and the next one its login', async (t) => {
    const dir = join(tempDir(t), 'demo');
    const killed = await startDemo(t, dir);
    defer(t, () => killed.processes.filter(isAlive).forEach((pid) => process.kill(pid, 'SIGKILL')));
    killed.running.kill('SIGKILL');
    await killed.running.exited;
    await eventually('the end of all', () => !killed.processes.some(isAlive));
    const next = await startDemo(t, dir);
    assert.deepEqual(logins(killed.running.pid), []);
    next.running.kill('SIGINT');
    assert.equal((await next.running.exited).code, 0);
    await assertNothingLeft(next);
  });

  test('an ordinary user has a terminal on the target, as himself', async (t) => {
    const { name, uid, gid } = await testLogin();
    const as = isRoot() ? ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'] : [];
    if (isRoot() && (await run(['setpriv', ...as.slice(1), SALLYPORT, '--version'])).code !== 0) {
      t.skip('the repository lies where an ordinary user may not read it');
      return;
    }
    const folder = tempDir(t);
    chownSync(folder, uid, gid);
    const demo = await startDemo(t, join(folder, 'demo'), [], as);
    const terminal = demo.running.stdout.toString().includes('no terminals')
      ? 'not a tty'
      : '/dev/';
    const typing = `exec ${as.join(' ')} ${demo.commands[0] ?? ''}`;
    const { stdout, code } = await runInPty(['/bin/sh', '-c', typing], {
      steps: [{ send: 'id -un; tty; exit 5\n' }],
    });
    assert.equal(code, 5, stdout.toString());
    const shown = new RegExp(`^(?:.*[$] )?${name}\\s+(?:${terminal})`, 'm');
    assert.match(stdout.toString(), shown);
    demo.running.kill('SIGINT');
    assert.equal((await demo.running.exited).code, 0);
    await assertNothingLeft(demo);
  });

  test('--keep goes on with what was recorded, without it the folder is made anew', async (t) => {
    const dir = join(tempDir(t), 'demo');
    const count = async (): Promise<number> => {
      const { stdout } = await run([SALLYPORT, 'connections', '--dir', dir, '--json']);
      return stdout.toString().split('\n').filter(Boolean).length;
    };
    for (const [more, expected] of [
      [[], 1],
      [['--keep'], 2],
      [[], 1],
    ] as const) {
      const demo = await startDemo(t, dir, more);
      const { code, stderr } = await typed(`${demo.commands[0] ?? ''} true`);
      assert.equal(code, 0, stderr.toString());
      demo.running.kill('SIGINT');
      assert.equal((await demo.running.exited).code, 0);
      assert.equal(await count(), expected);
    }
  });

  test('a folder that no demo made is refused and untouched; so is one whose demo runs', async (t) => {
    const dir = join(tempDir(t), 'mine');
    mkdirSync(dir);
    writeFileSync(join(dir, 'thesis.txt'), 'three years of work');
    const refused = await run([SALLYPORT, 'demo', '--dir', dir]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr.toString(), /^sallyport: .*mine was not made by a demo.*--dir\n$/);
    assert.deepEqual(readdirSync(dir), ['thesis.txt']);

    const demo = await startDemo(t, join(tempDir(t), 'demo'));
    const second = await run([SALLYPORT, 'demo', '--dir', demo.dir]);
    assert.equal(second.code, 1);
    assert.match(second.stderr.toString(), /a demo runs in/);
    const { code } = await typed(`${demo.commands[0] ?? ''} true`);
    assert.equal(code, 0);
  });
});
