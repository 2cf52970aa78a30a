/**
 * The joint between the list and a target that is not kind: windows of a few bytes, small packets, a refusal, and users
 * who send more than they may. Nobody gets more than he has granted, and not a byte is lost.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Reader, Writer } from '../../src/wire/buffer.ts';
import { MSG, encodeOpenFailure } from '../../src/wire/messages.ts';
import { eventually } from '../support/eventually.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import {
  adjustMessage,
  channelMessage,
  confirmMessage,
  dataMessage,
  globalMessage,
  loginRaw,
  openMessage,
  requestMessage,
} from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { startHostilePlace } from './hostile-place.ts';
import type { HostilePlace } from './hostile-place.ts';

const PTY = new Writer()
  .string('vt220')
  .uint32(80)
  .uint32(24)
  .uint32(0)
  .uint32(0)
  .string('')
  .done();
const LANG = new Writer().string('LANG').string('C').done();

interface Prompted {
  readonly peer: RawPeer;
  /** The gate's number of the channel. */
  readonly at: number;
  readonly credit: number;
}

/** Somebody before the list, with a window of his own of so many bytes. */
async function prompted(scope: Scope, place: HostilePlace, window: number): Promise<Prompted> {
  const peer = await loginRaw(scope, { ...place.real, user: 'alice' });
  peer.send(openMessage({ sender: 7, window }));
  const confirmation = new Reader(await peer.next(MSG.channelOpenConfirmation), 5);
  const at = confirmation.uint32();
  const credit = confirmation.uint32();
  peer.send(requestMessage(at, 'pty-req', true, PTY));
  peer.send(requestMessage(at, 'env', false, LANG));
  peer.send(requestMessage(at, 'shell', true));
  await peer.next(MSG.channelSuccess);
  await peer.next(MSG.channelSuccess);
  return { peer, at, credit };
}

/** The type of a channel request. */
function typeOf(payload: Buffer): string {
  return new Reader(payload, 5).name();
}

suite('splice', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let place: HostilePlace;

  before(async () => {
    place = await startHostilePlace(scope);
  });

  test('a target that grants a few bytes at a time gets all that was typed ahead, and no byte more', async (t) => {
    const { peer, at, credit } = await prompted(t, place, 2 ** 20);
    const choice = 'raw\r';
    const ahead = Buffer.alloc(credit - choice.length, 'typed ahead ');
    peer.send(dataMessage(at, Buffer.concat([Buffer.from(choice), ahead.subarray(0, 20_000)])));
    peer.send(dataMessage(at, ahead.subarray(20_000)));
    const target = await place.raw.next();
    const open = new Reader(await target.next(MSG.channelOpen), 1);
    assert.equal(open.name(), 'session');
    const theirs = open.uint32();
    assert.ok(open.uint32() < 2 ** 20, 'what the gate has shown is not taken off the window');
    let granted = 5;
    let total = granted;
    target.send(confirmMessage(theirs, { sender: 9, window: granted, maxPacket: 1024 }));
    // In the order of asking, each with what it had.
    const pty = await target.next(MSG.channelRequest);
    assert.ok(pty.subarray(5).equals(requestMessage(0, 'pty-req', true, PTY).subarray(5)));
    assert.equal(typeOf(await target.next(MSG.channelRequest)), 'env');
    assert.equal(typeOf(await target.next(MSG.channelRequest)), 'shell');
    target.send(channelMessage(MSG.channelSuccess, theirs));
    target.send(channelMessage(MSG.channelSuccess, theirs));
    const parts: Buffer[] = [];
    let length = 0;
    for (let grant = 1; length < ahead.length; grant = (grant * 3) % 2000) {
      while (granted > 0 && length < ahead.length) {
        const data = (await target.next(MSG.channelData)).subarray(9);
        assert.ok(data.length <= Math.min(granted, 1024), `${data.length} of ${granted} granted`);
        granted -= data.length;
        length += data.length;
        parts.push(data);
      }
      granted += grant;
      total += grant;
      target.send(adjustMessage(theirs, grant));
    }
    assert.ok(Buffer.concat(parts).equals(ahead));
    // Replies that were given already are swallowed; only what exceeds our own grants is passed on.
    total += 100_000;
    target.send(adjustMessage(theirs, 100_000));
    // In all the user may send what he typed at the prompt, and exactly what the target grants.
    const allowed = (): number =>
      peer.received
        .filter(([type]) => type === MSG.channelWindowAdjust)
        .reduce((sum, adjust) => sum + adjust.readUInt32BE(5), credit);
    await eventually('the grant', () => allowed() >= choice.length + total);
    assert.equal(allowed(), choice.length + total);
    const replies = peer.received.filter(([type]) => type === MSG.channelSuccess);
    assert.equal(replies.length, 2, 'the replies of the target reached the user');
    peer.send(dataMessage(at, 'x'.repeat(5000)));
    for (let seen = 0; seen < 5000;) {
      seen += (await target.next(MSG.channelData)).subarray(9).length;
    }
    target.send(dataMessage(theirs, 'answer'));
    await eventually('the answer', () =>
      peer.received.some((payload) => payload[0] === MSG.channelData && payload.includes('answer')),
    );
  });

  test('what stands behind the typed bytes comes behind them: a resize, EOF and CLOSE', async (t) => {
    const { peer, at } = await prompted(t, place, 2 ** 20);
    // As OpenSSH says it in its first session: sshd ends who opens one after that.
    peer.send(globalMessage('no-more-sessions@openssh.com', false));
    peer.send(dataMessage(at, 'raw\rlast words'));
    const resize = new Writer().uint32(99).uint32(44).uint32(0).uint32(0).done();
    peer.send(requestMessage(at, 'window-change', false, resize));
    peer.send(channelMessage(MSG.channelEof, at));
    const target = await place.raw.next();
    const open = await target.next();
    assert.equal(open[0], MSG.channelOpen);
    const said = new Reader(await target.next(), 1);
    assert.equal(said.name(), 'no-more-sessions@openssh.com');
    const theirs = new Reader(open, 1 + 4 + 7).uint32();
    peer.send(channelMessage(MSG.channelClose, at));
    target.send(confirmMessage(theirs, { sender: 9 }));
    const order: string[] = [];
    for (let i = 0; i < 7; i++) {
      const payload = await target.next();
      order.push(payload[0] === MSG.channelRequest ? typeOf(payload) : String(payload[0]));
    }
    assert.deepEqual(
      order.filter((one) => one !== 'window-change'),
      [
        'pty-req',
        'env',
        'shell',
        String(MSG.channelData),
        String(MSG.channelEof),
        String(MSG.channelClose),
      ],
    );
    assert.ok(order.includes('window-change'));
  });

  test('a target that refuses the session, or its shell, is told of in the terminal', async (t) => {
    for (const how of ['open', 'shell'] as const) {
      const { peer, at } = await prompted(t, place, 2 ** 20);
      peer.send(dataMessage(at, 'raw\r'));
      const target = await place.raw.next();
      const theirs = new Reader(await target.next(MSG.channelOpen), 1 + 4 + 7).uint32();
      if (how === 'open') target.send(encodeOpenFailure(theirs, 4, 'full\u001b[2J'));
      else {
        target.send(confirmMessage(theirs, { sender: 9 }));
        target.send(channelMessage(MSG.channelSuccess, theirs));
        target.send(channelMessage(MSG.channelFailure, theirs));
      }
      const text: string[] = [];
      for (;;) {
        const payload = await peer.next();
        if (payload[0] === MSG.channelClose) break;
        if (payload[0] === MSG.channelData) text.push(payload.toString('latin1', 9));
      }
      const all = text.join('');
      const said = all.slice(all.lastIndexOf('the target '));
      assert.match(said, how === 'open' ? /refuses the session: full\\x1b/ : /gives no shell/);
      assert.ok(!said.includes('\u001b'));
    }
  });

  test('a target that cannot be reached is named, and the row says so', async (t) => {
    const { peer, at } = await prompted(t, place, 2 ** 20);
    peer.send(dataMessage(at, 'gone\r'));
    const text: string[] = [];
    for (;;) {
      const payload = await peer.next();
      if (payload[0] === MSG.channelClose) break;
      if (payload[0] === MSG.channelData) text.push(payload.toString('latin1', 9));
    }
    assert.match(text.join(''), /gone \(127\.0\.0\.1:\d+\) cannot be reached/);
    peer.destroy();
    const row = await eventually('its row', async () => {
      const [newest] = await place.gate.connections();
      return newest?.['target'] === 'gone' && newest['status'] === 'DISCONNECTED'
        ? newest
        : undefined;
    });
    assert.match(String(row['reason']), /cannot be reached/);
  });

  test('who sends more than he was granted before there is a target is disconnected', async (t) => {
    const { peer, at, credit } = await prompted(t, place, 2 ** 20);
    for (let sent = 0; sent <= credit * 2; sent += 8192)
      peer.send(dataMessage(at, Buffer.alloc(8192)));
    await eventually('the end', () => peer.disconnected !== undefined || peer.closed);
    assert.match(peer.disconnected ?? '', /more data than the window allows/);
  });

  test('who takes nothing of what is shown is waited for, within bounds', async (t) => {
    const { peer, at } = await prompted(t, place, 0);
    peer.send(dataMessage(at, 'raw\r'));
    peer.send(adjustMessage(at, 2 ** 20));
    const target = await place.raw.next();
    await target.next(MSG.channelOpen);
  });
});
