/**
 * P7, the raw half of proof 1: whatever a client and a target say to each other on the connection protocol arrives
 * through the gate as it does directly: the same messages, byte for byte, in the same order, at both ends.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import fc from 'fast-check';
import { MSG } from '../../src/wire/messages.ts';
import { startHostilePlace } from '../e2e/hostile-place.ts';
import type { HostilePlace } from '../e2e/hostile-place.ts';
import { figure } from '../support/figure.ts';
import {
  channelMessage,
  dataMessage,
  globalMessage,
  loginRaw,
  openRaw,
  requestMessage,
} from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { rounds, seeded } from '../support/scale.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import {
  comparable,
  exitSignalField,
  exitStatusField,
  Player,
  ptyField,
  stringField,
} from './message-schedule.ts';
import type { SideName, Step } from './message-schedule.ts';

const scope = new ManualScope();
const SIDES = ['client', 'target'] as const;
const EMPTY = Buffer.alloc(0);

let place: HostilePlace;

/** A client and the target it has reached, directly or through the gate. */
async function pair(of: Scope, gated: boolean): Promise<{ client: RawPeer; target: RawPeer }> {
  place.raw.forget();
  const key = place.keyPath;
  const direct = { host: '127.0.0.1', port: place.raw.port, user: 'alice', key };
  const client = await loginRaw(of, gated ? place.fake : direct);
  return { client, target: await place.raw.next() };
}

/** Plays one schedule both ways; fails unless both ends received the same. */
async function assertUnchanged(of: Scope, name: string, steps: readonly Step[]): Promise<number> {
  const seen: Record<SideName, string[]>[] = [];
  for (const gated of [false, true]) {
    const { client, target } = await pair(of, gated);
    const received = await new Player(client, target).play(steps);
    seen.push({
      client: received.client.map(comparable),
      target: received.target.map(comparable),
    });
    client.destroy();
    target.destroy();
  }
  const [direct, through] = seen;
  for (const side of SIDES) {
    assert.deepEqual(through?.[side], direct?.[side], `${name}: what the ${side} received`);
  }
  return (direct?.client.length ?? 0) + (direct?.target.length ?? 0);
}

// ---- random schedules

const bytes = fc
  .oneof(
    { weight: 6, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 1000, maxLength: 8000 }) },
  )
  .map((array) => Buffer.from(array));
const side = fc.constantFrom(...SIDES);
const channel = fc.nat({ max: 4 });
const uint32 = fc.nat({ max: 0xffffffff });

const clientRequest = fc.oneof(
  fc.constant({ type: 'shell', data: EMPTY }),
  bytes.map((command) => ({ type: 'exec', data: stringField(command) })),
  fc.constant({ type: 'subsystem', data: stringField('sftp') }),
  bytes.map((modes) => ({ type: 'pty-req', data: ptyField('xterm', modes) })),
  bytes.map((value) => ({
    type: 'env',
    data: Buffer.concat([stringField('LANG'), stringField(value)]),
  })),
  fc.constant({ type: 'window-change', data: Buffer.alloc(16, 7) }),
  fc
    .constantFrom('TERM', 'USR1', 'x@y')
    .map((name) => ({ type: 'signal', data: stringField(name) })),
  fc.constant({ type: 'break', data: exitStatusField(500) }),
  fc.constant({ type: 'eow@openssh.com', data: EMPTY }),
  bytes.map((data) => ({ type: 'unheard-of@sallyport.example', data })),
);
const targetRequest = fc.oneof(
  uint32.map((status) => ({ type: 'exit-status', data: exitStatusField(status) })),
  fc
    .tuple(fc.constantFrom('TERM', 'BUS', 'SIG@openssh.com', 'RTMIN'), fc.boolean(), bytes)
    .map(([name, core, message]) => ({
      type: 'exit-signal',
      data: exitSignalField(name, core, message),
    })),
  fc.constant({ type: 'xon-xoff', data: Buffer.from([1]) }),
  fc.constant({ type: 'eow@openssh.com', data: EMPTY }),
  bytes.map((data) => ({ type: 'unheard-of@sallyport.example', data })),
);
const amount = fc.oneof(
  fc.constantFrom(1, 2, 32_768, 2 ** 31, 2 ** 32 - 1),
  fc.integer({ min: 1, max: 100_000 }),
);
const globalType = fc.constantFrom(
  'no-more-sessions@openssh.com',
  'unheard-of@sallyport.example',
  '',
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: openStep() },
  {
    weight: 4,
    arbitrary: fc
      .tuple(channel, clientRequest, fc.boolean())
      .map(([at, request, wantReply]): Step => {
        return { do: 'request', by: 'client', channel: at, wantReply, ...request };
      }),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(channel, targetRequest, fc.boolean())
      .map(([at, request, wantReply]): Step => {
        return { do: 'request', by: 'target', channel: at, wantReply, ...request };
      }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('reply' as const),
      by: side,
      channel,
      yes: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('global' as const),
      by: side,
      type: globalType,
      wantReply: fc.boolean(),
      data: bytes,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('globalReply' as const),
      by: side,
      yes: fc.boolean(),
      data: bytes,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('data' as const),
      by: side,
      channel,
      data: bytes,
      code: fc.option(fc.oneof(fc.constant(1), uint32), { nil: undefined }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('adjust' as const), by: side, channel, amount }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('eof' as const), by: side, channel }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), by: side, channel }) },
  { weight: 1, arbitrary: fc.constant({ do: 'sync' } as const) },
);

function openStep(): fc.Arbitrary<Step> {
  return fc.record({
    do: fc.constant('open' as const),
    window: fc.oneof(fc.constantFrom(0, 1, 2 ** 21, 2 ** 21, 2 ** 32 - 1), uint32),
    maxPacket: fc.oneof(
      fc.constantFrom(1024, 32_768, 2 ** 32 - 1),
      fc.integer({ min: 1024, max: 0xffffffff }),
    ),
  });
}

suite('messages pass unchanged', () => {
  before(async () => {
    place = await startHostilePlace(scope);
  });
  after(() => scope.end());

  test('random legal schedules of both sides', { timeout: 280_000 }, async (t) => {
    const { seed } = seeded('message schedules');
    let messages = 0;
    const runs = rounds(2000, 60);
    await fc.assert(
      fc.asyncProperty(
        openStep(),
        fc.array(step, { minLength: 10, maxLength: 80, size: 'max' }),
        async (first, rest) => {
          messages += await assertUnchanged(t, 'schedule', [first, ...rest]);
        },
      ),
      { seed, numRuns: runs, endOnFailure: true },
    );
    figure({
      scenario: 'transparent',
      what: 'random message schedules',
      pass: 'all equal',
      measured: `${runs} schedules, ${messages} messages`,
      ok: true,
    });
    console.log(`${runs} schedules, ${messages} messages equal`);
  });

  test('end of file, close, exit status, exit signal and data in all 120 orders', async (t) => {
    const items: readonly ((by: SideName) => Step)[] = [
      (by) => ({ do: 'eof', by, channel: 0 }),
      (by) => ({ do: 'close', by, channel: 0 }),
      (by) => {
        const data = exitStatusField(3);
        return { do: 'request', by, channel: 0, type: 'exit-status', wantReply: false, data };
      },
      (by) => {
        const data = exitSignalField('SIG@openssh.com', true, 'x'.repeat(8192));
        return { do: 'request', by, channel: 0, type: 'exit-signal', wantReply: false, data };
      },
      (by) => ({ do: 'data', by, channel: 0, data: Buffer.from('last words') }),
    ];
    const orders = permutations([0, 1, 2, 3, 4]);
    assert.equal(orders.length, 120);
    // One connection each way for all of them, so that channel numbers are used again.
    const seen: string[][][] = [];
    for (const gated of [false, true]) {
      const { client, target } = await pair(t, gated);
      const lists: string[][] = [];
      for (const by of SIDES) {
        for (const order of orders) {
          const steps: Step[] = [{ do: 'open', window: 2 ** 21, maxPacket: 32_768 }];
          for (const item of order) steps.push(items[item]?.(by) ?? { do: 'sync' });
          const received = await new Player(client, target, true).play(steps);
          const other = by === 'client' ? received.target : received.client;
          // The open or its confirmation, the five items, and the mark at the end.
          assert.equal(other.length, 7, `${by} ${order.join('')}`);
          lists.push(received.client.map(comparable), received.target.map(comparable));
        }
      }
      seen.push(lists);
    }
    assert.deepEqual(seen[1], seen[0]);
  });

  test('signals that nobody has defined, with messages of 8 KiB, and commands of any bytes', async (t) => {
    const names = [
      'BUS',
      'RTMIN+3',
      'SIG@openssh.com',
      '',
      'x'.repeat(4000),
      Buffer.from([0, 255, 254]),
    ];
    const command = Buffer.from(Array.from({ length: 30_000 }, (_, i) => i % 256));
    const steps: Step[] = [{ do: 'open', window: 2 ** 21, maxPacket: 32_768 }];
    const request = (by: SideName, type: string, data: Buffer): void => {
      steps.push({ do: 'request', by, channel: 0, type, wantReply: true, data });
    };
    request('client', 'exec', stringField(command));
    request('client', 'env', Buffer.concat([stringField('LD_PRELOAD'), stringField(command)]));
    request('client', 'pty-req', ptyField('\u00ff', command));
    for (const name of names) {
      request('target', 'exit-signal', exitSignalField(name, true, Buffer.alloc(8192, 0xc3)));
      request('client', 'signal', stringField(name));
    }
    await assertUnchanged(t, 'signals', steps);
  });

  test('windows adjusted byte by byte and up to 2^32-1 in all', async (t) => {
    const steps: Step[] = [{ do: 'open', window: 0, maxPacket: 2 ** 32 - 1 }];
    for (const by of SIDES) {
      for (let i = 0; i < 300; i++) steps.push({ do: 'adjust', by, channel: 0, amount: 1 });
      steps.push({ do: 'adjust', by, channel: 0, amount: 2 ** 31 });
      steps.push({ do: 'adjust', by, channel: 0, amount: 2 ** 32 - 1 });
    }
    await assertUnchanged(t, 'adjusts', steps);
  });

  test('what the gate answers itself takes its place among the answers of the target', async (t) => {
    const second = await pair(t, true);
    const opened = openRaw(second.client, { sender: 5 });
    const open = await second.target.next(MSG.channelOpen);
    const theirs = open.readUInt32BE(12);
    second.target.send(
      Buffer.concat([
        channelMessage(MSG.channelOpenConfirmation, theirs),
        Buffer.from('000000090020000000008000', 'hex'),
      ]),
    );
    const at = await opened;
    const ask = (type: string): void => {
      second.client.send(requestMessage(at, type, true));
    };
    // Three questions to the target with one for the gate between: the gate must wait for its turn.
    ask('first@sallyport.example');
    ask('x11-req');
    ask('keepalive@openssh.com');
    ask('second@sallyport.example');
    await second.target.next(MSG.channelRequest);
    await second.target.next(MSG.channelRequest);
    second.client.send(dataMessage(at, 'mark'));
    const mark = await second.target.next();
    assert.equal(mark[0], MSG.channelData, 'neither x11-req nor keepalive reached the target');
    assert.equal(second.client.received.filter(([type]) => (type ?? 0) >= 99).length, 0);
    second.target.send(channelMessage(MSG.channelSuccess, theirs));
    second.target.send(channelMessage(MSG.channelSuccess, theirs));
    const answers: (number | undefined)[] = [];
    for (let i = 0; i < 4; i++) answers.push((await second.client.next())[0]);
    assert.deepEqual(answers, [99, 100, 100, 99]);
    // The same among global requests.
    for (const type of ['a@sallyport.example', 'tcpip-forward', 'b@sallyport.example']) {
      second.client.send(globalMessage(type, true));
    }
    await second.target.next(MSG.globalRequest);
    await second.target.next(MSG.globalRequest);
    second.target.send(Buffer.from([MSG.requestSuccess, 1, 2, 3]));
    second.target.send(Buffer.from([MSG.requestSuccess]));
    const replies: string[] = [];
    for (let i = 0; i < 3; i++) replies.push((await second.client.next()).toString('hex'));
    assert.deepEqual(replies, ['51010203', '52', '51']);
  });
});

function permutations(items: readonly number[]): number[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((first) => {
    const rest = items.filter((item) => item !== first);
    return permutations(rest).map((tail) => [first, ...tail]);
  });
}
