/**
 * Sessions that run are closed over the API: shells, uploads by SFTP and forwards. Each is gone, its client sees that, its
 * row and its trail say who closed it and why, and sessions beside them go on.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { ALL, startEcho } from '../e2e/forward-place.ts';
import type { ApiClient } from '../support/api-client.ts';
import { ApiGate, withAdmin } from '../support/api-gate.ts';
import { each } from '../support/each.ts';
import { eventually } from '../support/eventually.ts';
import { figure } from '../support/figure.ts';
import { copyOptions } from '../support/file-clients.ts';
import { freePort } from '../support/free-port.ts';
import { startGate, targetOf } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { start } from '../support/process.ts';
import type { Running } from '../support/process.ts';
import { rounds } from '../support/scale.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { sshEnv, startSsh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { verdictsOn } from '../support/trail-files.ts';

const KINDS = ['shell', 'sftp', 'forward'] as const;
const UPLOAD = 256 * 1024 * 1024;

/** A session of one kind, with something under way in it. */
interface Session {
  readonly kind: (typeof KINDS)[number];
  readonly client: Running;
  /** Does what the session is for once more; fails if it cannot. */
  use(): Promise<void>;
  /** Settles when what went through it has been cut. */
  readonly cut: Promise<unknown>;
}

/** Starts sessions at one target. */
class Starter {
  readonly #scope: Scope;
  readonly #echoPort: number;
  readonly #folder: string;
  readonly #file: string;
  #uploads = 0;

  constructor(scope: Scope, echoPort: number) {
    this.#scope = scope;
    this.#echoPort = echoPort;
    this.#folder = tempDir(scope);
    // The login at the target is another one.
    chmodSync(this.#folder, 0o777);
    this.#file = join(this.#folder, 'upload');
    writeFileSync(this.#file, '');
    truncateSync(this.#file, UPLOAD);
  }

  start(kind: Session['kind'], to: Endpoint): Promise<Session> {
    if (kind === 'shell') return this.#shell(to);
    return kind === 'sftp' ? this.#upload(to) : this.#forward(to);
  }

  async #shell(to: Endpoint): Promise<Session> {
    const client = startSsh(this.#scope, to);
    let count = 0;
    const use = async (): Promise<void> => {
      const word = `said-${count++}`;
      client.stdin?.write(`echo ${word}\n`);
      await client.until(({ stdout }) => stdout.toString().includes(word) || undefined, word);
    };
    await use();
    return { kind: 'shell', client, use, cut: client.exited };
  }

  async #upload(to: Endpoint): Promise<Session> {
    // 400 kbit/s: the upload takes longer than the test.
    const command = ['sftp', '-l', '400', ...copyOptions(to), '-b', '-', to.host] as const;
    const client = start(this.#scope, [...command], { env: sshEnv(to) });
    const there = join(this.#folder, `upload-${this.#uploads++}`);
    const size = (): number => (existsSync(there) ? statSync(there).size : 0);
    client.stdin?.write(`put ${this.#file} ${there}\n`);
    const use = async (): Promise<void> => {
      const was = size();
      await eventually('more of the upload', () => {
        assert.equal(client.outcome, undefined, client.stderr.toString());
        return size() > was;
      });
    };
    await use();
    return { kind: 'sftp', client, use, cut: client.exited };
  }

  async #forward(to: Endpoint): Promise<Session> {
    const port = await freePort(this.#scope);
    const flags = ['-N', '-L', `127.0.0.1:${port}:127.0.0.1:${this.#echoPort}`];
    const client = startSsh(this.#scope, to, undefined, { flags });
    const socket = await eventually('the forward', async () => {
      const one = connect(port, '127.0.0.1');
      one.on('error', () => undefined);
      const isOpen = await new Promise<boolean>((resolve) => {
        one.once('connect', () => resolve(true)).once('close', () => resolve(false));
      });
      return isOpen && one;
    });
    defer(this.#scope, () => {
      socket.destroy();
    });
    let got = '';
    socket.on('data', (piece: Buffer) => (got += piece.toString()));
    let count = 0;
    const use = async (): Promise<void> => {
      const word = `said-${count++}.`;
      socket.write(word);
      await eventually(word, () => got.includes(word.toUpperCase()) || undefined);
    };
    const cut = new Promise((resolve) => socket.once('close', resolve));
    await use();
    return { kind: 'forward', client, use, cut };
  }
}

async function runningOf(api: ApiClient, user: string): Promise<string[]> {
  const q = encodeURIComponent(`active:true AND user.name:${user}`);
  const path = `/api/audit/sessions?q=${q}&fields=recording.session_id&limit=500`;
  const { status, json, bytes } = await api.get(path);
  assert.equal(status, 200, bytes.toString());
  const items = json['items'] as unknown as { body: { recording: { session_id: string } } }[];
  return items.map(({ body }) => body.recording.session_id);
}

suite('closing', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('many live sessions are closed over the API, and others are unharmed', async (t) => {
    const target = await startOpenSsh(t, { config: ['MaxSessions 20', 'MaxStartups 200'] });
    const echo = await startEcho(t);
    const key = await makeKey(t);
    const people = ['alice', 'bob'];
    const inventory = withAdmin({
      users: people.map((name) => ({ name, keys: [key.publicLine], groups: ['testers'] })),
      groups: [{ name: 'testers' }],
      targets: [targetOf('db1', target)],
      rules: [
        {
          name: 'all',
          groups: ['testers'],
          targets: ['db1'],
          accounts: [target.user],
          channels: [...ALL],
          forward_to: [`127.0.0.1:${echo.port}`],
        },
      ],
    });
    const place = new ApiGate(await startGate(t, { inventory }));
    const at = (user: string): Endpoint =>
      place.gate.endpoint(`${user}@${target.user}@db1`, { key: key.path });
    const starter = new Starter(t, echo.port);
    const beside = await Promise.all(KINDS.map((kind) => starter.start(kind, at('bob'))));
    const count = rounds(100, 8);
    const closing: Session[] = [];
    await each([...Array(count).keys()], 3, async (nth) => {
      closing.push(await starter.start(KINDS[nth % KINDS.length] ?? 'shell', at('alice')));
    });

    const admin = await place.admin();
    const ids = await eventually('all sessions', async () => {
      const running = await runningOf(admin, 'alice');
      return running.length === count && running;
    });
    let slowest = 0;
    await each([...ids.entries()], 10, async ([nth, id]) => {
      const started = performance.now();
      const reason = encodeURIComponent(`end of shift ${nth}`);
      const path = `/api/active-sessions?id=${encodeURIComponent(id)}&reason=${reason}`;
      const { status, bytes } = await admin.delete(path);
      assert.equal(status, 200, bytes.toString());
      slowest = Math.max(slowest, performance.now() - started);
    });
    figure({
      ...{ scenario: 'api', what: `${count} live sessions closed`, pass: 'each within 1 s' },
      ...{ measured: `the slowest in ${Math.round(slowest)} ms`, ok: slowest < 1000 },
    });

    for (const { kind, client, cut } of closing) {
      const { code, stderr } = await client.exited;
      await cut;
      assert.notEqual(code, 0, kind);
      assert.match(stderr.toString(), /session terminated by admin: end of shift \d+/, kind);
    }
    await eventually('their rows', async () => (await runningOf(admin, 'alice')).length === 0);
    const rows = (await place.gate.connections()).filter(({ user }) => user === 'alice');
    assert.equal(rows.length, count);
    const reasons = new Set<string>();
    for (const { id, status, reason } of rows) {
      assert.equal(status, 'TERMINATED');
      assert.match(String(reason), /^session terminated by admin: end of shift \d+$/);
      reasons.add(String(reason));
      const verdicts = await verdictsOn(place.gate.dir, String(id));
      assert.ok(verdicts.length > 1, 'a connection without a channel');
      for (const { path, state } of verdicts) assert.equal(state, 'complete', path);
      assert.equal(verdicts[0]?.reason, reason);
    }
    assert.equal(reasons.size, count, 'a session was ended by the order for another');

    for (const session of beside) await session.use();
    assert.equal((await runningOf(admin, 'bob')).length, beside.length);
  });
});
