/**
 * R59, R63: every message type in every state, from both sides. A table here says what a peer may send in each state and
 * live; whatever else it sends ends its own connection, and nothing else.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { MSG } from '../../src/wire/messages.ts';
import { encodeService } from '../../src/wire/userauth.ts';
import { Writer } from '../../src/wire/buffer.ts';
import {
  askService,
  dialRaw,
  exchangeRaw,
  globalMessage,
  loginRaw,
  openMessage,
  openRaw,
  passwordRequest,
} from '../support/raw-client.ts';
import { each } from '../support/each.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { letIn } from '../support/raw-target.ts';
import { rounds, scale, seeded } from '../support/scale.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { Canary, startHostilePlace } from './hostile-place.ts';
import type { HostilePlace } from './hostile-place.ts';

const scope = new ManualScope();
let place: HostilePlace;
let canary: Canary;

/** A message of this type: 64 zero bytes are a legal body of most. */
function ofType(type: number): Buffer {
  return Buffer.concat([Buffer.from([type]), Buffer.alloc(64)]);
}

/** All types in the long run; in the short one those that mean something, and some that do not. */
function types(): number[] {
  const all = Array.from({ length: 256 }, (_, type) => type);
  if (scale() === 1) return all;
  const random = seeded('message types');
  const known = all.filter(
    (type) => type <= 8 || [20, 21, 30, 31, 34].includes(type) || (type >= 50 && type <= 66),
  );
  const later = all.filter((type) => (type >= 80 && type <= 101) || type === 192 || type === 193);
  const others = Array.from({ length: 10 }, () => random.int(0, 255));
  return [...new Set([...known, ...later, ...others])];
}

const HARMLESS: readonly number[] = [MSG.ignore, MSG.unimplemented, MSG.debug, MSG.extInfo];
/** Of the connection protocol; those missing have a length in them that the zeros contradict. */
const connection = (type: number): boolean => type >= 80 && ![93, 94, 95].includes(type);

const userNone = (): Buffer => {
  return new Writer()
    .uint8(MSG.userauthRequest)
    .string(place.real.user)
    .string('ssh-connection')
    .string('none')
    .done();
};
const alive = (): Buffer => globalMessage('keepalive@openssh.com', true);

interface State {
  readonly name: string;
  /** Brings a peer into the state. */
  readonly reach: (of: Scope) => Promise<RawPeer>;
  readonly lives: (type: number) => boolean;
  /** What a live peer can ask, and the type of the answer. */
  readonly probe: () => Buffer;
  readonly answer: number;
  /** How many of them, where others are due before; one by default. */
  readonly answers?: number;
}

const DOWNSTREAM: readonly State[] = [
  {
    name: 'before its identification line',
    reach: (of) => dialRaw(of, place.real),
    lives: () => false,
    probe: alive,
    answer: -1,
  },
  {
    name: 'between identification and key exchange',
    reach: async (of) => (await dialRaw(of, place.real)).start(),
    lives: () => false,
    probe: alive,
    answer: -1,
  },
  {
    name: 'in the first key exchange',
    reach: async (of) => {
      const peer = (await dialRaw(of, place.real)).start();
      await peer.until(() => peer.exchanging, 'KEXINIT of our own');
      return peer;
    },
    lives: () => false,
    probe: alive,
    answer: -1,
  },
  {
    name: 'before it has asked for a service',
    reach: (of) => exchangeRaw(of, place.real),
    lives: (type) => HARMLESS.includes(type),
    probe: () => encodeService(MSG.serviceRequest, 'ssh-userauth'),
    answer: MSG.serviceAccept,
  },
  {
    name: 'during login',
    reach: async (of) => {
      const peer = await exchangeRaw(of, place.real);
      await askService(peer);
      return peer;
    },
    lives: (type) => HARMLESS.includes(type),
    probe: userNone,
    answer: MSG.userauthFailure,
  },
  {
    name: 'while a password check is pending',
    answers: 2,
    reach: async (of) => {
      const peer = await exchangeRaw(of, place.real);
      await askService(peer);
      peer.send(passwordRequest(place.real.user, 'wrong'));
      return peer;
    },
    lives: (type) => HARMLESS.includes(type),
    probe: userNone,
    answer: MSG.userauthFailure,
  },
  {
    name: 'after login and before upstream',
    reach: (of) => {
      // A target that never answers the login, until its deadline.
      place.raw.behaviour = { login: () => true };
      return loginRaw(of, place.fake);
    },
    lives: (type) => HARMLESS.includes(type) || type === MSG.userauthRequest || connection(type),
    probe: alive,
    answer: MSG.requestFailure,
  },
  {
    name: 'with a session open',
    reach: async (of) => {
      const peer = await loginRaw(of, place.real);
      await openRaw(peer);
      return peer;
    },
    lives: (type) => HARMLESS.includes(type) || type === MSG.userauthRequest || connection(type),
    probe: alive,
    answer: MSG.requestFailure,
  },
  {
    name: 'in a key exchange after login',
    reach: async (of) => {
      const peer = await loginRaw(of, place.real);
      peer.rekeyAndStall();
      return peer;
    },
    // These are dropped; the peer that never goes on with its key exchange ends by its deadline.
    lives: () => false,
    probe: alive,
    answer: -1,
  },
];

/** Whether the peer still gets an answer after this message. */
async function livesAfter(peer: RawPeer, state: State, type: number): Promise<boolean> {
  const from = peer.received.length;
  peer.sendNow(ofType(type));
  if (state.answer >= 0) peer.sendNow(state.probe());
  const answered = (): boolean => {
    const answers = peer.received.slice(from).filter(([first]) => first === state.answer);
    return answers.length >= (state.answers ?? 1);
  };
  await peer.until(
    () => answered() || peer.ended || peer.closed,
    `an answer or an end after message ${type} ${state.name}`,
    20_000,
    true,
  );
  return answered() && !peer.ended;
}

suite('message types 0 to 255', () => {
  before(async () => {
    place = await startHostilePlace(scope, { log: { level: 'warn' } });
    canary = await Canary.start(scope, place);
  });
  after(() => scope.end());

  for (const state of DOWNSTREAM) {
    test(`from a user ${state.name}`, async () => {
      await canary.undisturbed(
        `types from a user ${state.name}`,
        (of) =>
          each(types(), 4, async (type) => {
            const peer = await state.reach(of);
            const lives = await livesAfter(peer, state, type);
            assert.equal(
              lives,
              state.lives(type),
              `message ${type} ${state.name}: ${peer.disconnected ?? ''}`,
            );
            peer.destroy();
          }),
        // A gate grows with its first thousand sessions and then no more; what a hash took stays with its thread.
        { rssMiB: state.answers === undefined ? 96 : 192 },
      );
      place.raw.behaviour = {};
    });
  }

  const targetStates: readonly {
    readonly name: string;
    readonly when: 'kex' | 'service' | 'login' | 'open';
    readonly lives: (type: number) => boolean;
  }[] = [
    { name: 'in the first key exchange', when: 'kex', lives: () => false },
    {
      name: 'instead of accepting the service',
      when: 'service',
      lives: (type) => HARMLESS.includes(type) || type === MSG.userauthBanner,
    },
    {
      name: 'during login',
      when: 'login',
      lives: (type) => HARMLESS.includes(type) || type === MSG.userauthBanner,
    },
    {
      name: 'with a connection open',
      when: 'open',
      // 91 would be an answer to the channel that is being opened, for packets of 0 bytes.
      lives: (type) =>
        HARMLESS.includes(type) || type === MSG.userauthBanner || (connection(type) && type !== 91),
    },
  ];

  for (const { name, when, lives } of targetStates) {
    test(`from a target ${name}`, async () => {
      await canary.undisturbed(`types from a target ${name}`, async (of) => {
        for (const type of types()) {
          place.raw.forget();
          place.raw.behaviour = {
            login: (payload, peer) => {
              const at = payload[0] === MSG.serviceRequest ? 'service' : 'login';
              if (when === at) peer.sendNow(ofType(type));
              return letIn(payload, peer);
            },
            ...(when === 'kex' && {
              onSocket: (socket) => {
                socket.write('SSH-2.0-raw\r\n');
                // An unencrypted packet of eight-byte blocks.
                const packet = Buffer.concat([
                  Buffer.from([0, 0, 0, 76, 10]),
                  ofType(type),
                  Buffer.alloc(10),
                ]);
                socket.write(packet);
                socket.on('data', () => undefined);
                socket.on('end', () => socket.destroy());
              },
            }),
          };
          const user = await loginRaw(of, place.fake);
          user.send(openMessage({ sender: 3 }));
          if (when === 'open') {
            const target = await place.raw.next();
            await target.next(MSG.channelOpen);
            target.sendNow(ofType(type));
            target.sendNow(globalMessage('mark@sallyport.example', false));
          } else if (lives(type)) {
            const target = await place.raw.next();
            await target.next(MSG.channelOpen);
            target.sendNow(globalMessage('mark@sallyport.example', false));
          }
          const marked = (): boolean => {
            return user.received.some((message) => message.includes('mark@sallyport.example'));
          };
          await user.until(
            () => marked() || user.ended,
            `a mark or an end after message ${type}`,
            20_000,
            true,
          );
          assert.equal(
            marked(),
            lives(type),
            `message ${type} ${name}: ${user.disconnected ?? ''}`,
          );
          if (!marked())
            assert.notEqual(user.disconnected ?? '', '', `message ${type}: the user is told`);
          user.destroy();
        }
      });
      place.raw.behaviour = {};
    });
  }

  test('login messages while a password check is pending, again and again', async () => {
    await canary.undisturbed('51, 52, 53, 60 and 80-100 while a check is pending', async (of) => {
      const random = seeded('pending check');
      const chosen = [51, 52, 53, 60, ...Array.from({ length: 21 }, (_, i) => 80 + i)];
      await each(Array.from({ length: rounds(10_000, 40) }), 4, async () => {
        const peer = await exchangeRaw(of, place.real);
        await askService(peer);
        peer.send(passwordRequest(place.real.user, 'wrong'));
        for (let i = random.int(1, 4); i > 0; i--) {
          peer.sendNow(ofType(random.pick([52, ...chosen])));
        }
        peer.sendNow(openMessage());
        await peer.end();
        const seen = peer.received.map(([type]) => type);
        assert.ok(!seen.includes(MSG.userauthSuccess), 'no login');
        assert.ok(!seen.includes(MSG.channelOpenConfirmation), 'no channel');
        peer.destroy();
      });
    });
  });
});
