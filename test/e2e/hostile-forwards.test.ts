/**
 * P8 against peers that lie about forwards (THREATS B7, B8, B10, B11, R71): a target opens nothing that was not asked for
 * and agreed to; SSH inside a forward does not arrive, however it is cut; what a fake target receives is a tap on all.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { eventually } from '../support/eventually.ts';
import { inventoryOf, startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { startOpenSsh } from '../support/openssh.ts';
import {
  channelMessage,
  confirmMessage,
  dataMessage,
  globalMessage,
  loginRaw,
  openMessage,
  requestMessage,
} from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { startRawTarget } from '../support/raw-target.ts';
import type { RawTarget } from '../support/raw-target.ts';
import { rounds } from '../support/scale.ts';
import { defer, ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { ALL, channelsOf } from './forward-place.ts';

const tcp = (host: string, port: number): Buffer => new Writer().string(host).uint32(port).done();
const address = (host: string, port: number): Buffer =>
  Buffer.concat([tcp(host, port), tcp('127.0.0.1', 9)]);
const path = (text: string): Buffer => new Writer().string(text).string('').done();
const x11 = (single: boolean): Buffer => {
  return new Writer().boolean(single).string('MIT-MAGIC-COOKIE-1').string('00').uint32(0).done();
};
const IDENT = 'SSH-2.0-nested\r\n';

/** The type of an open that was let through. */
const typeOf = (open: Buffer): string => open.toString('latin1', 5, 5 + open.readUInt32BE(1));
/** The number that the other side gave the channel, in an open. */
const numberIn = (open: Buffer): number => open.readUInt32BE(5 + open.readUInt32BE(1));

suite('hostile forwards', () => {
  const scope = new ManualScope();
  let gate: Gate;
  let raw: RawTarget;
  let login: (of: Scope, user: string) => Promise<{ user: RawPeer; target: RawPeer }>;

  before(async () => {
    const [real, fake, key] = await Promise.all([
      startOpenSsh(scope),
      startRawTarget(scope),
      makeKey(scope),
    ]);
    raw = fake;
    const usual = inventoryOf({ name: 'alice', key }, [{ name: 'db1', target: real }], ALL);
    const entry = (name: string) => ({
      name,
      address: '127.0.0.1',
      port: raw.port,
      host_keys: [raw.hostKey.line],
      accounts: [{ name: 'root', password: 'whatever' }],
    });
    const rule = (name: string, channels: readonly string[], more: object = {}) => ({
      name,
      groups: ['testers'],
      targets: [name],
      accounts: ['root'],
      channels,
      ...more,
    });
    gate = await startGate(scope, {
      inventory: {
        ...usual,
        targets: ['open', 'nested', 'some', 'none'].map(entry),
        rules: [
          rule('open', ALL),
          rule('nested', [...ALL, 'nested-ssh']),
          rule('some', ALL, { forward_to: ['10.0.0.0/8:5432', 'localhost:*', 'unix:/run/x.sock'] }),
          rule('none', ['shell', 'exec']),
        ],
      },
    });
    login = async (of, name) => {
      const user = await loginRaw(of, gate.endpoint(`alice@${name}`, { key: key.path }));
      const target = await raw.next();
      defer(of, () => target.destroy());
      return { user, target };
    };
  });
  after(() => scope.end());

  /** The user opens a channel and the target takes it: the numbers by which each sends. */
  async function opened(
    from: RawPeer,
    to: RawPeer,
    type: string,
    data: Buffer,
  ): Promise<{ out: number; back: number }> {
    from.send(openMessage({ type, data, sender: 7 }));
    const open = await to.next(MSG.channelOpen);
    assert.equal(typeOf(open), type);
    to.send(confirmMessage(numberIn(open), { sender: 8 }));
    const confirmed = await from.next(MSG.channelOpenConfirmation);
    return { out: confirmed.readUInt32BE(5), back: numberIn(open) };
  }

  async function refused(from: RawPeer, type: string, data: Buffer): Promise<string> {
    from.send(openMessage({ type, data, sender: 9 }));
    const answer = await from.next(MSG.channelOpenFailure, MSG.channelOpen);
    assert.equal(answer[0], MSG.channelOpenFailure, type);
    return answer.toString('latin1', 13);
  }

  test('a target opens nothing unasked, and not what was asked for and not agreed to', async (t) => {
    const { user, target } = await login(t, 'open');
    const kinds: [string, Buffer][] = [
      ['session', Buffer.alloc(0)],
      ['direct-tcpip', address('127.0.0.1', 22)],
      ['forwarded-tcpip', address('localhost', 8080)],
      ['forwarded-streamlocal@openssh.com', path('/tmp/x')],
      ['x11', tcp('127.0.0.1', 6000)],
      ['auth-agent@openssh.com', Buffer.alloc(0)],
      ['auth-agent', Buffer.alloc(0)],
      ['tun@openssh.com', new Writer().uint32(1).uint32(0).done()],
      ['unheard-of@example.com', Buffer.alloc(0)],
    ];
    for (const [type, data] of kinds)
      assert.match(await refused(target, type, data), /may not open/);
    // Asked for, but the target says no.
    user.send(globalMessage('tcpip-forward', true, tcp('localhost', 8080)));
    await target.next(MSG.globalRequest);
    assert.match(await refused(target, 'forwarded-tcpip', address('localhost', 8080)), /may not/);
    target.send(Buffer.from([MSG.requestFailure]));
    await user.next(MSG.requestFailure);
    assert.match(await refused(target, 'forwarded-tcpip', address('localhost', 8080)), /may not/);
    const { out } = await opened(user, target, 'session', Buffer.alloc(0));
    user.send(requestMessage(out, 'x11-req', true, x11(false)));
    user.send(requestMessage(out, 'auth-agent-req@openssh.com', true));
    await target.next(MSG.channelRequest);
    await target.next(MSG.channelRequest);
    target.send(channelMessage(MSG.channelFailure, 7));
    assert.equal(user.received.filter(([type]) => type === MSG.channelOpen).length, 0);
    assert.match(
      await gate.text(['trail', 'show', 'newest']),
      /auth-agent@openssh.com channel \(refused/,
    );
  });

  test('what was agreed to may be opened: exactly that, and no longer than it lasts', async (t) => {
    const { user, target } = await login(t, 'open');
    user.send(globalMessage('tcpip-forward', true, tcp('localhost', 0)));
    await target.next(MSG.globalRequest);
    target.send(new Writer().uint8(MSG.requestSuccess).uint32(4567).done());
    await user.next(MSG.requestSuccess);
    await opened(target, user, 'forwarded-tcpip', address('localhost', 4567));
    for (const wrong of [address('localhost', 0), address('127.0.0.1', 4567), address('', 4567)]) {
      await refused(target, 'forwarded-tcpip', wrong);
    }
    user.send(globalMessage('cancel-tcpip-forward', true, tcp('localhost', 4567)));
    await target.next(MSG.globalRequest);
    // Still allowed: it has not said yes.
    await opened(target, user, 'forwarded-tcpip', address('localhost', 4567));
    target.send(Buffer.from([MSG.requestSuccess]));
    await user.next(MSG.requestSuccess);
    await refused(target, 'forwarded-tcpip', address('localhost', 4567));
    user.send(globalMessage('cancel-tcpip-forward', true, tcp('localhost', 4567)));
    await user.next(MSG.requestFailure);
  });

  test('X11 for one connection is for one, and ends with its session', async (t) => {
    const { user, target } = await login(t, 'open');
    const { out, back } = await opened(user, target, 'session', Buffer.alloc(0));
    user.send(requestMessage(out, 'x11-req', true, x11(true)));
    await target.next(MSG.channelRequest);
    target.send(channelMessage(MSG.channelSuccess, back));
    await user.next(MSG.channelSuccess);
    await opened(target, user, 'x11', tcp('127.0.0.1', 6010));
    await refused(target, 'x11', tcp('127.0.0.1', 6010));
    user.send(requestMessage(out, 'x11-req', false, x11(false)));
    await target.next(MSG.channelRequest);
    await opened(target, user, 'x11', tcp('127.0.0.1', 6010));
    user.send(channelMessage(MSG.channelClose, out));
    await target.next(MSG.channelClose);
    target.send(channelMessage(MSG.channelClose, back));
    await user.next(MSG.channelClose);
    await refused(target, 'x11', tcp('127.0.0.1', 6010));
  });

  test('SSH inside a forward does not arrive, whichever side begins and however it is cut', async (t) => {
    const { user, target } = await login(t, 'open');
    const cuts: readonly (readonly string[])[] = [
      [IDENT],
      IDENT.match(/[^]/g) ?? [],
      ['SS', `H-${IDENT.slice(4)}`],
      ['', 'S', '', IDENT.slice(1)],
    ];
    let ordinal = 0;
    for (const fromUser of [true, false]) {
      for (const cut of cuts) {
        const { out, back } = await opened(user, target, 'direct-tcpip', address('db', 22));
        const [from, to] = fromUser ? [user, target] : [target, user];
        const before = to.received.length;
        for (const piece of cut) from.send(dataMessage(fromUser ? out : back, piece));
        await to.next(MSG.channelClose);
        const data = to.received.slice(before).filter(([type]) => type === MSG.channelData);
        assert.equal(Buffer.concat(data.map((one) => one.subarray(9))).length, 0, String(cut));
        await from.next(MSG.channelClose);
        user.send(channelMessage(MSG.channelClose, out));
        target.send(channelMessage(MSG.channelClose, back));
        const id = ordinal++;
        const channels = await channelsOf(gate, (all) => typeof all[id]?.result === 'string');
        assert.equal(channels[id]?.protocol, 'ssh');
        assert.match(String(channels[id].result), /refused: SSH inside a forward/);
      }
    }
    const stdin = await gate.text(['trail', 'export', '--format', 'raw-stdin', 'newest', '1']);
    assert.equal(stdin, '', 'nothing has passed');
    const shown = await gate.text(['trail', 'show', 'newest', '1']);
    assert.equal(shown.match(/stdin +\(withheld\)/g)?.length, 4, shown);
    assert.match(shown, /policy: from user, carries ssh, refused SSH inside a forward/);
    // An ident behind the answer of a server that speaks first is one all the same.
    const { out, back } = await opened(user, target, 'direct-tcpip', address('db', 22));
    target.send(dataMessage(back, 'hello, this is\r\n'));
    await user.next(MSG.channelData);
    user.send(dataMessage(out, IDENT));
    await target.next(MSG.channelClose);
  });

  test('what only begins like an ident arrives, in order, and so does an S that waits', async (t) => {
    const { user, target } = await login(t, 'open');
    const first = await opened(user, target, 'direct-tcpip', address('db', 5432));
    for (const piece of ['S', 'S', 'L please']) user.send(dataMessage(first.out, piece));
    let got = '';
    while (got.length < 10) got += (await target.next(MSG.channelData)).toString('latin1', 9);
    assert.equal(got, 'SSL please');
    // PostgreSQL: 8 bytes ask for TLS, one S says yes.
    const second = await opened(user, target, 'direct-tcpip', address('db', 5432));
    user.send(dataMessage(second.out, Buffer.from('0000000804d2162f', 'hex')));
    await target.next(MSG.channelData);
    target.send(dataMessage(second.back, 'S'));
    assert.equal((await user.next(MSG.channelData)).toString('latin1', 9), 'S');
    // One that waits for an answer gets out by itself, and the rest of an ident does not.
    const third = await opened(user, target, 'direct-tcpip', address('db', 1));
    user.send(dataMessage(third.out, 'S'));
    assert.equal((await target.next(MSG.channelData)).toString('latin1', 9), 'S');
    user.send(dataMessage(third.out, 'SH-2.0-x\r\n'));
    await target.next(MSG.channelClose);
    // The end of data does not overtake what was held back.
    const fourth = await opened(user, target, 'direct-tcpip', address('db', 1));
    user.send(dataMessage(fourth.out, 'SSH'));
    user.send(channelMessage(MSG.channelEof, fourth.out));
    const data = await target.next(MSG.channelData, MSG.channelEof);
    assert.equal(data.toString('latin1', 9), 'SSH');
    await target.next(MSG.channelEof);
    const channels = await channelsOf(gate, (all) => all[1]?.protocol === 'postgres');
    assert.equal(channels[0]?.protocol, 'other');
  });

  test('with nested-ssh it passes at once, and the trail says what it was', async (t) => {
    const { user, target } = await login(t, 'nested');
    const { out } = await opened(user, target, 'direct-tcpip', address('db', 22));
    user.send(dataMessage(out, 'S'));
    assert.equal((await target.next(MSG.channelData)).toString('latin1', 9), 'S');
    user.send(dataMessage(out, IDENT.slice(1)));
    assert.equal((await target.next(MSG.channelData)).toString('latin1', 9), IDENT.slice(1));
    const channels = await channelsOf(gate, (all) => all[0]?.protocol === 'ssh');
    assert.equal(channels[0]?.kind, 'local-forward');
    assert.match(await gate.text(['trail', 'show', 'newest', '0']), /carries ssh/);
  });

  test('forward_to is judged by what the target will see; ports beyond 65,535 end the connection', async (t) => {
    const { user, target } = await login(t, 'some');
    for (const [host, port] of [
      ['10.1.2.3', 5432],
      ['::ffff:10.1.2.3', 5432],
      ['LOCALHOST', 22],
    ] as const) {
      await opened(user, target, 'direct-tcpip', address(host, port));
    }
    for (const [host, port] of [
      ['127.0.0.1', 5432],
      ['169.254.169.254', 80],
      ['::ffff:127.0.0.1', 5432],
      ['10.1.2.3', 5433],
      ['10.1', 5432],
      ['0xa.1.2.3', 5432],
      ['db', 5432],
      ['', 5432],
    ] as const) {
      const why = await refused(user, 'direct-tcpip', address(host, port));
      assert.match(why, /no rule allows local-forward to /, host);
    }
    const socket = (text: string): Buffer => new Writer().string(text).string('').uint32(0).done();
    await opened(user, target, 'direct-streamlocal@openssh.com', socket('/run/x.sock'));
    await refused(user, 'direct-streamlocal@openssh.com', socket('/run/docker.sock'));
    user.send(
      globalMessage('streamlocal-forward@openssh.com', true, new Writer().string('/tmp/y').done()),
    );
    await user.next(MSG.requestFailure);
    assert.equal(target.received.filter(([type]) => type === MSG.globalRequest).length, 0);
    user.send(openMessage({ type: 'direct-tcpip', data: address('10.1.2.3', 65_536 + 5432) }));
    await eventually('the end', () => user.closed);
    const nul = await login(t, 'some');
    nul.user.send(openMessage({ type: 'direct-tcpip', data: address('10.1.2.3\0.db', 5432) }));
    await eventually('the end', () => nul.user.closed);
  });

  test('nothing of a forward that no rule names reaches the target', async (t) => {
    const { user, target } = await login(t, 'none');
    const { out } = await opened(user, target, 'session', Buffer.alloc(0));
    for (const [type, data] of [
      ['tcpip-forward', tcp('localhost', 0)],
      ['streamlocal-forward@openssh.com', new Writer().string('/tmp/x').done()],
      ['cancel-tcpip-forward', tcp('localhost', 8080)],
    ] as const) {
      user.send(globalMessage(type, true, data));
      await user.next(MSG.requestFailure);
    }
    for (const [type, data] of [
      ['x11-req', x11(false)],
      ['auth-agent-req@openssh.com', Buffer.alloc(0)],
      ['auth-agent-req', Buffer.alloc(0)],
    ] as const) {
      user.send(requestMessage(out, type, true, data));
      await user.next(MSG.channelFailure);
    }
    for (const [type, data] of [
      ['direct-tcpip', address('localhost', 22)],
      ['direct-streamlocal@openssh.com', new Writer().string('/x').string('').uint32(0).done()],
      ['tun@openssh.com', new Writer().uint32(1).uint32(0x7fffffff).done()],
      ['forwarded-tcpip', address('localhost', 22)],
      ['x11', tcp('localhost', 1)],
    ] as const) {
      await refused(user, type, data);
    }
    user.send(channelMessage(MSG.channelEof, out));
    await target.next(MSG.channelEof);
    // The target got the session's open and its end of data, and nothing else.
    const types = target.received.map(([type]) => type);
    assert.deepEqual(types, [MSG.channelOpen, MSG.channelEof]);
  });

  test('forwards asked for and cancelled all at once leave nothing behind', async (t) => {
    const { user, target } = await login(t, 'open');
    let listening = 0;
    const answer = (async () => {
      for (;;) {
        const request = await target.next(MSG.globalRequest);
        const name = typeOf(request);
        if (name === 'done@example.com') return;
        listening += name === 'tcpip-forward' ? 1 : -1;
        target.send(Buffer.from([MSG.requestSuccess]));
      }
    })();
    const all = rounds(1000, 100);
    for (let round = 0; round < all; round += 50) {
      for (let i = 0; i < 50; i++) {
        user.send(globalMessage('tcpip-forward', true, tcp('localhost', 2000 + i)));
        user.send(globalMessage('cancel-tcpip-forward', true, tcp('localhost', 2000 + i)));
      }
      for (let i = 0; i < 100; i++) await user.next(MSG.requestSuccess, MSG.requestFailure);
    }
    user.send(globalMessage('done@example.com', false));
    await answer;
    assert.equal(listening, 0);
    for (let i = 0; i < 65; i++) {
      user.send(globalMessage('tcpip-forward', false, tcp('localhost', 3000 + i)));
    }
    for (let i = 0; i < 64; i++) await target.next(MSG.globalRequest);
    await refused(target, 'forwarded-tcpip', address('localhost', 3064));
    await opened(target, user, 'forwarded-tcpip', address('localhost', 3063));
  });
});
