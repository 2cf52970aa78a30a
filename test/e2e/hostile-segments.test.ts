/**
 * R35, R60: streams cut into single bytes and lumped into mebibytes arrive as they were sent, from both sides and under
 * every cipher; a single flipped bit ends the connection, and nothing of its packet passes.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { MSG } from '../../src/wire/messages.ts';
import { adjustMessage, dataMessage, execRaw, loginRaw } from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { rounds, seeded } from '../support/scale.ts';
import { ManualScope } from '../support/scope.ts';
import { Canary, rawSession, startHostilePlace } from './hostile-place.ts';
import type { HostilePlace } from './hostile-place.ts';

const scope = new ManualScope();
let place: HostilePlace;
let canary: Canary;

const CIPHERS = ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr'] as const;

/** Collects channel data until there is so much of it. */
async function collect(peer: RawPeer, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let have = 0; have < bytes;) {
    const message = await peer.next(MSG.channelData);
    parts.push(message.subarray(9));
    have += message.length - 9;
  }
  return Buffer.concat(parts);
}

/** Sends bytes as channel data, in pieces of different sizes. */
function sendAll(peer: RawPeer, channel: number, bytes: Buffer, random: () => number): void {
  for (let at = 0; at < bytes.length;) {
    const piece = bytes.subarray(at, at + random());
    peer.send(dataMessage(channel, piece));
    at += piece.length;
  }
}

suite('segments', () => {
  before(async () => {
    place = await startHostilePlace(scope, { log: { level: 'warn' } });
    canary = await Canary.start(scope, place);
  });
  after(() => scope.end());

  for (const cipher of CIPHERS) {
    test(`one byte at a time from the user, ${cipher}, from the first byte to the last`, async () => {
      await canary.undisturbed(`user in bytes, ${cipher}`, async (of) => {
        const options = { segments: 'bytes', algorithms: { cipher: [cipher] } } as const;
        const user = await loginRaw(of, place.real, options);
        const channel = await execRaw(user, 'cat');
        const bytes = randomBytes(rounds(20_000, 3_000));
        sendAll(user, channel, bytes, () => 700);
        assert.ok((await collect(user, bytes.length)).equals(bytes));
      });
    });

    test(`one byte at a time from the target, ${cipher}`, async () => {
      await canary.undisturbed(`target in bytes, ${cipher}`, async (of) => {
        place.raw.behaviour = { options: { segments: 'bytes', algorithms: { cipher: [cipher] } } };
        const { user, target, up, down } = await rawSession(of, place);
        const bytes = randomBytes(rounds(20_000, 3_000));
        sendAll(target, down, bytes, () => 700);
        assert.ok((await collect(user, bytes.length)).equals(bytes));
        user.send(dataMessage(up, bytes.subarray(0, 1000)));
        assert.ok((await collect(target, 1000)).equals(bytes.subarray(0, 1000)));
        user.destroy();
      });
      place.raw.behaviour = {};
    });

    test(`lumps of 1 MiB from both sides, ${cipher}`, async () => {
      const random = seeded('lumps');
      await canary.undisturbed(`lumps, ${cipher}`, async (of) => {
        place.raw.behaviour = { options: { algorithms: { cipher: [cipher] } } };
        const window = 2 ** 31;
        const { user, target, up, down } = await rawSession(of, place, window);
        const bytes = randomBytes(8 * 2 ** 20);
        const directions = [
          { from: user, to: target, channel: up },
          { from: target, to: user, channel: down },
        ];
        for (const { from, to, channel } of directions) {
          from.segments = { lump: 2 ** 20 };
          sendAll(from, channel, bytes, () => random.int(1, 32_000));
          from.flush();
          from.segments = 'natural';
          assert.ok((await collect(to, bytes.length)).equals(bytes));
        }
      });
      place.raw.behaviour = {};
    });

    test(`a flipped bit is never accepted, ${cipher}`, async () => {
      const random = seeded('flipped bits');
      await canary.undisturbed(`flipped bits, ${cipher}`, async (of) => {
        place.raw.behaviour = { options: { algorithms: { cipher: [cipher] } } };
        for (let i = 0; i < rounds(1000, 16); i++) {
          const { user, target, up, down } = await rawSession(of, place);
          const [bad, good] = i % 2 === 0 ? [user, target] : [target, user];
          bad.mutate = (packet) => {
            const bit = random.int(0, packet.length * 8 - 1);
            packet.writeUInt8(packet.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
            return packet;
          };
          const channel = bad === user ? up : down;
          bad.send(dataMessage(channel, 'x'.repeat(random.int(0, 300))));
          // A length that has grown would otherwise wait for the rest of its packet.
          for (let more = 0; more < 200; more++) bad.send(adjustMessage(channel, 1));
          for (let more = 0; more < 5; more++) bad.send(dataMessage(channel, Buffer.alloc(8_000)));
          await bad.end(5_000);
          await good.end(5_000);
          const passed = good.received.filter(([type]) => (type ?? 0) >= MSG.channelWindowAdjust);
          assert.equal(passed.length, 0, `bit of packet ${i}`);
          user.destroy();
          target.destroy();
        }
      });
      place.raw.behaviour = {};
    });
  }
});
