/**
 * The forwards of one connection (RFC 4254 sections 6.3 and 7, OpenSSH's PROTOCOL): which ones a rule allows, and what the
 * target may therefore open. A target opens nothing of its own accord: a `forwarded-*` channel only for an address where
 * the user had it listen, `x11` only for a session that asked for it and is still there, `auth-agent` only when the user
 * has offered his agent; and each only once the target has said yes. Nothing here is on the path of data.
 */
import { allowsForward } from '../access/policy.ts';
import type { Destination, ForwardWish } from '../access/policy.ts';
import type { ChannelKind } from '../config/channel-kinds.ts';
import { MSG } from '../wire/messages.ts';
import type { ChannelOpen } from '../wire/messages.ts';
import { printable } from '../wire/channel-request.ts';
import {
  addressText,
  decodeChosenPort,
  decodeForwardOpen,
  decodeListenRequest,
  decodeX11Request,
} from '../wire/forwarding.ts';
import type { ForwardAddress, ListenRequest, ListenType } from '../wire/forwarding.ts';
import { DOWN, UP } from './mux.ts';
import type { Channel, Side } from './mux.ts';

/** What a channel forwards, once it may. */
export interface Forwarding {
  readonly kind: ChannelKind;
  /** For people, escaped: where it leads or, for what the target opens, where that was connected to. */
  readonly destination: string;
  readonly originator: string;
  /** Whether it may carry SSH. */
  readonly nested: boolean;
}

/** What a session asks for that lets the target open channels. */
export type SessionWish =
  { readonly kind: 'agent' } | { readonly kind: 'x11'; readonly single: boolean };

/** Hears the target's answer to a request. */
export type Settle = (reply: Buffer) => void;

interface ForwardType {
  readonly kind: ChannelKind;
  readonly opener: Side;
}

const TYPES: ReadonlyMap<string, ForwardType> = new Map<string, ForwardType>([
  ['direct-tcpip', { kind: 'local-forward', opener: DOWN }],
  ['direct-streamlocal@openssh.com', { kind: 'streamlocal', opener: DOWN }],
  ['tun@openssh.com', { kind: 'tun', opener: DOWN }],
  ['forwarded-tcpip', { kind: 'remote-forward', opener: UP }],
  ['forwarded-streamlocal@openssh.com', { kind: 'streamlocal', opener: UP }],
  ['x11', { kind: 'x11', opener: UP }],
  ['auth-agent@openssh.com', { kind: 'agent', opener: UP }],
]);

/** An address where the target listens, or has been asked to. */
interface Listening {
  at: ForwardAddress;
  live: boolean;
}

function same(a: ForwardAddress, b: ForwardAddress): boolean {
  if (a.kind === 'unix') return b.kind === 'unix' && a.path === b.path;
  return b.kind === 'tcp' && a.host === b.host && a.port === b.port;
}

/** For people and rows. */
function shown(address: ForwardAddress | undefined): string {
  return address === undefined ? '' : printable(Buffer.from(addressText(address), 'latin1'));
}

function accepted(reply: Buffer): boolean {
  return reply[0] === MSG.requestSuccess || reply[0] === MSG.channelSuccess;
}

export class Forwards {
  readonly #where: () => Destination | undefined;
  readonly #limit: number;
  readonly #listening: Listening[] = [];
  /** Sessions with X11; for one of a single connection only until that has come. */
  readonly #x11 = new Map<Channel, { readonly single: boolean }>();
  #agent = false;

  /** `limit` is how many addresses the target may listen at, those it has yet to agree to included. */
  constructor(where: () => Destination | undefined, limit: number) {
    this.#where = where;
    this.#limit = limit;
  }

  /** Asked anew each time: who named no target may choose one later. */
  get #destination(): Destination | undefined {
    return this.#where();
  }

  /** Addresses where the target listens or was asked to. */
  get listening(): number {
    return this.#listening.length;
  }

  /** Judges a channel other than a session that `side` wants to open: what it forwards, or why it may not. */
  judgeOpen(side: Side, open: ChannelOpen): Forwarding | string {
    const type = TYPES.get(open.type);
    if (type?.opener !== side) {
      if (side === UP) return 'the target may not open channels of its own accord';
      return `channels of type "${printable(Buffer.from(open.type, 'latin1'))}" are not allowed`;
    }
    const { kind } = type;
    // What no rule names is refused without a look at what is in it.
    if (!this.#allowsKind(kind)) return `no rule allows ${kind}`;
    const { to, from } = decodeForwardOpen(open.type, open.data);
    const wish: ForwardWish = { kind, to: side === DOWN ? to : undefined };
    if (!allowsForward(this.#destination, wish)) return refusalText(wish);
    if (side === UP && !this.#expected(kind, to)) {
      return 'the target may not open channels that nobody asked for';
    }
    return {
      kind,
      destination: shown(to),
      originator: shown(from),
      nested: allowsForward(this.#destination, wish, true),
    };
  }

  #allowsKind(kind: ChannelKind): boolean {
    return allowsForward(this.#destination, { kind, to: undefined });
  }

  /** Whether the user's side has asked for what the target opens, and the target has agreed. */
  #expected(kind: ChannelKind, at: ForwardAddress | undefined): boolean {
    if (kind === 'agent') return this.#agent;
    if (kind === 'x11') return this.#takeX11();
    return at !== undefined && this.#listening.some((one) => one.live && same(one.at, at));
  }

  #takeX11(): boolean {
    for (const [channel, { single }] of this.#x11) {
      if (channel.state !== 'open') {
        this.#x11.delete(channel);
        continue;
      }
      if (single) this.#x11.delete(channel);
      return true;
    }
    return false;
  }

  /** Judges a request to listen at the target, or to end that: what it asks, or why it may not pass. */
  judgeListen(type: ListenType, data: Buffer, wantReply: boolean): ListenRequest | string {
    const kind = type.includes('tcpip') ? 'remote-forward' : 'streamlocal';
    if (!this.#allowsKind(kind)) return `no rule allows ${kind}`;
    const request = decodeListenRequest(type, data);
    return this.#whyNotListen(kind, request, wantReply) ?? request;
  }

  #whyNotListen(
    kind: ChannelKind,
    { cancel, at }: ListenRequest,
    wantReply: boolean,
  ): string | undefined {
    // A path is judged whichever way it is used; a rule has no other word for where sockets may be made.
    const wish: ForwardWish = { kind, to: at.kind === 'tcp' ? undefined : at };
    if (!allowsForward(this.#destination, wish)) return refusalText(wish);
    if (cancel) {
      return this.#find(at) ? undefined : `nothing listens at ${shown(at)}`;
    }
    if (at.kind === 'tcp' && at.port === 0 && !wantReply) {
      return 'nobody would learn which port it is';
    }
    return this.#listening.length < this.#limit ? undefined : 'too many forwards';
  }

  #find(at: ForwardAddress): Listening | undefined {
    return (
      this.#listening.find((one) => one.live && same(one.at, at)) ??
      this.#listening.find((one) => same(one.at, at))
    );
  }

  #remove(one: Listening | undefined): void {
    const index = one === undefined ? -1 : this.#listening.indexOf(one);
    if (index >= 0) this.#listening.splice(index, 1);
  }

  /** A request to listen, or to end that, was passed on; gives who is to hear the answer, if there will be one. */
  asked({ cancel, at }: ListenRequest, wantReply: boolean): Settle | undefined {
    if (cancel) {
      if (wantReply)
        return (reply) => {
          if (accepted(reply)) this.#remove(this.#find(at));
        };
      this.#remove(this.#find(at));
      return undefined;
    }
    const one: Listening = { at, live: !wantReply };
    this.#listening.push(one);
    if (!wantReply) return undefined;
    return (reply) => {
      if (!accepted(reply)) {
        this.#remove(one);
        return;
      }
      if (at.kind === 'tcp' && at.port === 0) one.at = { ...at, port: decodeChosenPort(reply) };
      one.live = true;
    };
  }

  /** Judges what a session asks for: what it is, or why it may not pass. */
  judgeSession(kind: SessionWish['kind'], data: Buffer): SessionWish | string {
    if (!this.#allowsKind(kind)) return `no rule allows ${kind}`;
    return kind === 'agent' ? { kind } : { kind, single: decodeX11Request(data).single };
  }

  /** What a session asked for was passed on; gives who is to hear the answer, if there will be one. */
  offered(channel: Channel, wish: SessionWish, wantReply: boolean): Settle | undefined {
    const grant = (): void => {
      // As in OpenSSH, the agent is offered to the connection: what runs on in the background may ask for it.
      if (wish.kind === 'agent') this.#agent = true;
      else this.#x11.set(channel, { single: wish.single });
    };
    if (wantReply) {
      return (reply) => {
        if (accepted(reply)) grant();
      };
    }
    grant();
    return undefined;
  }

  /** A channel is over, and with it what it had asked for. */
  ended(channel: Channel): void {
    this.#x11.delete(channel);
  }
}

function refusalText({ kind, to }: ForwardWish): string {
  return `no rule allows ${kind} to ${shown(to)}`;
}
