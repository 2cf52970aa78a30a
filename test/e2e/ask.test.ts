/**
 * An account that asks for its password (DESIGN 3.1): the question names account and target, three tries count, and the
 * answers are nowhere afterwards, neither in a recording nor in the log nor in the database.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { freePort } from '../support/free-port.ts';
import type { Inventory } from '../support/gate.ts';
import { jumpConfig } from '../support/jump.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import type { OpenSsh } from '../support/openssh.ts';
import { ManualScope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { runInPty, ssh, sshEnv, sshInPty } from '../support/ssh-client.ts';
import type { PtyStep } from '../support/ssh-client.ts';
import { isRoot } from '../support/test-login.ts';
import { exported, trailFiles } from '../support/trail-files.ts';

// The words above the question are shown from this level on.
const SETTINGS = [
  'LogLevel=INFO',
  'BatchMode=no',
  'PreferredAuthentications=publickey,keyboard-interactive',
];
const WRONG = 'not-the-word-of-anybody';

const skip = !hasOpenSsh()
  ? 'no OpenSSH server'
  : !isRoot() && 'a target with a password needs root';

/** The one account asks, at a target that is there and at one that is not. */
function asking(usual: Inventory, target: OpenSsh, away: number): Inventory {
  const at = (name: string, port: number): object => ({
    name,
    address: target.host,
    port,
    host_keys: target.hostKeyLines,
    accounts: [{ name: target.user, ask: true }],
  });
  return {
    ...usual,
    targets: [at('db1', target.port), at('away', away)],
    rules: (usual.rules ?? []).map((rule) => ({ ...rule, targets: ['db1', 'away'] })),
  };
}

/** Every file below a folder that holds the text, by name or content. */
function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.includes(text) || readFileSync(path).includes(text));
}

suite('ask', { skip }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let site: Site;

  before(async () => {
    const away = await freePort(scope);
    site = await startSite(scope, {
      target: { password: true },
      inventory: (usual, target) => asking(usual, target, away),
    });
  });

  const login = (steps: PtyStep[], to = site.to): ReturnType<typeof sshInPty> =>
    sshInPty(to, 'echo in""side', { settings: SETTINGS, steps });

  test('the right answer lets in, and is not recorded anywhere', async () => {
    const { gate, target } = site;
    const password = target.password ?? '';
    const question = `${target.user}@db1's password: `;
    const { stdout, code } = await login([
      { expect: `The password of ${target.user}@db1 is asked for; it is not recorded.` },
      { expect: question },
      { send: `${WRONG}\r` },
      { expect: question },
      { send: `${password}\r` },
      { expect: 'inside' },
    ]);
    assert.equal(code, 0, stdout.toString());
    const [row] = await gate.connections();
    assert.equal(row?.['auth_method'], 'publickey');
    assert.equal(row['target'], 'db1');

    await gate.stop();
    assert.deepEqual(filesWith(gate.dir, password), []);
    assert.deepEqual(filesWith(gate.dir, WRONG), []);
    assert.ok(!gate.log().includes(password) && !gate.log().includes(WRONG), 'in the log');
    for (const path of trailFiles(join(gate.dir, 'recordings'))) {
      for (const line of (await exported(path, 'jsonl')).toString().split('\n').filter(Boolean)) {
        const bytes = Buffer.from((JSON.parse(line) as { data: string }).data, 'base64');
        assert.ok(!bytes.includes(password) && !bytes.includes(WRONG), `${path}: ${line}`);
      }
    }
    await gate.serve();
  });

  test('from the list and through a jump it is asked for as well, and recorded in neither', async (t) => {
    const { gate, target } = site;
    const password = target.password ?? '';
    const question = `${target.user}@db1's password: `;
    const listed = await sshInPty(site.as('alice'), undefined, {
      steps: [
        { expect: 'Number or part of a name' },
        { send: 'db1\r' },
        { expect: question },
        { send: `${WRONG}\r` },
        { expect: question },
        { send: `${password}\recho in""side; exit\r` },
        { expect: 'inside' },
      ],
    });
    assert.equal(listed.code, 0, listed.stdout.toString());
    const lines = ['KbdInteractiveAuthentication yes'];
    const jump = jumpConfig(t, site, { lines });
    const jumped = await runInPty(
      ['ssh', '-F', jump.file, '-o', 'BatchMode=no', '-tt', 'db1', 'echo in""side'],
      {
        env: sshEnv(site.to),
        steps: [{ expect: question }, { send: `${password}\r` }, { expect: 'inside' }],
      },
    );
    assert.equal(jumped.code, 0, jumped.stdout.toString());
    await gate.stop();
    assert.deepEqual(filesWith(gate.dir, password), []);
    assert.deepEqual(filesWith(gate.dir, WRONG), []);
    await gate.serve();
  });

  test('three wrong answers are the end', async () => {
    const wrong: PtyStep[] = [1, 2, 3].flatMap(() => [
      { expect: 'password: ' },
      { send: `${WRONG}\r` },
    ]);
    const { stdout, code } = await login(wrong);
    assert.equal(code, 255, stdout.toString());
    assert.match(stdout.toString(), /wrong three times/);
    assert.doesNotMatch(stdout.toString(), /inside/);
  });

  test('without a first factor nothing is asked', async () => {
    const { target, as } = site;
    const { stderr, code } = await ssh(
      as(`alice@${target.user}@db1`, { password: target.password ?? '' }),
      'true',
    );
    assert.equal(code, 255);
    assert.match(stderr.toString(), /Permission denied/);
    assert.doesNotMatch(stderr.toString(), /is asked for/);
  });

  test('a target that is away is named within the dialogue', async () => {
    const { stdout, code } = await login(
      [{ expect: 'password: ' }, { send: 'whatever\r' }],
      site.as(`alice@${site.target.user}@away`),
    );
    assert.equal(code, 255);
    assert.match(stdout.toString(), /away \(127\.0\.0\.1:\d+\) cannot be reached/);
  });
});
