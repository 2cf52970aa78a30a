/**
 * R33, R73 and THREATS 2 B11-B13: targets that do not answer, talk nonsense, are not who they were, or want more than
 * they may. The user is told in time which target it was; the gate goes on.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG, OPEN_FAILURE } from '../../src/wire/messages.ts';
import { fingerprint, parseAuthorizedKey } from '../../src/wire/publickey.ts';
import { encodeBanner, encodeFailure } from '../../src/wire/userauth.ts';
import { dataMessage, globalMessage, loginRaw, openMessage } from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { letIn, makeRawHostKey } from '../support/raw-target.ts';
import type { Behaviour } from '../support/raw-target.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { Canary, peakGrowth, rawSession, startHostilePlace } from './hostile-place.ts';
import type { HostilePlace } from './hostile-place.ts';

const scope = new ManualScope();
let place: HostilePlace;
let canary: Canary;

/** What a user is told who wants a session at this target: in the failed open, and at the end. */
async function refusal(of: Scope, target: string, ms: number): Promise<string> {
  const started = performance.now();
  const user = await loginRaw(of, place.at(target));
  user.send(openMessage({ sender: 9 }));
  const failure = await user.next(MSG.channelOpenFailure);
  assert.equal(failure.readUInt32BE(1), 9);
  assert.equal(failure.readUInt32BE(5), OPEN_FAILURE.connectFailed);
  const text = failure.toString('utf8', 13, 13 + failure.readUInt32BE(9));
  assert.equal(await user.end(), text, 'the disconnect says the same');
  const took = performance.now() - started;
  assert.ok(took < ms, `told after ${took.toFixed(0)} ms`);
  return text;
}

/** A target that is nothing but a socket. */
function socketOnly(onSocket: (socket: Socket) => void): Behaviour {
  return {
    onSocket: (socket) => {
      socket.on('data', () => undefined);
      socket.on('end', () => socket.destroy());
      onSocket(socket);
    },
  };
}

function every(socket: Socket, ms: number, send: () => void): void {
  const timer = setInterval(send, ms);
  socket.on('close', () => clearInterval(timer));
}

const infoRequest = (count: number): Buffer => {
  const head = new Writer().uint8(MSG.userauthInfoRequest).string('').string('').string('');
  return head.uint32(count).string('Password: ').boolean(false).done();
};

/** Wants a dialogue instead of a password, and sends this question. */
function asking(question: Buffer): Behaviour {
  return {
    login: (payload, peer) => {
      if (payload[0] !== MSG.userauthRequest) return letIn(payload, peer);
      const dialogue = payload.includes('keyboard-interactive');
      peer.send(dialogue ? question : encodeFailure(['keyboard-interactive'], false));
      return false;
    },
  };
}

suite('hostile targets', () => {
  before(async () => {
    place = await startHostilePlace(scope, { log: { level: 'warn' } });
    canary = await Canary.start(scope, place);
  });
  after(() => scope.end());

  const strangers: readonly {
    readonly name: string;
    readonly behaviour: Behaviour;
    readonly says: RegExp;
  }[] = [
    {
      name: 'silent',
      behaviour: socketOnly(() => undefined),
      says: /raw \(.*(in time|identification)/,
    },
    {
      name: 'garbage',
      behaviour: socketOnly((socket) => {
        socket.write(Buffer.alloc(100_000, 0xa5));
      }),
      says: /raw \(.*too long/,
    },
    {
      name: 'garbage in lines',
      behaviour: socketOnly((socket) => {
        every(socket, 1, () => socket.write('x'.repeat(80) + '\n'.repeat(8)));
      }),
      says: /raw \(.*too many lines/,
    },
    {
      name: 'one byte a second',
      behaviour: socketOnly((socket) => {
        every(socket, 300, () => socket.write('S'));
      }),
      says: /raw \(.*(in time|identification)/,
    },
    {
      name: 'an old protocol',
      behaviour: socketOnly((socket) => {
        socket.write('SSH-1.5-old\r\n');
      }),
      says: /raw \(.*not an SSH 2/,
    },
    {
      name: 'closed at once',
      behaviour: socketOnly((socket) => {
        socket.destroy();
      }),
      says: /raw \(.*connection/,
    },
    {
      name: 'silence after the identification',
      behaviour: socketOnly((socket) => {
        socket.write('SSH-2.0-quiet\r\n');
      }),
      says: /raw \(.*in time/,
    },
    {
      name: 'silence at the login',
      behaviour: { login: () => true },
      says: /raw \(.*in time/,
    },
    {
      name: 'banners for ever',
      behaviour: {
        login: (_, peer) => {
          every(peer.socket, 5, () => peer.send(encodeBanner('\u001b[2J'.repeat(5_000))));
          return true;
        },
      },
      says: /raw \(.*in time/,
    },
    {
      name: '2^32-1 questions',
      behaviour: asking(infoRequest(2 ** 32 - 1)),
      says: /raw.*questions/,
    },
    { name: 'fewer questions than it says', behaviour: asking(infoRequest(2)), says: /raw/ },
    {
      name: 'the login refused',
      behaviour: {
        login: (payload, peer) => {
          if (payload[0] !== MSG.userauthRequest) return letIn(payload, peer);
          peer.send(encodeFailure(['publickey'], false));
          return false;
        },
      },
      says: /raw.*password.*publickey/,
    },
  ];
  for (const { name, behaviour, says } of strangers) {
    test(`a target that is ${name}`, async () => {
      await canary.undisturbed(`target: ${name}`, async (of) => {
        place.raw.forget();
        place.raw.behaviour = behaviour;
        const grown = await peakGrowth(place.gate, async () => {
          assert.match(await refusal(of, 'raw', 6_000), says);
        });
        assert.ok(grown < 32, `RSS + ${grown.toFixed(1)} MiB`);
      });
      place.raw.behaviour = {};
    });
  }

  test('a target that is not there, and one whose name is not known', async () => {
    await canary.undisturbed('target: not there', async (of) => {
      assert.match(
        await refusal(of, 'gone', 6_000),
        /^gone \(127\.0\.0\.1:\d+\) cannot be reached/,
      );
      assert.match(await refusal(of, 'nowhere', 12_000), /^nowhere \(no-such-host\.invalid:\d+\)/);
    });
  });

  test('a changed host key is refused, and the user is told which one was expected', async () => {
    await canary.undisturbed('target: another host key', async (of) => {
      const other = makeRawHostKey();
      place.raw.behaviour = { hostKeys: other.keys };
      const text = await refusal(of, 'raw', 6_000);
      const print = (line: string): string => fingerprint(parseAuthorizedKey(line).blob);
      assert.match(text, /host key of raw \(127\.0\.0\.1:\d+\) has changed/);
      assert.ok(text.includes(`expected ${print(place.raw.hostKey.line)}`), text);
      assert.ok(text.includes(`got ${print(other.line)}`), text);
    });
    place.raw.behaviour = {};
  });

  test('a login granted three times is one login at most', async () => {
    await canary.undisturbed('target: success three times', async (of) => {
      place.raw.forget();
      place.raw.behaviour = {
        login: (payload, peer) => {
          const dealt = letIn(payload, peer);
          if (payload[0] === MSG.userauthRequest) {
            peer.send(Buffer.from([MSG.userauthSuccess]));
            peer.send(Buffer.from([MSG.userauthSuccess]));
          }
          return dealt;
        },
      };
      const user = await loginRaw(of, place.fake);
      user.send(openMessage());
      assert.match(await user.end(), /raw/);
    });
    place.raw.forget();
    place.raw.behaviour = {};
  });

  test('a target that opens channels unasked is refused, and its session goes on', async () => {
    await canary.undisturbed('target: unasked opens', async (of) => {
      const { user, target, down } = await rawSession(of, place);
      const types = ['session', 'x11', 'forwarded-tcpip', 'direct-tcpip', 'auth-agent@openssh.com'];
      const more = ['forwarded-streamlocal@openssh.com', 'tun@openssh.com', 'unheard-of', ''];
      const refused: RawPeer = target;
      for (const type of [...types, ...more]) {
        target.send(openMessage({ type, sender: 77 }));
        const answer = await refused.next(MSG.channelOpenFailure);
        assert.equal(answer.readUInt32BE(1), 77);
        assert.equal(answer.readUInt32BE(5), OPEN_FAILURE.administrativelyProhibited, type);
      }
      for (const type of ['tcpip-forward', 'hostkeys-00@openssh.com', 'keepalive@openssh.com']) {
        target.send(globalMessage(type, true));
        await target.next(MSG.requestFailure);
      }
      target.send(dataMessage(down, 'still here'));
      const data = await user.next();
      assert.equal(data.toString('latin1', 9), 'still here', 'the user saw nothing of all that');
    });
  });
});
