/**
 * Proof 7: clients that others wrote log in with every kind of key and with a password, and run a command. A client
 * that is not installed is skipped by its name; with CI=true it fails instead.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { figure } from '../support/figure.ts';
import { makeKey } from '../support/keys.ts';
import type { KeyPair, KeyType } from '../support/keys.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { check, run } from '../support/process.ts';
import type { Outcome } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';

const PASSWORD = 'four words, none true';
const TYPES = ['ed25519', 'ecdsa', 'rsa'] as const satisfies readonly KeyType[];
const COMMAND = "printf 'out\\n'; printf 'err\\n' >&2; exit 7";
const LIBRARIES = join(import.meta.dirname, '../support/clients.py');

interface Client {
  readonly name: string;
  /** Whether it is installed: a program, or a module of Python. */
  readonly isThere: () => Promise<boolean>;
  /** The same private key in the client's own format, from OpenSSH's. */
  readonly key: (path: string) => Promise<string>;
  readonly run: (to: Endpoint, command: string) => Promise<Outcome>;
}

const onPath = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, program)));

const program = (name: string) => (): Promise<boolean> => Promise.resolve(onPath(name));

const module = (name: string) => async (): Promise<boolean> =>
  existsSync('/usr/bin/python3') &&
  (await run(['/usr/bin/python3', '-W', 'ignore', '-c', `import ${name}`])).code === 0;

const same = (path: string): Promise<string> => Promise.resolve(path);

function library(name: string): Client {
  return {
    name,
    isThere: module(name),
    key: same,
    run: ({ host, port, user, key, password }, command) =>
      run([
        '/usr/bin/python3',
        LIBRARIES,
        JSON.stringify({ library: name, host, port, user, key, password, command }),
      ]),
  };
}

const CLIENTS: Client[] = [
  { name: 'OpenSSH', isThere: program('ssh'), key: same, run: (to, command) => ssh(to, command) },
  {
    name: 'plink',
    isThere: program('plink'),
    key: async (path) => {
      await check(['puttygen', path, '-O', 'private', '-o', `${path}.ppk`]);
      return `${path}.ppk`;
    },
    run: async ({ host, port, user, key, password }, command) => {
      const scope = new ManualScope();
      const home = tempDir(scope);
      const line = ['plink', '-ssh', '-batch', '-P', String(port), '-l', user] as const;
      const how = key === undefined ? ['-noagent', '-pw', password ?? ''] : ['-noagent', '-i', key];
      const env = { ...process.env, HOME: home };
      try {
        // It wants to know the host key, and tells it when it does not.
        const first = await run([...line, ...how, host, 'true'], { env });
        const print = /SHA256:[A-Za-z0-9+/]+/.exec(first.stderr.toString())?.[0] ?? '';
        return await run([...line, ...how, '-hostkey', print, host, command], { env });
      } finally {
        await scope.end();
      }
    },
  },
  {
    name: 'dbclient',
    isThere: program('dbclient'),
    key: async (path) => {
      await check(['dropbearconvert', 'openssh', 'dropbear', path, `${path}.db`]);
      return `${path}.db`;
    },
    run: async ({ host, port, user, key, password }, command) => {
      const scope = new ManualScope();
      const env = {
        ...process.env,
        HOME: tempDir(scope),
        ...(password === undefined ? {} : { DROPBEAR_PASSWORD: password }),
      };
      const how = key === undefined ? [] : ['-i', key];
      const line = ['dbclient', '-y', '-y', ...how, '-p', String(port), '-l', user] as const;
      try {
        return await run([...line, host, command], { env });
      } finally {
        await scope.end();
      }
    },
  },
  library('asyncssh'),
  library('paramiko'),
];

suite('clients', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let site: Site;
  const keys = new Map<KeyType, KeyPair>();

  before(async () => {
    for (const type of TYPES) keys.set(type, await makeKey(scope, type));
    site = await startSite(scope, {
      password: PASSWORD,
      inventory: (usual) => ({
        ...usual,
        users: (usual.users ?? []).map((user) => ({
          ...user,
          keys: [...keys.values()].map(({ publicLine }) => publicLine),
        })),
      }),
    });
  });

  const endpoint = (credentials: Pick<Endpoint, 'key' | 'password'>): Endpoint =>
    site.as(`alice@${site.target.user}@db1`, credentials);

  for (const client of CLIENTS) {
    test(client.name, { timeout: 280_000 }, async (t) => {
      if (!(await client.isThere())) {
        assert.notEqual(process.env['CI'], 'true', `${client.name} is missing, CI wants it`);
        t.skip(`${client.name} is not installed`);
        return;
      }
      const passed: string[] = [];
      const tryOut = async (how: string, to: Endpoint): Promise<void> => {
        const { stdout, stderr, code } = await client.run(to, COMMAND);
        assert.deepEqual([stdout.toString(), code], ['out\n', 7], `${how}: ${stderr.toString()}`);
        assert.match(stderr.toString(), /^err$/m);
        passed.push(how);
      };
      try {
        for (const type of TYPES) {
          const key = await client.key(keys.get(type)?.path ?? '');
          await tryOut(type, endpoint({ key }));
          const [row] = await site.gate.connections();
          assert.equal(row?.['auth_method'], 'publickey');
        }
        await tryOut('password', endpoint({ password: PASSWORD }));
        const [row] = await site.gate.connections();
        assert.match(String(row?.['auth_method']), /^(password|keyboard-interactive)$/);
        const wrong = await client.run(endpoint({ password: 'wrong' }), COMMAND);
        assert.notEqual(wrong.code, 7, 'a wrong password was let in');
        assert.equal(wrong.stdout.length, 0);
        passed.push('wrong password refused');
      } finally {
        figure({
          scenario: 'clients',
          what: `${client.name}: keys, password, command`,
          pass: '5 of 5',
          measured: `${passed.length} of 5`,
          ok: passed.length === 5,
        });
      }
    });
  }

  for (const client of CLIENTS.filter(({ name }) => name === 'paramiko' || name === 'asyncssh')) {
    test(`${client.name}: a key that is refused, then the password, in one login`, async (t) => {
      if (!(await client.isThere())) {
        t.skip(`${client.name} is not installed`);
        return;
      }
      const stranger = await makeKey(t);
      const to = endpoint({ key: stranger.path, password: PASSWORD });
      const { stdout, stderr, code } = await client.run(to, COMMAND);
      assert.deepEqual([stdout.toString(), code], ['out\n', 7], stderr.toString());
    });
  }

  test('keyboard-interactive asks for the password', async () => {
    const { stdout, code, stderr } = await ssh(endpoint({ password: PASSWORD }), COMMAND, {
      settings: ['PreferredAuthentications=keyboard-interactive'],
    });
    assert.deepEqual([stdout.toString(), code], ['out\n', 7], stderr.toString());
    const [row] = await site.gate.connections();
    assert.equal(row?.['auth_method'], 'keyboard-interactive');
  });

  test('a signature with SHA-1 is refused', async () => {
    const key = keys.get('rsa')?.path ?? '';
    const settings = ['PubkeyAcceptedAlgorithms=ssh-rsa'];
    const { stderr, code } = await ssh(endpoint({ key }), 'true', { settings });
    assert.equal(code, 255);
    assert.match(stderr.toString(), /Permission denied|no mutual signature/);
    const modern = await ssh(endpoint({ key }), 'echo in', {
      settings: ['PubkeyAcceptedAlgorithms=rsa-sha2-256'],
    });
    assert.equal(modern.stdout.toString(), 'in\n', modern.stderr.toString());
  });

  test('ssh-audit finds nothing to fail', { timeout: 280_000 }, async (t) => {
    if (!onPath('ssh-audit')) {
      assert.notEqual(process.env['CI'], 'true', 'ssh-audit is missing, CI wants it');
      t.skip('ssh-audit is not installed');
      return;
    }
    const line = ['ssh-audit', '--no-colors', '--timeout=20', '-p'] as const;
    const { stdout, stderr } = await run([...line, String(site.gate.sshPort), '127.0.0.1']);
    const text = stdout.toString();
    assert.match(text, /\(kex\) curve25519-sha256/, `${text}${stderr.toString()}`);
    const fails = text.split('\n').filter((one) => one.includes('[fail]'));
    const measured = `${fails.length}`;
    figure({
      scenario: 'clients',
      what: 'ssh-audit',
      pass: '0 fails',
      measured,
      ok: measured === '0',
    });
    assert.deepEqual(fails, []);
  });
});
