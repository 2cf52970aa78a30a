/**
 * R51, R61 and THREATS 2 B: lengths, counts, windows, packet sizes and channel numbers at and beyond their limits, and
 * floods of what costs the gate something. Each ends or leaves alone the peer that did it, and nobody else.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG, OPEN_FAILURE } from '../../src/wire/messages.ts';
import { encodeKeyboardInteractiveRequest } from '../../src/wire/userauth.ts';
import {
  adjustMessage,
  askService,
  channelMessage,
  confirmMessage,
  dataMessage,
  dialRaw,
  exchangeRaw,
  execRaw,
  globalMessage,
  loginRaw,
  openMessage,
  openRaw,
  requestMessage,
} from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { rounds } from '../support/scale.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { Canary, peakGrowth, rawSession, startHostilePlace } from './hostile-place.ts';
import type { HostilePlace } from './hostile-place.ts';

const scope = new ManualScope();
let place: HostilePlace;
let canary: Canary;

const alive = globalMessage('keepalive@openssh.com', true);

/** Fails unless the peer still gets answers. */
async function assertAlive(peer: RawPeer, what: string): Promise<void> {
  const from = peer.received.length;
  peer.send(alive);
  const answered = (): boolean => {
    return peer.received.slice(from).some(([type]) => type === MSG.requestFailure);
  };
  await peer.until(answered, `an answer after ${what}`, 5_000);
}

suite('limits', () => {
  before(async () => {
    place = await startHostilePlace(scope, { log: { level: 'warn' } });
    canary = await Canary.start(scope, place);
  });
  after(() => scope.end());

  test('packets of impossible length end the connection at once, before and after the key exchange', async () => {
    const lengths = [0, 1, 4, 5, 7, 12, 31, 35_001, 256 * 1024, 2 ** 31, 2 ** 32 - 1];
    await canary.undisturbed('packet lengths', async (of) => {
      for (const length of lengths) {
        const head = Buffer.alloc(16);
        head.writeUInt32BE(length);
        const early = (await dialRaw(of, place.real)).start();
        early.sendBytes(head);
        await early.end(1_000);
        early.destroy();
        for (const cipher of [
          'aes128-gcm@openssh.com',
          'chacha20-poly1305@openssh.com',
          'aes128-ctr',
        ]) {
          const peer = await exchangeRaw(of, place.real, { algorithms: { cipher: [cipher] } });
          peer.sendBytes(head);
          await peer.end(1_000);
          peer.destroy();
        }
        const { user, target } = await rawSession(of, place);
        target.sendBytes(head);
        await target.end(1_000);
        assert.match(await user.end(), /raw/, `length ${length}: the user is told`);
      }
    });
  });

  test('empty payloads and padding that is longer than its packet end the connection', async () => {
    await canary.undisturbed('padding', async (of) => {
      for (const cipher of [
        'aes128-gcm@openssh.com',
        'chacha20-poly1305@openssh.com',
        'aes128-ctr',
      ]) {
        for (const padding of [-1, 0, 16, 200, 255]) {
          const peer = await exchangeRaw(of, place.real, { algorithms: { cipher: [cipher] } });
          if (padding < 0) peer.sendNow(Buffer.alloc(0));
          else peer.sendPadded(Buffer.from([MSG.requestFailure, 0, 0]), padding);
          await peer.end(2_000);
          peer.destroy();
        }
      }
    });
  });

  test('counts of 2^25 and 2^32-1 in a login allocate nothing', async () => {
    await canary.undisturbed('counts', async (of) => {
      const grown = await peakGrowth(place.gate, async () => {
        for (let i = 0; i < rounds(200, 10); i++) {
          for (const count of [17, 2 ** 25, 2 ** 32 - 1]) {
            const peer = await exchangeRaw(of, place.real);
            await askService(peer);
            peer.send(encodeKeyboardInteractiveRequest(place.real.user));
            await peer.next(MSG.userauthInfoRequest);
            peer.send(new Writer().uint8(MSG.userauthInfoResponse).uint32(count).done());
            assert.match(await peer.end(), /answers/);
            peer.destroy();
            const other = await exchangeRaw(of, place.real);
            other.send(new Writer().uint8(MSG.extInfo).uint32(count).done());
            await other.end();
            other.destroy();
          }
        }
      });
      // One array of 2^25 places would be 256 MiB.
      assert.ok(grown < 32, `RSS + ${grown.toFixed(1)} MiB`);
    });
  });

  test('packets below 1,024 bytes are refused in an open and in its confirmation; huge ones lowered', async () => {
    await canary.undisturbed('packet sizes', async (of) => {
      const peer = await loginRaw(of, place.real);
      for (const maxPacket of [0, 1, 1023]) {
        peer.send(openMessage({ maxPacket }));
        const answer = await peer.next(MSG.channelOpenFailure);
        assert.equal(answer.readUInt32BE(5), OPEN_FAILURE.administrativelyProhibited);
      }
      await execRaw(peer, 'head -c 1000000 /dev/zero', { maxPacket: 2 ** 32 - 1 });
      await peer.next(MSG.channelClose);
      for (const maxPacket of [0, 1, 1023]) {
        place.raw.forget();
        const user = await loginRaw(of, place.fake);
        const target = await place.raw.next();
        user.send(openMessage({ sender: 1, maxPacket: 2 ** 32 - 1 }));
        const open = await target.next(MSG.channelOpen);
        assert.equal(open.readUInt32BE(20), 32_768);
        target.send(confirmMessage(open.readUInt32BE(12), { maxPacket }));
        assert.match(await user.end(), /raw.*1,024/);
      }
    });
  });

  test('a window of 0 lets nothing through until it is adjusted', async (t) => {
    const peer = await loginRaw(t, place.real);
    const channel = await execRaw(peer, 'printf 1234567890', { window: 0 });
    for (let i = 0; i < 10; i++) peer.send(adjustMessage(channel, 1));
    let text = '';
    while (text.length < 10) {
      const data = await peer.next(MSG.channelData);
      text += data.toString('latin1', 9);
    }
    assert.equal(text, '1234567890');
  });

  test('windows adjusted beyond 2^32-1 end the peer that did it', async () => {
    await canary.undisturbed('adjusts', async (of) => {
      for (const by of ['user', 'target'] as const) {
        const { user, target, up, down } = await rawSession(of, place);
        const peer = by === 'user' ? user : target;
        const channel = by === 'user' ? up : down;
        peer.send(adjustMessage(channel, 2 ** 32 - 1));
        peer.send(adjustMessage(channel, 2 ** 32 - 1));
        assert.match(await peer.end(), /window/, by);
      }
    });
  });

  test('data beyond the window ends the peer once it is a tenth too much', async () => {
    await canary.undisturbed('too much data', async (of) => {
      for (const by of ['user', 'target'] as const) {
        const window = 200_000;
        const { user, target, up, down } = await rawSession(of, place, window);
        const [peer, other] = by === 'user' ? [user, target] : [target, user];
        const channel = by === 'user' ? up : down;
        const piece = dataMessage(channel, Buffer.alloc(7_777));
        for (let sent = 0; sent < 30_000_000 && !peer.ended; sent += 7_777) {
          peer.send(piece);
          if (sent % 777_700 === 0) await peer.drained();
        }
        assert.match(await peer.end(), /window/, by);
        await other.end();
        const messages = other.received.filter(([type]) => type === MSG.channelData);
        const passed = messages.reduce((sum, message) => sum + message.length - 9, 0);
        assert.ok(
          passed >= window && passed <= 1.1 * window,
          `${by}: ${passed} of ${window} passed`,
        );
      }
    });
  });

  test('messages for channels that are not there are ignored', async () => {
    const numbers = [1, 77, 2 ** 31, 2 ** 32 - 1];
    const messagesTo = (channel: number): Buffer[] => [
      dataMessage(channel, 'lost'),
      dataMessage(channel, 'lost', 1),
      adjustMessage(channel, 1),
      channelMessage(MSG.channelEof, channel),
      channelMessage(MSG.channelClose, channel),
      requestMessage(channel, 'exit-status', false, Buffer.alloc(4)),
      channelMessage(MSG.channelSuccess, channel),
      channelMessage(MSG.channelFailure, channel),
      confirmMessage(channel),
      Buffer.concat([channelMessage(MSG.channelOpenFailure, channel), Buffer.alloc(12)]),
    ];
    await canary.undisturbed('channel numbers', async (of) => {
      const { user, target, up, down } = await rawSession(of, place);
      for (const peer of [user, target]) {
        for (const number of numbers) for (const message of messagesTo(number)) peer.send(message);
        await assertAlive(peer, 'messages to nobody');
      }
      // Both have closed: the number is nobody's.
      user.send(channelMessage(MSG.channelClose, up));
      await target.next(MSG.channelClose);
      target.send(channelMessage(MSG.channelClose, down));
      await user.next(MSG.channelClose);
      for (const message of messagesTo(up)) user.send(message);
      for (const message of messagesTo(down)) target.send(message);
      await assertAlive(user, 'messages to a closed channel');
      await assertAlive(target, 'messages to a closed channel');
      const stray = [...user.received, ...target.received].filter((one) => one.includes('lost'));
      assert.equal(stray.length, 0);
    });
  });

  test('data after EOF and CLOSE, CLOSE twice and equal numbers stay within their connection', async () => {
    await canary.undisturbed('out of order', async (of) => {
      const { user, target, up, down } = await rawSession(of, place);
      user.send(channelMessage(MSG.channelEof, up));
      user.send(dataMessage(up, 'after EOF'));
      user.send(channelMessage(MSG.channelClose, up));
      user.send(channelMessage(MSG.channelClose, up));
      user.send(dataMessage(up, 'after CLOSE'));
      user.send(globalMessage('mark@sallyport.example', false));
      await target.next(MSG.globalRequest);
      const closes = target.received.filter(([type]) => type === MSG.channelClose);
      assert.equal(closes.length, 1);
      // A second channel with the same sender's number; the first is still half open.
      user.send(openMessage({ sender: 40 }));
      const open = await target.next(MSG.channelOpen);
      assert.notEqual(open.readUInt32BE(12), down);
      target.send(channelMessage(MSG.channelClose, down));
      await assertAlive(user, 'equal numbers');
    });
  });

  test('replies that nobody asked for are ignored', async () => {
    await canary.undisturbed('unsolicited replies', async (of) => {
      const { user, target, up, down } = await rawSession(of, place);
      for (const [peer, channel] of [
        [user, up],
        [target, down],
      ] as const) {
        const replies: Buffer[] = [81, 82].map((type) => Buffer.from([type]));
        for (const at of [channel, 5, 2 ** 32 - 1]) {
          replies.push(channelMessage(99, at), channelMessage(100, at), confirmMessage(at));
          replies.push(Buffer.concat([channelMessage(92, at), Buffer.alloc(12)]));
        }
        for (let i = 0; i < rounds(100_000, 2_000); i++) {
          for (const reply of replies) peer.send(reply);
          if (i % 200 === 0) await peer.drained();
        }
        await assertAlive(peer, 'replies');
      }
      const passed = [...user.received, ...target.received].filter(([type]) => {
        return type === 99 || type === 100 || type === 81;
      });
      assert.equal(passed.length, 0);
    });
  });

  test('refused opens end the connection after the limit, and cost no memory', async () => {
    await canary.undisturbed('refused opens', async (of) => {
      const peer = await loginRaw(of, place.real);
      let sent = 0;
      const grown = await peakGrowth(place.gate, async () => {
        while (sent < rounds(1_000_000, 20_000) && !peer.ended) {
          peer.send(openMessage({ type: `nobody-${sent++}`, sender: sent }));
          if (sent % 100 === 0) await peer.drained();
        }
        assert.match(await peer.end(), /refused/);
      });
      const refusals = peer.received.filter(([type]) => type === MSG.channelOpenFailure);
      assert.ok(refusals.length <= 1001, `${refusals.length} refusals`);
      assert.ok(grown < 24, `RSS + ${grown.toFixed(1)} MiB`);
    });
  });

  test('sessions beyond the limit are refused for want of resources', async (t) => {
    const peer = await loginRaw(t, place.real);
    for (let sender = 0; sender < 10; sender++) await openRaw(peer, { sender });
    for (let sender = 10; sender < 65; sender++) {
      peer.send(openMessage({ sender }));
      const answer = await peer.next(MSG.channelOpenFailure);
      assert.equal(answer.readUInt32BE(5), OPEN_FAILURE.resourceShortage);
    }
    await assertAlive(peer, 'refusals');
  });

  /** Sends for so long, or until the gate has had enough; the peer reads nothing meanwhile. */
  async function flood(
    peer: RawPeer,
    message: Buffer,
    limits: { readonly bytes: number; readonly ms: number },
  ): Promise<number> {
    return peakGrowth(place.gate, async () => {
      peer.stopReading();
      const { bytes, ms } = limits;
      const stuck = AbortSignal.timeout(ms);
      for (let sent = 0; sent < bytes && !peer.socket.destroyed && !stuck.aborted;) {
        for (let i = 0; i < 1000 && peer.socket.writableLength < 2 ** 20; i++) {
          peer.sendNow(message);
          sent += message.length;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
  }

  interface Flood {
    readonly name: string;
    readonly message: (channel: number) => Buffer;
    /** What the peer is told; undefined where it is merely no longer read. */
    readonly ends?: RegExp;
    readonly rssMiB?: number;
  }
  const floods: readonly Flood[] = [
    { name: 'keepalives', message: () => alive, ends: /answers are read/ },
    {
      name: 'channel keepalives',
      message: (at) => requestMessage(at, 'keepalive@openssh.com', true),
      ends: /answers are read/,
    },
    {
      name: 'refused requests',
      message: (at) => requestMessage(at, 'x11-req', true),
      ends: /answers are read/,
    },
    {
      name: 'pings',
      message: () => new Writer().uint8(MSG.ping).string(Buffer.alloc(200)).done(),
      ends: /pings/,
    },
    {
      // Recorded and passed to nobody: what lies about is what the collector has yet to take, of all sessions.
      name: 'refused global requests with much data',
      message: () => globalMessage('tcpip-forward', false, Buffer.alloc(30_000)),
      rssMiB: 192,
    },
    { name: 'window adjusts by 0', message: (at) => adjustMessage(at, 0) },
    { name: 'empty data', message: (at) => dataMessage(at, '') },
    {
      name: 'requests',
      message: (at) => requestMessage(at, 'unheard-of@sallyport.example', false),
    },
  ];
  for (const { name, message, ends, rssMiB = 96 } of floods) {
    test(`${name} from a user who reads no answer cost no memory`, async () => {
      const scenario = async (of: Scope): Promise<void> => {
        const { user, target, up } = await rawSession(of, place);
        // Nor does the target read: what is passed on to it stays with the gate.
        target.stopReading();
        // Who is merely no longer read is stuck soon; who is to be ended may have to wait for a busy machine.
        const ms = ends ? 60_000 : 4_000;
        const bytes = rounds(400, 40) * 2 ** 20;
        const grown = await flood(user, message(up), { bytes, ms });
        console.log(`${name}: RSS + ${grown.toFixed(1)} MiB`);
        assert.ok(grown < rssMiB, `RSS + ${grown.toFixed(1)} MiB`);
        target.destroy();
        if (ends) {
          user.readOn();
          await user.end(10_000);
        }
      };
      await canary.undisturbed(`flood of ${name}`, scenario, { rssMiB });
      const trouble = ends === undefined ? [] : await reasons();
      if (ends)
        assert.ok(
          trouble.some((reason) => ends.test(reason)),
          trouble.join('; '),
        );
    });
  }

  /** How the connections at the fake target have ended. */
  async function reasons(): Promise<string[]> {
    const rows = await place.gate.connections();
    return rows.filter(({ target }) => target === 'raw').map(({ reason }) => String(reason));
  }
});
