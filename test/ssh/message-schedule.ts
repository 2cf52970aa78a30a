/**
 * What a raw client and a raw target say to each other, as a schedule: who sends which message, in one order for both.
 * A schedule is made legal while it is played: a channel must be open, data must fit the window, a reply must answer
 * something. Since each side sends in a fixed order, what each side receives is fixed too, whatever lies between them.
 */
import { Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import {
  adjustMessage,
  channelMessage,
  confirmMessage,
  dataMessage,
  globalMessage,
  openMessage,
  requestMessage,
} from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';

export type SideName = 'client' | 'target';

/** One wish of a schedule; what cannot be done legally at its turn is left out. `channel` is taken modulo those open. */
export type Step =
  | { readonly do: 'open'; readonly window: number; readonly maxPacket: number }
  | {
      readonly do: 'request';
      readonly by: SideName;
      readonly channel: number;
      readonly type: string;
      readonly wantReply: boolean;
      readonly data: Buffer;
    }
  | {
      readonly do: 'global';
      readonly by: SideName;
      readonly type: string;
      readonly wantReply: boolean;
      readonly data: Buffer;
    }
  /** Answers the oldest question that `by` has been asked. */
  | { readonly do: 'reply'; readonly by: SideName; readonly channel: number; readonly yes: boolean }
  | {
      readonly do: 'globalReply';
      readonly by: SideName;
      readonly yes: boolean;
      readonly data: Buffer;
    }
  | {
      readonly do: 'data';
      readonly by: SideName;
      readonly channel: number;
      readonly data: Buffer;
      readonly code?: number | undefined;
    }
  | {
      readonly do: 'adjust';
      readonly by: SideName;
      readonly channel: number;
      readonly amount: number;
    }
  | { readonly do: 'eof'; readonly by: SideName; readonly channel: number }
  | { readonly do: 'close'; readonly by: SideName; readonly channel: number }
  /** Waits until everything sent has arrived. */
  | { readonly do: 'sync' };

interface End {
  /** The number the other side gave the channel: what we address it by. */
  readonly at: number;
  window: number;
  /** What the other side may be given in all, so that no window grows beyond 2^32-1. */
  room: number;
  eof: boolean;
  closed: boolean;
  /** Questions this side has yet to answer. */
  owes: number;
}

type Ends = Record<SideName, End>;

const MAX_WINDOW = 2 ** 32 - 1;
const EMPTY: Buffer = Buffer.alloc(0);
const DONE = 'done@sallyport.example';

function otherOf(side: SideName): SideName {
  return side === 'client' ? 'target' : 'client';
}

export class Player {
  readonly #peers: Record<SideName, RawPeer>;
  readonly #sent: Record<SideName, number> = { client: 0, target: 0 };
  /** What each side had received before this schedule. */
  readonly #from: Record<SideName, number>;
  readonly #channels: Ends[] = [];
  readonly #owes: Record<SideName, number> = { client: 0, target: 0 };
  #opened = 0;

  /** Whether messages may also follow an EOF or a CLOSE of the same side. */
  readonly #sloppy: boolean;

  constructor(client: RawPeer, target: RawPeer, sloppy = false) {
    this.#sloppy = sloppy;
    this.#peers = { client, target };
    this.#from = { client: client.received.length, target: target.received.length };
  }

  /** Plays a schedule to its end, with everything answered and closed; returns what each side has received. */
  async play(steps: readonly Step[]): Promise<Record<SideName, Buffer[]>> {
    for (const step of steps) await this.#step(step);
    await this.#finish();
    const { client, target } = this.#peers;
    return {
      client: client.received.slice(this.#from.client),
      target: target.received.slice(this.#from.target),
    };
  }

  #send(by: SideName, message: Buffer): void {
    this.#sent[by]++;
    this.#peers[by].send(message);
  }

  async #sync(): Promise<void> {
    for (const by of ['client', 'target'] as const) {
      const to = otherOf(by);
      const peer = this.#peers[to];
      const count = this.#from[to] + this.#sent[by];
      await peer.until(
        () => peer.received.length >= count,
        `message ${count} at the ${to}`,
        10_000,
      );
    }
  }

  #channel(index: number): Ends | undefined {
    const open = this.#channels.filter((ends) => !ends.client.closed || !ends.target.closed);
    return open[index % Math.max(1, open.length)];
  }

  async #open({ window, maxPacket }: { window: number; maxPacket: number }): Promise<void> {
    const open = this.#channels.filter((ends) => !ends.client.closed || !ends.target.closed);
    if (open.length >= 5) return;
    const sender = 1000 + this.#opened;
    const theirs = 70_000 + 3 * this.#opened++;
    this.#send('client', openMessage({ sender, window, maxPacket }));
    await this.#sync();
    const opened: Buffer = this.#peers.target.received.at(-1) ?? EMPTY;
    const at = opened.readUInt32BE(5 + 'session'.length);
    this.#send('target', confirmMessage(at, { sender: theirs, window, maxPacket }));
    await this.#sync();
    const confirmed: Buffer = this.#peers.client.received.at(-1) ?? EMPTY;
    const room = MAX_WINDOW - window;
    const end = { window, room, eof: false, closed: false, owes: 0 };
    this.#channels.push({
      client: { ...end, at: confirmed.readUInt32BE(5) },
      target: { ...end, at },
    });
  }

  async #step(step: Step): Promise<void> {
    switch (step.do) {
      case 'open':
        await this.#open(step);
        return;
      case 'sync':
        await this.#sync();
        return;
      case 'global':
        this.#send(step.by, globalMessage(step.type, step.wantReply, step.data));
        if (step.wantReply) this.#owes[otherOf(step.by)]++;
        return;
      case 'globalReply':
        if (this.#owes[step.by] === 0) return;
        await this.#sync();
        this.#owes[step.by]--;
        this.#send(
          step.by,
          step.yes
            ? Buffer.concat([Buffer.from([MSG.requestSuccess]), step.data])
            : Buffer.from([MSG.requestFailure]),
        );
        return;
      case 'request':
      case 'reply':
      case 'data':
      case 'adjust':
      case 'eof':
      case 'close': {
        const ends = this.#channel(step.channel);
        if (ends && (this.#sloppy || !ends[step.by].closed)) await this.#onChannel(step, ends);
      }
    }
  }

  async #onChannel(
    step: Exclude<Step, { do: 'open' | 'sync' | 'global' | 'globalReply' }>,
    ends: Ends,
  ): Promise<void> {
    const mine = ends[step.by];
    const theirs = ends[otherOf(step.by)];
    switch (step.do) {
      case 'request':
        this.#send(step.by, requestMessage(mine.at, step.type, step.wantReply, step.data));
        if (step.wantReply) theirs.owes++;
        return;
      case 'reply':
        if (mine.owes === 0) return;
        await this.#sync();
        mine.owes--;
        this.#send(
          step.by,
          channelMessage(step.yes ? MSG.channelSuccess : MSG.channelFailure, mine.at),
        );
        return;
      case 'data':
        if ((mine.eof && !this.#sloppy) || step.data.length > mine.window) return;
        mine.window -= step.data.length;
        this.#send(step.by, dataMessage(mine.at, step.data, step.code));
        return;
      case 'adjust': {
        const amount = Math.min(step.amount, theirs.room);
        if (amount === 0) return;
        theirs.room -= amount;
        this.#send(step.by, adjustMessage(mine.at, amount));
        return;
      }
      case 'eof':
        mine.eof = true;
        this.#send(step.by, channelMessage(MSG.channelEof, mine.at));
        return;
      case 'close':
        mine.closed = true;
        this.#send(step.by, channelMessage(MSG.channelClose, mine.at));
        // The other side must see it before it may forget the number.
        if (theirs.closed) await this.#sync();
    }
  }

  async #finish(): Promise<void> {
    for (const by of ['client', 'target'] as const) {
      while (this.#owes[by] > 0) {
        await this.#step({ do: 'globalReply', by, yes: false, data: EMPTY });
      }
    }
    for (const ends of this.#channels) {
      for (const by of ['client', 'target'] as const) {
        if (ends[by].closed) continue;
        await this.#sync();
        for (; ends[by].owes > 0; ends[by].owes--) {
          this.#send(by, channelMessage(MSG.channelFailure, ends[by].at));
        }
        this.#send(by, channelMessage(MSG.channelClose, ends[by].at));
        ends[by].closed = true;
      }
    }
    for (const by of ['client', 'target'] as const) {
      this.#send(by, globalMessage(DONE, false));
    }
    await this.#sync();
  }
}

/**
 * A message as it must be on both ways: without the sender's channel number of OPEN and CONFIRMATION, and with the
 * largest packet no larger than what the gate lets pass.
 */
export function comparable(payload: Buffer): string {
  const copy = Buffer.from(payload);
  const cap = (at: number): void => {
    copy.writeUInt32BE(0, at - 8);
    copy.writeUInt32BE(Math.min(32_768, copy.readUInt32BE(at)), at);
  };
  if (copy[0] === MSG.channelOpen) cap(5 + copy.readUInt32BE(1) + 8);
  if (copy[0] === MSG.channelOpenConfirmation) cap(13);
  const hex =
    copy.length > 64 ? `${copy.toString('hex', 0, 64)}..${hash(copy)}` : copy.toString('hex');
  return `${copy[0] ?? 'empty'} ${hex}`;
}

function hash(bytes: Buffer): string {
  let value = 0;
  for (const byte of bytes) value = (Math.imul(value, 31) + byte) >>> 0;
  return `${bytes.length}:${value.toString(16)}`;
}

/** The fields of a request that is a single string. */
export function stringField(value: Buffer | string): Buffer {
  return new Writer().string(value).done();
}

/** `pty-req` (RFC 4254 section 6.2). */
export function ptyField(term: string, modes: Buffer): Buffer {
  return new Writer()
    .string(term)
    .uint32(80)
    .uint32(24)
    .uint32(640)
    .uint32(480)
    .string(modes)
    .done();
}

/** `exit-signal` (RFC 4254 section 6.10). */
export function exitSignalField(
  name: Buffer | string,
  core: boolean,
  message: Buffer | string,
): Buffer {
  return new Writer().string(name).boolean(core).string(message).string('en').done();
}

export function exitStatusField(status: number): Buffer {
  return new Writer().uint32(status).done();
}
