/**
 * What may pass on a connection, by the rules that allow it: one synchronous answer per open, request and global
 * request. Channels and forwards that no rule names are refused (`forwards.ts`); requests that nobody has defined pass if their names
 * are printable, since they are recorded byte for byte and mean nothing to the gate.
 */
import { printable } from '../wire/channel-request.ts';
import type { AppError } from '../base/errors.ts';
import { CODES } from '../recording/container.ts';
import { Reader } from '../wire/buffer.ts';
import { OPEN_FAILURE } from '../wire/messages.ts';
import type { ChannelOpen, ChannelRequest, GlobalRequest } from '../wire/messages.ts';
import { isListenType } from '../wire/forwarding.ts';
import type { ListenRequest } from '../wire/forwarding.ts';
import { allowsChannel } from '../access/policy.ts';
import type { Destination } from '../access/policy.ts';
import { kindOfExec, kindOfSubsystem } from '../access/channel-kind.ts';
import type { ChannelKind } from '../config/channel-kinds.ts';
import type { Forwarding, Forwards, SessionWish } from './forwards.ts';
import { DOWN } from './mux.ts';
import type { Side } from './mux.ts';

/**
 * - `pass`: on to the other side; `kind` and `command` where the request says what the channel is
 * - `refuse`: answered by the gate with a failure, recorded, never passed
 * - `own`: concerns this leg alone; answered by the gate, as OpenSSH would
 */
export type Judgement =
  | Passed
  | { readonly verdict: 'refuse'; readonly why: string; readonly code: number }
  | { readonly verdict: 'own' };

export interface Passed {
  readonly verdict: 'pass';
  readonly kind?: string;
  readonly command?: string;
  /** What the target may open once it has agreed. */
  readonly wish?: SessionWish;
  readonly listen?: ListenRequest;
}

const PASS: Judgement = { verdict: 'pass' };
const OWN: Judgement = { verdict: 'own' };

function refuse(why: string, code: number = CODES.policy): Judgement {
  return { verdict: 'refuse', why, code };
}

/** Names are printable US-ASCII (RFC 4251 section 6): a target in C reads one with a NUL as what stands before it. */
const NAME = /^[\x21-\x7e]{0,255}$/;

/** Smaller packets would cost more in their making than they carry. */
export const MIN_PACKET = 1024;

/** Why a channel is not opened: for the peer, and for the record. */
export interface OpenRefusal {
  /** Of SSH_MSG_CHANNEL_OPEN_FAILURE. */
  readonly reason: number;
  readonly text: string;
  readonly code: number;
}

/** What becomes of an open: refused, or a session, or something that forwards. */
export type OpenJudgement =
  | { readonly verdict: 'refuse'; readonly refusal: OpenRefusal }
  | { readonly verdict: 'pass'; readonly forwarding: Forwarding | undefined };

/** A refusal by a rule, or by the absence of one. */
export function prohibited(text: string): OpenRefusal {
  return { reason: OPEN_FAILURE.administrativelyProhibited, text, code: CODES.policy };
}

/** Judges what every channel must hold to; undefined where it does. */
export function refusalOfSize(open: ChannelOpen, full: boolean): OpenRefusal | undefined {
  if (open.maxPacket < MIN_PACKET) return prohibited('packets below 1,024 bytes are not supported');
  if (full) {
    return { reason: OPEN_FAILURE.resourceShortage, text: 'too many channels', code: CODES.limit };
  }
  return undefined;
}

/** Judges a channel that `side` wants to open. `failed` says why there is no upstream. */
export function judgeOpen(
  side: Side,
  open: ChannelOpen,
  full: boolean,
  failed: AppError | undefined,
  forwards: Forwards,
): OpenJudgement {
  if (failed) {
    const denied = failed.code === 'not-allowed';
    const reason = denied ? OPEN_FAILURE.administrativelyProhibited : OPEN_FAILURE.connectFailed;
    const code = denied ? CODES.policy : CODES.upstream;
    return { verdict: 'refuse', refusal: { reason, text: failed.message, code } };
  }
  const refusal = refusalOfSize(open, full);
  if (refusal) return { verdict: 'refuse', refusal };
  if (side === DOWN && open.type === 'session') return { verdict: 'pass', forwarding: undefined };
  const forwarding = forwards.judgeOpen(side, open);
  if (typeof forwarding !== 'string') return { verdict: 'pass', forwarding };
  return { verdict: 'refuse', refusal: prohibited(forwarding) };
}

/** Judges a request on a channel. */
export function judgeRequest(
  side: Side,
  { type, data }: Pick<ChannelRequest, 'type' | 'data'>,
  destination: Destination | undefined,
  forwards: Forwards,
): Judgement {
  if (type === 'keepalive@openssh.com') return OWN;
  if (side !== DOWN) return PASS;
  if (!NAME.test(type)) return refuse('names of requests are printable ASCII');
  switch (type) {
    case 'shell':
      return judgeKind(destination, 'shell', '');
    case 'exec': {
      const command = new Reader(data).string();
      return judgeKind(destination, kindOfExec(command), printable(command));
    }
    case 'subsystem': {
      const name = new Reader(data).string();
      return judgeKind(destination, kindOfSubsystem(name), printable(name));
    }
    case 'x11-req':
      return judgeWish(forwards.judgeSession('x11', data));
    case 'auth-agent-req@openssh.com':
      return judgeWish(forwards.judgeSession('agent', data));
    case 'auth-agent-req':
      // The draft's name: what the target would open for it is not known here.
      return refuse(`"${type}" is not allowed`);
    default:
      return PASS;
  }
}

function judgeKind(
  destination: Destination | undefined,
  kind: ChannelKind | undefined,
  command: string,
): Judgement {
  if (kind !== undefined && allowsChannel(destination, kind)) {
    return { verdict: 'pass', kind, command };
  }
  return refuse(`no rule allows ${kind ?? 'a subsystem of this name'}`);
}

function judgeWish(wish: SessionWish | string): Judgement {
  return typeof wish === 'string' ? refuse(wish) : { verdict: 'pass', wish };
}

/** Judges a global request. */
export function judgeGlobal(
  side: Side,
  { type, data, wantReply }: GlobalRequest,
  forwards: Forwards,
): Judgement {
  if (!NAME.test(type)) return refuse('names of requests are printable ASCII');
  switch (type) {
    case 'keepalive@openssh.com':
      return OWN;
    case 'hostkeys-00@openssh.com':
    case 'hostkeys-prove-00@openssh.com':
      // A leg's host keys are that leg's own: the target's are not the gate's.
      return refuse('host keys are not relayed', CODES.leg);
  }
  if (!isListenType(type)) return PASS;
  if (side !== DOWN) return refuse('the target may not ask for forwards');
  const listen = forwards.judgeListen(type, data, wantReply);
  return typeof listen === 'string' ? refuse(listen) : { verdict: 'pass', listen };
}
