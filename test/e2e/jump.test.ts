/**
 * The gate as a jump host for stock clients: `ssh -J`, ProxyJump and -W reach a target by its name or its address, the
 * host key is vouched for by the gate's authority, and everything inside is recorded as if the target had been named.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { jumpConfig } from '../support/jump.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { ManualScope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh, sshCommand, startSsh } from '../support/ssh-client.ts';
import { targetOf } from '../support/gate.ts';
import { freePort } from '../support/free-port.ts';
import { HOST_CERTIFICATE, issueHostCertificate } from '../../src/wire/certificate.ts';
import { MSG } from '../../src/wire/messages.ts';
import { parsePrivateKey } from '../../src/wire/ssh2.ts';
import { decodeFailure, encodePublickeyRequest } from '../../src/wire/userauth.ts';
import {
  askService,
  dialRaw,
  exchangeRaw,
  keyRequest,
  loginRaw,
  openMessage,
  passwordRequest,
} from '../support/raw-client.ts';
import type { Scope } from '../support/scope.ts';
import { withSettings } from '../support/settings.ts';
import { tempDir } from '../support/tempdir.ts';
import { recordsIn, storageOf, verdictsOn } from '../support/trail-files.ts';

type Row = Record<string, unknown>;

/** The rows of the newest jump: the one to the gate, and those through it. */
async function newestJump(site: Site): Promise<{ outer: Row; inner: Row[] }> {
  return eventually('a jump whose rows have ended', async () => {
    const rows = await site.gate.connections();
    const outer = rows.find((row) => row['kind'] === 'gate');
    if (!outer) return undefined;
    const inner = rows.filter((row) => row['parent'] === outer['id']);
    const over = [outer, ...inner].every((row) => row['status'] !== 'CONNECTED');
    return over ? { outer, inner } : undefined;
  });
}

/** A port here that leads through the gate to what it plays as db1. */
async function tunnel(scope: Scope, site: Site): Promise<{ host: string; port: number }> {
  const port = await freePort(scope);
  const to = site.gate.endpoint('alice', { key: site.key.path });
  const flags = ['-N', '-L', `127.0.0.1:${port}:db1:22`];
  const running = startSsh(scope, to, undefined, { flags, settings: ['LogLevel=DEBUG1'] });
  // By then it listens.
  await running.line(/Entering interactive session/);
  return { host: '127.0.0.1', port };
}

suite('jump', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let site: Site;

  before(async () => {
    const other = await startOpenSsh(scope);
    site = await startSite(scope, {
      inventory: (usual) => ({
        ...usual,
        // There, but not for alice.
        targets: [...(usual.targets ?? []), targetOf('secret', other)],
      }),
    });
  });

  test('one line in known_hosts is enough for a target by name and by address', async (t) => {
    const line = await site.gate.text(['host-ca']);
    const jump = jumpConfig(t, site, { knownHosts: line });
    const byName = await jump.ssh(['db1', 'echo in""side; echo err >&2; exit 3']);
    assert.equal(byName.stderr.toString(), 'err\n');
    assert.equal(byName.stdout.toString(), 'inside\n');
    assert.equal(byName.code, 3);
    const { port } = site.target;
    const byAddress = await jump.ssh(['-p', String(port), '127.0.0.1', 'echo here']);
    assert.equal(byAddress.stdout.toString(), 'here\n', byAddress.stderr.toString());
    const byNameAndPort = await jump.ssh(['-p', String(port), 'DB1', 'echo there']);
    assert.equal(byNameAndPort.stdout.toString(), 'there\n', byNameAndPort.stderr.toString());
  });

  test('without the line the host is not known, and another authority is not believed', async (t) => {
    const nothing = jumpConfig(t, site, { knownHosts: '' });
    const unknown = await nothing.ssh(['db1', 'true']);
    assert.equal(unknown.code, 255);
    assert.match(unknown.stderr.toString(), /Host key verification failed/);
    const stranger = await makeKey(t);
    const wrong = jumpConfig(t, site, { knownHosts: `@cert-authority * ${stranger.publicLine}\n` });
    assert.equal((await wrong.ssh(['db1', 'true'])).code, 255);
  });

  test('a client that knows no certificates sees the same key each time, another per target', async (t) => {
    const plain = ['HostKeyAlgorithms ssh-ed25519'];
    const known = join(tempDir(t), 'known');
    const learn = jumpConfig(t, site, { lines: plain });
    const settings = [
      '-o',
      `UserKnownHostsFile=${known}`,
      '-o',
      'StrictHostKeyChecking=accept-new',
    ];
    assert.equal((await learn.ssh([...settings, 'db1', 'true'])).code, 0);
    assert.match(readFileSync(known, 'utf8'), /^db1 ssh-ed25519 /m);
    await site.gate.restart();
    const again = jumpConfig(t, site, { lines: plain });
    const strict = ['-o', `UserKnownHostsFile=${known}`, '-o', 'StrictHostKeyChecking=yes'];
    const seen = await again.ssh([...strict, '-o', 'HostKeyAlias=db1', 'db1', 'echo same']);
    assert.equal(seen.stdout.toString(), 'same\n', seen.stderr.toString());
  });

  test('-J and -W on the command line, and any key or none at the target', async (t) => {
    const { gate, target, key } = site;
    const jump = jumpConfig(t, site, { always: false });
    const own = await makeKey(t);
    const proving = ['-o', 'PubkeyAuthentication=yes', '-i', own.path];
    const proved = await jump.ssh([...proving, '-J', 'gate', 'db1', 'echo J']);
    assert.equal(proved.stdout.toString(), 'J\n', proved.stderr.toString());
    const to = gate.endpoint('alice', { key: key.path });
    const proxy = sshCommand(to, { flags: ['-W', 'db1:22'] }).join(' ');
    const through = await jump.ssh(['-o', `ProxyCommand=${proxy}`, `${target.user}@db1`, 'echo W']);
    assert.equal(through.stdout.toString(), 'W\n', through.stderr.toString());
  });

  test('rows and trails: one for the gate, one with its parent for the target', async (t) => {
    const jump = jumpConfig(t, site);
    const marker = `marker-${randomBytes(8).toString('hex')}`;
    assert.equal((await jump.ssh(['db1', `echo ${marker}`])).stdout.toString(), `${marker}\n`);
    const { outer, inner } = await newestJump(site);
    assert.equal(outer['target'], null);
    assert.equal(outer['user'], 'alice');
    assert.equal(inner.length, 1);
    const [row] = inner;
    assert.ok(row);
    assert.equal(row['kind'], 'target');
    assert.equal(row['target'], 'db1');
    assert.equal(row['account'], site.target.user);
    assert.equal(row['user'], 'alice');
    assert.equal(row['source_address'], '127.0.0.1');
    assert.equal(row['key_fingerprint'], outer['key_fingerprint']);
    const [channel] = outer['channels'] as Row[];
    assert.equal(channel?.['kind'], 'jump');
    assert.equal(channel['result'], `jump to db1, connection ${String(row['id'])}`);
    assert.ok(Number(channel['bytes_in']) > 1000 && Number(channel['bytes_out']) > 1000);

    for (const id of [outer['id'], row['id']]) {
      for (const report of await verdictsOn(site.gate.dir, String(id))) {
        assert.equal(report.state, 'complete', report.reason);
      }
    }
    // The command is in the inner trail; of the outer channel there is no data, only its sizes.
    const storage = storageOf(site.gate.dir);
    const records = await recordsIn(storage.channelPath(String(row['id']), 0));
    assert.ok(records.some(({ payload }) => payload.includes(marker)));
    const carried = await recordsIn(storage.channelPath(String(outer['id']), 0));
    const size = carried.reduce((sum, { payload }) => sum + payload.length, 0);
    assert.ok(size < 2000, `${size} bytes recorded of the outer channel`);
    const shown = await site.gate.text(['trail', 'show', String(row['id'])]);
    assert.match(shown, new RegExp(`^through +${String(outer['id'])}$`, 'm'));
    const gate = await site.gate.text(['trail', 'show', String(outer['id'])]);
    assert.match(gate, /^target +none named: answered by the gate$/m);
    assert.match(gate, /jump to db1, connection/);
  });

  test('what is not a target of this user is refused in the same words, whatever is there', async () => {
    const { gate, key, target } = site;
    const to = gate.endpoint('alice', { key: key.path });
    const told = new Set<string>();
    const asked = [
      'secret:22',
      'nothing:22',
      `127.0.0.1:${gate.sshPort}`,
      '169.254.169.254:80',
      '[::1]:22',
      `[::ffff:127.0.0.1]:${target.port}`,
      'localhost:22',
      `db1:${target.port + 1}`,
      'db1.:22',
    ];
    for (const place of asked) {
      const { stderr, stdout, code } = await ssh(to, undefined, {
        flags: ['-W', place],
        settings: ['LogLevel=INFO'],
      });
      assert.equal(code, 255, place);
      assert.equal(stdout.length, 0, place);
      told.add(
        stderr
          .toString()
          .replace(/"[^"]*"/, '"X"')
          .trim(),
      );
    }
    assert.equal(told.size, 1, [...told].join('\n'));
    assert.match([...told][0] ?? '', /no access to "X" through this gate/);
    const { outer } = await newestJump(site);
    const id = String(outer['id']);
    const refused = await gate.text(['trail', 'show', id]);
    assert.match(refused, /opens a direct-tcpip channel .*\(refused by the gate\)/);
  });

  test('an account that no rule gives is refused with the reason, inside', async (t) => {
    const jump = jumpConfig(t, site);
    const { stderr, code } = await jump.ssh(['-l', 'nobody-here', 'db1', 'true']);
    assert.equal(code, 255);
    assert.match(stderr.toString(), /no access to "nobody-here@db1"/);
    const { inner } = await newestJump(site);
    assert.match(String(inner[0]?.['reason']), /no access to "nobody-here@db1"/);
  });

  test('a key must sign, a certificate is no key, and passwords open nothing', async (t) => {
    const { target, key } = site;
    const to = await tunnel(t, site);
    const own = await makeKey(t);
    const peer = await exchangeRaw(t, to);
    await askService(peer);
    const refused = async (request: Buffer, why: string): Promise<void> => {
      peer.send(request);
      const answer = await peer.next(MSG.userauthFailure);
      assert.deepEqual(decodeFailure(answer), { methods: ['publickey'], partial: false }, why);
    };
    await refused(passwordRequest(target.user, 'anything'), 'a password');
    const forged = keyRequest(peer, target.user, own.path);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    await refused(forged, 'a signature of somebody else');
    const plain = parsePrivateKey(own.privateText);
    const certificate = issueHostCertificate(
      { key: plain.blob, keyId: 'x', principals: ['x'], validAfter: 0, validBefore: 2 ** 40 },
      parsePrivateKey(key.privateText),
    );
    const request = encodePublickeyRequest(
      target.user,
      HOST_CERTIFICATE,
      certificate,
      peer.sessionId,
      (data) => plain.sign(data, 'ssh-ed25519'),
    );
    await refused(request, 'a certificate');
    peer.send(keyRequest(peer, target.user, own.path));
    await peer.next(MSG.userauthSuccess);
    peer.send(openMessage());
    await peer.next(MSG.channelOpenConfirmation);
  });

  test('no more come through at a time than the limit says, and a place is free again', async (t) => {
    const few = await startSite(t, { configure: withSettings({ limits: { jumps: 2 } }) });
    const to = await tunnel(t, few);
    const first = await loginRaw(t, { ...to, user: few.target.user, key: few.key.path });
    // Without a login a place is taken all the same.
    const second = await exchangeRaw(t, to);
    const third = await dialRaw(t, to);
    await eventually('the end of the third', () => third.ended || third.closed);
    second.socket.destroy();
    await eventually('a free place', async () => {
      const peer = await dialRaw(t, to);
      peer.start();
      return peer.ready().then(
        () => true,
        () => false,
      );
    });
    first.send(openMessage());
    await first.next(MSG.channelOpenConfirmation);
  });

  test('what goes through a connection ends with it, with the reason', async (t) => {
    const jump = jumpConfig(t, site);
    const running = jump.start(t, ['db1', 'echo begun; cat']);
    await running.until(
      ({ stdout }) => (stdout.toString().includes('begun') ? true : undefined),
      'the session',
    );
    const rows = await site.gate.connections();
    const outer = rows.find((row) => row['kind'] === 'gate' && row['status'] === 'CONNECTED');
    assert.ok(outer);
    const end = ['terminate', String(outer['id']), '--reason', 'enough'] as const;
    assert.equal((await site.gate.cli(end)).code, 0);
    assert.equal((await running.exited).code, 255);
    const inner = await eventually('the end of the row', async () => {
      const found = (await site.gate.connections()).find((row) => row['parent'] === outer['id']);
      return found?.['status'] === 'CONNECTED' ? undefined : found;
    });
    assert.equal(inner['status'], 'TERMINATED');
    assert.match(String(inner['reason']), /that it came through has ended: .*enough/);
    for (const id of [outer['id'], inner['id']]) {
      for (const report of await verdictsOn(site.gate.dir, String(id))) {
        assert.equal(report.state, 'complete', report.reason);
      }
    }
  });

  test('scp, sftp, rsync and git just work', async (t) => {
    const jump = jumpConfig(t, site);
    const dir = tempDir(t);
    const bytes = randomBytes(300_000);
    const local = join(dir, 'file');
    writeFileSync(local, bytes);
    const far = join(site.target.home, `jump-${randomBytes(6).toString('hex')}`);
    const done = async (command: readonly [string, ...string[]], input = ''): Promise<void> => {
      const { code, stderr } = await jump.run(command, { input });
      assert.equal(code, 0, `${command.join(' ')}: ${stderr.toString()}`);
    };
    await done(['scp', '-F', jump.file, local, `db1:${far}`]);
    await done(['scp', '-F', jump.file, '-O', `db1:${far}`, join(dir, 'scp')]);
    assert.ok(readFileSync(join(dir, 'scp')).equals(bytes));
    await done(['sftp', '-F', jump.file, '-b', '-', 'db1'], `get ${far} ${join(dir, 'sftp')}\n`);
    assert.ok(readFileSync(join(dir, 'sftp')).equals(bytes));
    await done(['rsync', '-e', `ssh -F ${jump.file}`, `db1:${far}`, join(dir, 'rsync')]);
    assert.ok(readFileSync(join(dir, 'rsync')).equals(bytes));
    await done(['git', 'init', '-q', join(dir, 'repo')]);
    const git = [
      'git',
      '-C',
      join(dir, 'repo'),
      '-c',
      'user.name=a',
      '-c',
      'user.email=a@b',
    ] as const;
    await done([...git, 'commit', '-q', '--allow-empty', '-m', 'one']);
    await jump.ssh(['db1', `git init -q --bare ${far}.git`]);
    const way = ['-c', `core.sshCommand=ssh -F ${jump.file}`] as const;
    await done([...git, ...way, 'push', '-q', `ssh://db1${far}.git`, 'HEAD:refs/heads/main']);
    await done([
      'git',
      ...way,
      'clone',
      '-q',
      '-b',
      'main',
      `ssh://db1${far}.git`,
      join(dir, 'clone'),
    ]);
    await jump.ssh(['db1', `rm -rf ${far} ${far}.git`]);
  });
});
