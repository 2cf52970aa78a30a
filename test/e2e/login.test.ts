/**
 * Who gets in, as whom, and what everybody else learns: nothing. Wrong passwords, unknown, disabled and key-only users
 * get the same bytes and cannot be told apart by time; an identity is the key that signed, never the key asked about.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { fingerprint, parseAuthorizedKey } from '../../src/wire/publickey.ts';
import { parsePrivateKey } from '../../src/wire/ssh2.ts';
import {
  encodeInfoResponse,
  encodeKeyboardInteractiveRequest,
  encodePublickeyRequest,
  encodeService,
} from '../../src/wire/userauth.ts';
import { Secret } from '../../src/base/secret.ts';
import { assertAlike } from '../support/alike.ts';
import { startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import type { KeyPair } from '../support/keys.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { askService, exchangeRaw, keyRequest, passwordRequest } from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { rounds, seeded } from '../support/scale.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { withSettings } from '../support/settings.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh } from '../support/ssh-client.ts';
import { median } from '../support/statistics.ts';

const PASSWORD = 'correct horse';

/** A peer that may log in: behind the key exchange and the word for the service. */
async function newcomer(t: Scope, gate: Gate): Promise<RawPeer> {
  const peer = await exchangeRaw(t, { host: '127.0.0.1', port: gate.sshPort });
  await askService(peer);
  return peer;
}

/** The question whether a key would do (RFC 4252 section 7), without a signature. */
function keyQuery(user: string, line: string): Buffer {
  const { type, blob } = parseAuthorizedKey(line);
  const algorithm = type === 'ssh-rsa' ? 'rsa-sha2-256' : type;
  return new Writer()
    .uint8(MSG.userauthRequest)
    .string(user)
    .string('ssh-connection')
    .string('publickey')
    .boolean(false)
    .string(algorithm)
    .string(blob)
    .done();
}

function noneRequest(user: string): Buffer {
  return new Writer()
    .uint8(MSG.userauthRequest)
    .string(user)
    .string('ssh-connection')
    .string('none')
    .done();
}

const answers = [MSG.userauthFailure, MSG.userauthSuccess, MSG.userauthPkOk, MSG.userauthBanner];

/** Everything a stranger can try; what he gets back, as bytes. */
async function transcript(t: Scope, gate: Gate, user: string, key: KeyPair): Promise<string[]> {
  const peer = await newcomer(t, gate);
  const said: string[] = [];
  const ask = async (message: Buffer): Promise<void> => {
    peer.send(message);
    said.push((await peer.next(...answers)).toString('hex'));
  };
  await ask(noneRequest(user));
  await ask(keyQuery(user, key.publicLine));
  await ask(passwordRequest(user, 'wrong'));
  await ask(passwordRequest(user, ''));
  await ask(encodeKeyboardInteractiveRequest(user));
  await ask(encodeInfoResponse([new Secret('wrong')]));
  await ask(keyRequest(peer, user, key.path));
  peer.send(passwordRequest(user, 'wrong once more'));
  said.push(await peer.end());
  peer.destroy();
  return said;
}

suite('login', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let site: Site;
  let bob: KeyPair;
  let second: KeyPair;

  before(async () => {
    bob = await makeKey(scope, 'ecdsa');
    second = await makeKey(scope, 'rsa');
    site = await startSite(scope, {
      password: PASSWORD,
      inventory: (usual, target) => ({
        ...usual,
        users: [
          ...(usual.users ?? []).map((user) => ({
            ...user,
            keys: [...(user as { keys: string[] }).keys, second.publicLine],
          })),
          { name: 'bob', keys: [bob.publicLine], groups: ['testers'] },
          { name: 'gone', password: PASSWORD, keys: [bob.publicLine], disabled: true },
        ],
        targets: [
          ...(usual.targets ?? []),
          {
            name: 'hidden',
            address: '127.0.0.1',
            port: target.port,
            host_keys: target.hostKeyLines,
            accounts: [{ name: target.user, private_key: target.privateKeyText }],
          },
        ],
      }),
      configure: withSettings({
        banner: 'authorised people only\n',
        passwords: { memory_kib: 8192, passes: 1 },
      }),
    });
  });

  test('wrong, unknown, disabled, key-only and impossible users get the same bytes', async (t) => {
    const key = await makeKey(t);
    const { user } = site.target;
    const login = (name: string): string => `${name}@${user}@db1`;
    const said = await transcript(t, site.gate, login('alice'), key);
    assert.match(said.at(-1) ?? '', /too many authentication failures/);
    for (const name of ['nobody', 'gone', 'bob', 'with space', '\u202eecila', 'x'.repeat(300)]) {
      assert.deepEqual(await transcript(t, site.gate, login(name), key), said, name);
    }
    assert.deepEqual(await transcript(t, site.gate, 'alice@@db1', key), said, 'an empty part');
  });

  test('an identity is the key that signed, not the key asked about', async (t) => {
    const { gate, key, as, target } = site;
    const login = `alice@${target.user}@db1`;
    const peer = await newcomer(t, gate);
    peer.send(keyQuery(login, key.publicLine));
    assert.equal((await peer.next(...answers))[0], MSG.userauthBanner);
    assert.equal((await peer.next(...answers))[0], MSG.userauthPkOk);
    peer.send(keyRequest(peer, login, second.path));
    assert.equal((await peer.next(...answers))[0], MSG.userauthSuccess);
    peer.destroy();
    const rows = await gate.connections();
    const used = fingerprint(parseAuthorizedKey(second.publicLine).blob);
    assert.equal(rows[0]?.['key_fingerprint'], used);

    // Asked about alice's key, signed with that of somebody else: of no use to either name.
    const other = await newcomer(t, gate);
    other.send(keyQuery(login, key.publicLine));
    await other.next(MSG.userauthPkOk);
    other.send(keyRequest(other, login, bob.path));
    assert.equal((await other.next(...answers))[0], MSG.userauthFailure);
    other.destroy();
    assert.equal((await ssh(as(`bob@${target.user}@db1`), 'true')).code, 255, "alice's key, bob");
  });

  test('a signature that is not of this connection or of another key is refused', async (t) => {
    const { gate, key, target } = site;
    const login = `alice@${target.user}@db1`;
    const mine = parsePrivateKey(readFileSync(key.path, 'utf8'));
    const stranger = parsePrivateKey(readFileSync((await makeKey(t)).path, 'utf8'));
    const peer = await newcomer(t, gate);
    const forged = [
      encodePublickeyRequest(login, 'ssh-ed25519', mine.blob, Buffer.alloc(32), (data) =>
        mine.sign(data, 'ssh-ed25519'),
      ),
      encodePublickeyRequest(login, 'ssh-ed25519', mine.blob, peer.sessionId, (data) =>
        stranger.sign(data, 'ssh-ed25519'),
      ),
      encodePublickeyRequest(login, 'ssh-ed25519', mine.blob, peer.sessionId, () =>
        Buffer.from('000000', 'hex'),
      ),
    ];
    for (const request of forged) {
      peer.send(request);
      assert.equal((await peer.next(...answers.slice(0, 3)))[0], MSG.userauthFailure);
    }
    peer.destroy();
  });

  test('a client may ask for the login service again before each attempt, as paramiko does', async (t) => {
    const { gate, key, target } = site;
    const login = `alice@${target.user}@db1`;
    const peer = await newcomer(t, gate);
    peer.send(passwordRequest(login, 'wrong'));
    await peer.next(MSG.userauthFailure);
    await askService(peer);
    peer.send(keyRequest(peer, login, bob.path));
    await peer.next(MSG.userauthFailure);
    await askService(peer);
    peer.send(keyRequest(peer, login, key.path));
    await peer.next(MSG.userauthSuccess);
    peer.destroy();
    const idle = await newcomer(t, gate);
    idle.send(encodeService(MSG.serviceRequest, 'ssh-userauth'));
    assert.match(await idle.end(), /service "ssh-userauth" cannot be had here/, 'without attempts');
  });

  test('max_tries counts, and the banner comes before everything', async (t) => {
    const peer = await newcomer(t, site.gate);
    for (let i = 0; i < 6; i++) peer.send(passwordRequest('alice', `wrong ${i}`));
    assert.match(await peer.end(), /too many authentication failures/);
    const types = peer.received.map((payload) => payload[0]);
    assert.equal(types.filter((type) => type === MSG.userauthFailure).length, 5);
    assert.equal(types.indexOf(MSG.userauthBanner), types.indexOf(MSG.userauthFailure) - 1);
    const shown = await ssh(site.to, 'true', { settings: ['LogLevel=INFO'] });
    assert.match(shown.stderr.toString(), /^authorised people only$/m);
  });

  test('every form of the login name leads to the same place', async () => {
    const { target, as, gate } = site;
    const forms = ['@', '%', ':'].flatMap((separator) => [
      ['alice', target.user, 'db1'].join(separator),
      ['alice', 'db1'].join(separator),
    ]);
    for (const form of forms) {
      const outcome = await ssh(as(form), 'echo here');
      assert.equal(outcome.stdout.toString(), 'here\n', `${form}: ${outcome.stderr.toString()}`);
      const [row] = await gate.connections();
      assert.deepEqual(
        [row?.['login_name'], row?.['user'], row?.['account'], row?.['target']],
        [form, 'alice', target.user, 'db1'],
      );
    }
  });

  test('a refused destination is one line, the same whatever was wrong; the record knows', async () => {
    const { as, gate, target } = site;
    const cases = [
      { account: target.user, name: 'nowhere', detail: /unknown target "nowhere"/ },
      { account: 'nobody', name: 'db1', detail: /unknown account "nobody" on target "db1"/ },
      { account: target.user, name: 'hidden', detail: /no rule for groups testers on target/ },
    ];
    const lines = new Set<string>();
    for (const { account, name, detail } of cases) {
      const { stderr, code } = await ssh(as(`alice@${account}@${name}`), 'true');
      assert.equal(code, 255);
      const text = stderr.toString().trim();
      assert.equal(text.split('\n').length, 1, text);
      lines.add(text.replace(`${account}@${name}`, 'WISH').replace(/port \d+/, 'port'));
      const [row] = await gate.connections();
      assert.equal(row?.['status'], 'DISCONNECTED');
      const story = await gate.text([
        'trail',
        'export',
        String(row['id']),
        'connection',
        '--format',
        'jsonl',
      ]);
      assert.match(
        Buffer.from(story).toString().replaceAll('\\"', '"').replaceAll('\\', ''),
        detail,
      );
      const logged = gate
        .log()
        .split('\n')
        .filter((line) => line.includes(String(row['id'])) && line.includes('destination-refused'));
      assert.equal(logged.length, 1);
      assert.match((JSON.parse(logged[0] ?? '') as { detail: string }).detail, detail);
    }
    assert.equal(lines.size, 1, [...lines].join('\n'));
    assert.match([...lines][0] ?? '', /no access to "WISH"/);
  });

  test('time does not tell what was wrong either', { timeout: 1_200_000 }, async (t) => {
    const each = rounds(100, 16);
    const tries = 3;
    const random = seeded('login times');
    // 8 MiB and one pass: the comparison is about what is done, not about how long it takes.
    const kinds = ['password', 'unknown', 'disabled', 'key-only'] as const;
    const name = (kind: string, at: number): string => `${kind}-${at}`;
    const every = Array.from({ length: each }, (_, at) => at);
    const gate = await startGate(t, {
      configure: withSettings({ passwords: { memory_kib: 8192, passes: 1 } }),
      inventory: {
        users: [
          ...every.map((at) => ({ name: name('password', at), password: PASSWORD })),
          ...every.map((at) => ({
            name: name('disabled', at),
            password: PASSWORD,
            disabled: true,
          })),
          ...every.map((at) => ({ name: name('key-only', at), keys: [bob.publicLine] })),
        ],
      },
    });
    const queue = kinds.flatMap((kind) => every.map((at) => ({ kind, user: name(kind, at) })));
    const times = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
    while (queue.length > 0) {
      const [next] = queue.splice(random.int(0, queue.length - 1), 1);
      if (!next) break;
      const peer = await newcomer(t, gate);
      const own: number[] = [];
      for (let i = 0; i < tries; i++) {
        const start = performance.now();
        peer.send(passwordRequest(next.user, 'wrong'));
        await peer.next(MSG.userauthFailure);
        own.push(performance.now() - start);
      }
      peer.destroy();
      // Each name has a delay of its own, so a name is one value, and many names make a kind.
      times.get(next.kind)?.push(median(own));
    }
    assertAlike(times, 'times of logins');
  });
});
