/**
 * R36, R37, R48, R49, R56 and THREATS 2 A16, A19, A28: peers that are slow, silent, half there or never done. Each is
 * gone after its deadline or waits without costing memory, and nobody else notices.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setImmediate as tick } from 'node:timers/promises';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { eventually } from '../support/eventually.ts';
import {
  adjustMessage,
  dataMessage,
  dialRaw,
  exchangeRaw,
  globalMessage,
  loginRaw,
} from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { rounds } from '../support/scale.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { Canary, descriptors, peakGrowth, rawSession, startHostilePlace } from './hostile-place.ts';
import type { HostilePlace } from './hostile-place.ts';

const scope = new ManualScope();
let place: HostilePlace;
let canary: Canary;

const HUGE = 2 ** 32 - 1;
const GRACE_S = 3;

/** Sends data until the other side has taken none for a while; returns how many bytes left this side. */
async function sendUntilStuck(peer: RawPeer, channel: number): Promise<number> {
  const piece = dataMessage(channel, Buffer.alloc(32_000));
  let quietSince = performance.now();
  let written = -1;
  while (performance.now() - quietSince < 700 && !peer.socket.destroyed) {
    while (peer.socket.writableLength < 2 ** 20) peer.send(piece);
    await tick();
    const now = peer.socket.bytesWritten - peer.socket.writableLength;
    if (now !== written) quietSince = performance.now();
    written = now;
  }
  return written;
}

suite('slow, silent and stalled peers', () => {
  before(async () => {
    place = await startHostilePlace(scope, {
      log: { level: 'warn' },
      login: { ident_s: 1, grace_s: GRACE_S },
    });
    canary = await Canary.start(scope, place);
  });
  after(() => scope.end());

  /** Peers that come so far and no further, with the time after which they must be gone. */
  const idlers: readonly {
    readonly name: string;
    readonly s: number;
    readonly come: (of: Scope) => Promise<RawPeer>;
  }[] = [
    { name: 'silent', s: 1, come: (of) => dialRaw(of, place.real) },
    {
      name: 'a byte now and then',
      s: 1,
      come: async (of) => {
        const peer = await dialRaw(of, place.real);
        const timer = setInterval(() => peer.sendBytes(Buffer.from('S')), 100);
        peer.socket.on('close', () => clearInterval(timer));
        return peer;
      },
    },
    {
      name: 'identification only',
      s: 2,
      come: async (of) => {
        const peer = await dialRaw(of, place.real, { deaf: true });
        peer.sendBytes(Buffer.from('SSH-2.0-idle\r\n'));
        return peer;
      },
    },
    { name: 'key exchange only', s: GRACE_S, come: (of) => exchangeRaw(of, place.real) },
  ];
  for (const { name, s, come } of idlers) {
    test(`slow loris: ${name}`, async () => {
      await canary.undisturbed(`slow loris: ${name}`, async (of) => {
        const count = rounds(1000, 40);
        const started = performance.now();
        const peers = await Promise.all(Array.from({ length: count }, () => come(of)));
        const came = performance.now() - started;
        await Promise.all(peers.map((peer) => peer.end(s * 1000 + came + 3_000)));
        assert.ok(performance.now() - started >= s * 1000 - 50, 'nobody is sent away early');
      });
    });
  }

  test('peers that keep their half open after our DISCONNECT are gone 5 s later', async () => {
    await canary.undisturbed('half open', async (of) => {
      const start = descriptors(place.gate);
      const peers: RawPeer[] = [];
      for (let i = 0; i < rounds(5000, 50); i++) {
        const peer = await exchangeRaw(of, place.real, { keepsHalfOpen: true });
        peer.sendNow(Buffer.from([MSG.userauthSuccess]));
        peers.push(peer);
      }
      await Promise.all(peers.map((peer) => peer.end()));
      await eventually('no descriptor left', () => descriptors(place.gate) <= start, {
        ms: 6_500,
        everyMs: 20,
      });
    });
  });

  test('key exchanges without end before login end the connection', async () => {
    await canary.undisturbed('KEXINIT flood', async (of) => {
      const peer = await exchangeRaw(of, place.real);
      for (let i = 0; i < 10_000 && !peer.ended; i++) {
        const { exchanges } = peer;
        peer.rekey();
        await peer.until(
          () => peer.exchanges > exchanges || peer.ended,
          'key exchange',
          5_000,
          true,
        );
      }
      assert.match(peer.disconnected ?? '', /too many key exchanges/);
      assert.ok(peer.exchanges <= 4, `${peer.exchanges} exchanges`);
    });
  });

  test('key exchanges one after the other after login disturb nobody', async () => {
    await canary.undisturbed('rekey flood', async (of) => {
      const peer = await loginRaw(of, place.real);
      const until = performance.now() + 2_000;
      while (performance.now() < until && !peer.ended) {
        const { exchanges } = peer;
        peer.rekey();
        await peer.until(
          () => peer.exchanges > exchanges || peer.ended,
          'key exchange',
          5_000,
          true,
        );
      }
    });
  });

  for (const by of ['user', 'target'] as const) {
    test(`a ${by} who begins a key exchange and stalls ends after the time it has`, async () => {
      await canary.undisturbed(`${by} stalls in a rekey`, async (of) => {
        const { user, target, up, down } = await rawSession(of, place, HUGE);
        const [staller, sender] = by === 'user' ? [user, target] : [target, user];
        const channel = by === 'user' ? down : up;
        const started = performance.now();
        const grown = await peakGrowth(place.gate, async () => {
          staller.rekeyAndStall();
          await sendUntilStuck(sender, channel);
          await staller.end(5_000);
        });
        const took = performance.now() - started;
        assert.ok(took > 1_900 && took < 4_500, `ended after ${took.toFixed(0)} ms`);
        assert.match(staller.disconnected ?? '', /key exchange not finished/);
        assert.ok(grown < 32, `RSS + ${grown.toFixed(1)} MiB`);
      });
    });
  }

  for (const by of ['user', 'target'] as const) {
    test(`a ${by} who stops reading behind a window of 4 GiB costs at most 4 MiB`, async () => {
      const sessions = rounds(64, 8);
      await canary.undisturbed(
        `${by}s who read nothing`,
        async (of) => {
          type Session = Awaited<ReturnType<typeof rawSession>>;
          const make = async (count: number): Promise<Session[]> => {
            const made: Session[] = [];
            for (let i = 0; i < count; i++) made.push(await rawSession(of, place, HUGE));
            return made;
          };
          const stall = async ({ user, target, up, down }: Session): Promise<void> => {
            const [reader, sender] = by === 'user' ? [user, target] : [target, user];
            reader.stopReading();
            const sent = await sendUntilStuck(sender, by === 'user' ? down : up);
            // Kernel buffers on four sockets take some; the rest would be with the gate.
            assert.ok(sent < 64 * 2 ** 20, `${(sent / 2 ** 20).toFixed(0)} MiB left the sender`);
          };
          // The first ones warm up what all sessions share.
          await Promise.all((await make(2)).map(stall));
          const others = await make(sessions);
          const grown = await peakGrowth(place.gate, async () => {
            await Promise.all(others.map(stall));
          });
          const each = grown / sessions;
          console.log(`stalled ${by}: ${each.toFixed(2)} MiB each of ${sessions}`);
          assert.ok(each < 4, `${each.toFixed(1)} MiB for each of ${sessions} sessions`);
        },
        { rssMiB: 48 + 4 * sessions },
      );
    });
  }

  test('a reader that goes on after a stall gets every byte', async (t) => {
    const { user, target, down } = await rawSession(t, place, HUGE);
    user.stopReading();
    await sendUntilStuck(target, down);
    target.send(globalMessage('mark@sallyport.example', false));
    user.readOn();
    await user.next(MSG.globalRequest);
    const bytesOf = (peer: RawPeer): number => {
      const data = peer.received.filter(([type]) => type === MSG.channelData);
      return data.reduce((sum, message) => sum + message.length - 9, 0);
    };
    assert.equal(bytesOf(user) % 32_000, 0);
    assert.ok(bytesOf(user) > 2 ** 20);
  });

  test('a ping behind a full backlog is answered, and is no fault', async (t) => {
    const { user, target, up, down } = await rawSession(t, place, HUGE);
    user.stopReading();
    await sendUntilStuck(target, down);
    for (let i = 0; i < 100; i++) {
      user.send(new Writer().uint8(MSG.ping).string('are you there?').done());
    }
    user.send(adjustMessage(up, 0));
    await target.next(MSG.channelWindowAdjust);
    user.readOn();
    await user.next(MSG.pong);
  });

  for (const by of ['user', 'target'] as const) {
    test(`a ${by} who answers no question at all is given up by the keepalives`, async (t) => {
      const other = await startHostilePlace(t, {
        log: { level: 'warn' },
        keepalive: { interval_s: 0.2, count: 3 },
      });
      const { user, target } = await rawSession(t, other);
      const [silent, asker] = by === 'user' ? [user, target] : [target, user];
      // As many as may wait for their answer: the gate's own question is one too many.
      for (let i = 0; i < 256; i++) asker.send(globalMessage('unheard-of@sallyport.example', true));
      await eventually('the questions', () => silent.received.length > 256 || silent.ended);
      // The other one is heard all the time.
      const noise = new Writer().uint8(MSG.ignore).string('').done();
      const alive = setInterval(() => asker.send(noise), 50);
      await silent.end(10_000).finally(() => clearInterval(alive));
      assert.match(silent.disconnected ?? '', /keepalives/);
      await loginRaw(t, other.real);
    });
  }

  test('a user who is gone is missed though nobody reads what he has sent', async (t) => {
    const other = await startHostilePlace(t, {
      log: { level: 'warn' },
      keepalive: { interval_s: 0.5, count: 1000 },
    });
    const { user, target, up } = await rawSession(t, other, HUGE);
    target.stopReading();
    await sendUntilStuck(user, up);
    user.destroy();
    await eventually('an end in the rows', async () => {
      const [row] = await other.gate.connections();
      return row?.['status'] === 'DISCONNECTED';
    });
  });
});
