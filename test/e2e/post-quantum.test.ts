/**
 * mlkem768x25519-sha256 on both legs, against a peer written from the draft that shares no code with the gate: keys,
 * renewals, guesses, and shares that are not as they should be. What was agreed on stands in the row and the trail.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { MSG } from '../../src/wire/messages.ts';
import { DraftPeer } from '../support/draft-peer.ts';
import type { DraftOptions } from '../support/draft-peer.ts';
import { eventually } from '../support/eventually.ts';
import { inventoryOf, startGate, targetOf } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import {
  adjustMessage,
  exchangeRaw,
  execMessage,
  keyRequest,
  openMessage,
} from '../support/raw-client.ts';
import { defer, ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { encodeService } from '../../src/wire/userauth.ts';
import { configure } from './hostile-place.ts';

const HYBRID = 'mlkem768x25519-sha256';
const CLASSIC = 'curve25519-sha256';
const ZERO = Buffer.alloc(32);

/** What a share is made into, and what is said to it. */
const SPOILT: readonly [string, (share: Buffer) => Buffer, RegExp][] = [
  ['empty', () => Buffer.alloc(0), /key share has 0 bytes/],
  ['a byte short', (share) => share.subarray(1), /key share has 1[12]\d\d bytes, not/],
  ['a byte long', (share) => Buffer.concat([share, ZERO.subarray(0, 1)]), /bytes, not/],
  ['of curve25519 alone', (share) => share.subarray(-32), /key share has 32 bytes/],
  ['large', () => Buffer.alloc(30_000, 7), /key share has 30000 bytes/],
  ['of small order', (share) => Buffer.concat([share.subarray(0, -32), ZERO]), /X25519 key is not/],
];

async function dialDraft(
  scope: Scope,
  to: Pick<Endpoint, 'host' | 'port'>,
  options: Partial<DraftOptions> = {},
): Promise<DraftPeer> {
  const socket = connect({ host: to.host, port: to.port });
  defer(scope, () => void socket.destroy());
  await once(socket, 'connect');
  return new DraftPeer(socket, { role: 'client', ...options });
}

/** Logs in, runs a command and returns what it printed; messages of any other kind are passed over. */
async function runDraft(peer: DraftPeer, to: Endpoint, command: string): Promise<Buffer> {
  const until = async (type: number): Promise<Buffer> => {
    for (;;) {
      const payload = await peer.next();
      if (payload[0] === type) return payload;
    }
  };
  peer.send(encodeService(MSG.serviceRequest, 'ssh-userauth'));
  await until(MSG.serviceAccept);
  const sessionId = peer.sessionId ?? Buffer.alloc(0);
  peer.send(keyRequest({ sessionId }, to.user, to.key ?? ''));
  await until(MSG.userauthSuccess);
  peer.send(openMessage({ window: 2 ** 20 }));
  const channel = (await until(MSG.channelOpenConfirmation)).readUInt32BE(5);
  peer.send(execMessage(channel, command));
  const output: Buffer[] = [];
  for (;;) {
    const payload = await peer.next();
    if (payload[0] === MSG.channelClose) return Buffer.concat(output);
    if (payload[0] !== MSG.channelData) continue;
    const data = payload.subarray(9);
    output.push(data);
    peer.send(adjustMessage(channel, data.length));
  }
}

function legOf(row: Record<string, unknown> | undefined, leg: 'downstream' | 'upstream'): unknown {
  return (row?.['algorithms'] as Record<string, unknown> | undefined)?.[leg];
}

suite('post-quantum downstream', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  let site: Site;
  before(async () => {
    site = await startSite(scope, {
      configure: (dir) => configure(dir, { log: { level: 'warn' }, rekey: { bytes: 2 ** 20 } }),
    });
  });
  after(() => scope.end());

  test('is preferred, and what was agreed on is told', async (t) => {
    const { gate, to, target } = site;
    const peer = await (await dialDraft(t, to)).start();
    assert.equal(peer.preferred, HYBRID);
    assert.equal((await runDraft(peer, to, 'echo quantum')).toString(), 'quantum\n');
    peer.socket.destroy();
    const row = await eventually('the row', async () => {
      const [newest] = await gate.connections();
      return newest?.['status'] === 'DISCONNECTED' ? newest : undefined;
    });
    const gcm = { cipher: 'aes128-gcm@openssh.com', mac: '' };
    const both = { host_key: 'ssh-ed25519', client_to_server: gcm, server_to_client: gcm };
    assert.deepEqual(legOf(row, 'downstream'), { kex: HYBRID, ...both });
    // OpenSSH 9.2 does not have it.
    assert.deepEqual(legOf(row, 'upstream'), { kex: CLASSIC, ...both });
    const shown = await gate.text(['trail', 'show', 'newest']);
    assert.match(
      shown,
      /^downstream {2}mlkem768x25519-sha256, ssh-ed25519, aes128-gcm@openssh.com$/m,
    );
    assert.match(shown, /^upstream {4}curve25519-sha256, ssh-ed25519, aes128-gcm@openssh.com$/m);
    assert.equal(row['account'], target.user);
  });

  test('each direction is told where the two differ', async () => {
    const { gate, to } = site;
    const settings = ['Ciphers=aes256-ctr', 'MACs=hmac-sha2-512-etm@openssh.com'];
    assert.equal((await ssh(to, 'true', { settings })).code, 0);
    const [row] = await gate.connections();
    const ctr = { cipher: 'aes256-ctr', mac: 'hmac-sha2-512-etm@openssh.com' };
    const leg = legOf(row, 'downstream') as Record<string, unknown>;
    assert.deepEqual([leg['client_to_server'], leg['server_to_client']], [ctr, ctr]);
    const shown = await gate.text(['trail', 'show', 'newest']);
    assert.match(shown, /, aes256-ctr hmac-sha2-512-etm@openssh.com$/m);
  });

  test('keys are renewed with it, by either side', async (t) => {
    const { to } = site;
    const peer = await (await dialDraft(t, to)).start();
    const output = await runDraft(peer, to, 'head -c 8388608 /dev/zero');
    assert.equal(output.length, 2 ** 23);
    assert.ok(peer.exchanges > 3, `${peer.exchanges} exchanges for 8 MiB`);
    const before = peer.exchanges;
    for (let i = 0; i < 3; i++) await peer.rekey();
    assert.ok(peer.exchanges >= before + 3);
    peer.send(openMessage({ sender: 1 }));
    let answer = await peer.next();
    while (answer[0] !== MSG.channelOpenConfirmation) answer = await peer.next();
  });

  test('a guess counts where it is right and is skipped where it is not', async (t) => {
    const { to } = site;
    const right = await (await dialDraft(t, to, { guesses: true })).start();
    assert.equal((await runDraft(right, to, 'echo right')).toString(), 'right\n');
    const kex = ['ecdh-sha2-nistp256', HYBRID];
    const wrong = await (await dialDraft(t, to, { guesses: true, kex })).start();
    assert.equal((await runDraft(wrong, to, 'echo wrong')).toString(), 'wrong\n');
  });

  test('the client chooses', async (t) => {
    const { to } = site;
    const late = await (await dialDraft(t, to, { kex: ['unknown', HYBRID, CLASSIC] })).start();
    assert.equal(late.exchanges, 1);
    // Stock ssh2 does curve25519 alone, so this would fail if the hybrid were chosen.
    await exchangeRaw(t, to, { algorithms: { kex: [CLASSIC, HYBRID] } });
  });

  test('a gate that is told so speaks nothing else', async (t) => {
    const only = await startSite(t, {
      configure: (dir) => configure(dir, { algorithms: { kex: [HYBRID] } }),
    });
    const peer = await (await dialDraft(t, only.to)).start();
    assert.equal((await runDraft(peer, only.to, 'echo only')).toString(), 'only\n');
    const old = await ssh(only.to, 'true');
    assert.equal(old.code, 255, 'OpenSSH 9.2 does not have it');
  });

  test('a share that is none ends the connection with the reason, and nothing else', async (t) => {
    const { gate, to } = site;
    const before = await gate.connections();
    for (const [name, spoil, words] of SPOILT) {
      const peer = await dialDraft(t, to, { spoil });
      await assert.rejects(peer.start(), words, name);
    }
    const above = (share: Buffer): Buffer =>
      Buffer.concat([Buffer.alloc(1184, 0xff), share.subarray(1184)]);
    const peer = await dialDraft(t, to, { spoil: above });
    await assert.rejects(peer.start(), /ML-KEM key is not usable/);
    // A share that could be anybody's gives other keys: the first packet under them cannot be read.
    const other = await dialDraft(t, to, { spoil: (share) => flip(share, 1200) });
    await assert.rejects(other.start(), /wrong signature/);
    assert.deepEqual(await gate.connections(), before);
    const good = await (await dialDraft(t, to)).start();
    assert.equal((await runDraft(good, to, 'echo alive')).toString(), 'alive\n');
  });

  test('a bad share at a renewal ends that connection alone', async (t) => {
    const { gate, to } = site;
    let spoils = false;
    const spoil = (share: Buffer): Buffer => (spoils ? share.subarray(0, 1000) : share);
    const peer = await (await dialDraft(t, to, { spoil })).start();
    await runDraft(peer, to, 'true');
    spoils = true;
    await assert.rejects(peer.rekey(), /key share has 1000 bytes/);
    assert.equal((await ssh(to, 'true')).code, 0);
    const rows = (await gate.connections()).slice(0, 2);
    assert.match(String(rows.map(({ reason }) => reason)), /key share has 1000 bytes/);
  });
});

/** A copy with one bit changed. */
function flip(share: Buffer, at: number): Buffer {
  const copy = Buffer.from(share);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

interface DraftTarget {
  readonly gate: Gate;
  readonly to: Endpoint;
  /** How the target's shares leave. */
  spoil: (share: Buffer) => Buffer;
  /** How many users it has let in. */
  served: number;
}

/** A gate before a target of the draft's, which lets everybody in and answers a command with its text. */
async function draftTarget(scope: Scope): Promise<DraftTarget> {
  let hostKeyLine = '';
  const server = createServer((socket) => {
    const peer = new DraftPeer(socket, {
      role: 'server',
      spoil: (share) => place.spoil(share),
      hostKey,
    });
    serve(peer, place).catch(() => socket.destroy());
  });
  const hostKey = DraftPeer.makeHostKey();
  hostKeyLine = hostKey.line;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  defer(scope, () => void server.close());
  const key = await makeKey(scope);
  const real = await startOpenSsh(scope);
  const usual = inventoryOf({ name: 'alice', key }, [{ name: 'draft', target: real }]);
  const target = { ...targetOf('draft', real, port), host_keys: [hostKeyLine] };
  const gate = await startGate(scope, { inventory: { ...usual, targets: [target] } });
  const to = gate.endpoint(`alice@${real.user}@draft`, { key: key.path });
  const place: DraftTarget = { gate, to, spoil: (share) => share, served: 0 };
  return place;
}

async function serve(peer: DraftPeer, place: DraftTarget): Promise<void> {
  await peer.start();
  for (;;) {
    const payload = await peer.next();
    if (payload[0] === MSG.serviceRequest) {
      peer.send(encodeService(MSG.serviceAccept, 'ssh-userauth'));
    } else if (payload[0] === MSG.userauthRequest) {
      place.served++;
      peer.send(Buffer.of(MSG.userauthSuccess));
      await peer.rekey();
    }
  }
}

suite('post-quantum upstream', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  let place: DraftTarget;
  before(async () => {
    place = await draftTarget(scope);
  });
  after(() => scope.end());

  test('is preferred, renewed with, and told', async () => {
    const running = ssh(place.to, 'true', { timeoutMs: 60_000 });
    const row = await eventually('the upstream leg in the row', async () => {
      const [first] = await place.gate.connections();
      return legOf(first, 'upstream') ? first : undefined;
    });
    assert.deepEqual((legOf(row, 'upstream') as Record<string, unknown>)['kex'], HYBRID);
    assert.deepEqual((legOf(row, 'downstream') as Record<string, unknown>)['kex'], CLASSIC);
    assert.equal((await place.gate.cli(['terminate', 'newest'])).code, 0);
    await running;
    assert.equal(place.served, 1);
  });

  test("a target's share that is none fails the connection with the reason", async (t) => {
    const before = place.served;
    // Tests come in any order: the next one wants a target that is as it should be.
    t.after(() => {
      place.spoil = (share) => share;
    });
    for (const [name, spoil, words] of SPOILT) {
      place.spoil = spoil;
      const { code, stderr } = await ssh(place.to, 'true');
      assert.equal(code, 255, name);
      assert.match(stderr.toString(), words, name);
    }
    assert.equal(place.served, before);
  });
});
