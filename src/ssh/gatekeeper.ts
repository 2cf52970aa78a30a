/**
 * What may pass on a connection, by the rules that allow it: one synchronous answer per open, request and global
 * request. Channels and forwards that no rule names are refused; requests that nobody has defined pass if their names
 * are printable, since they are recorded byte for byte and mean nothing to the gate.
 */
import { printable } from '../wire/channel-request.ts';
import type { AppError } from '../base/errors.ts';
import { CODES } from '../recording/container.ts';
import { Reader } from '../wire/buffer.ts';
import { OPEN_FAILURE } from '../wire/messages.ts';
import type { ChannelOpen } from '../wire/messages.ts';
import { allowsChannel } from '../access/policy.ts';
import type { Destination } from '../access/policy.ts';
import { kindOfExec, kindOfSubsystem } from '../access/channel-kind.ts';
import type { ChannelKind } from '../config/channel-kinds.ts';
import { DOWN } from './mux.ts';
import type { Side } from './mux.ts';

/**
 * - `pass`: on to the other side; `kind` and `command` where the request says what the channel is
 * - `refuse`: answered by the gate with a failure, recorded, never passed
 * - `own`: concerns this leg alone; answered by the gate, as OpenSSH would
 */
export type Judgement =
  | { readonly verdict: 'pass'; readonly kind?: string; readonly command?: string }
  | { readonly verdict: 'refuse'; readonly why: string; readonly code: number }
  | { readonly verdict: 'own' };

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

/** Judges a channel that `side` wants to open; undefined where it may pass. `failed` says why there is no upstream. */
export function refusalOfOpen(
  side: Side,
  open: ChannelOpen,
  full: boolean,
  failed: AppError | undefined,
): OpenRefusal | undefined {
  if (failed) {
    const denied = failed.code === 'not-allowed';
    return {
      reason: denied ? OPEN_FAILURE.administrativelyProhibited : OPEN_FAILURE.connectFailed,
      text: failed.message,
      code: denied ? CODES.policy : CODES.upstream,
    };
  }
  const prohibited = (text: string): OpenRefusal => ({
    reason: OPEN_FAILURE.administrativelyProhibited,
    text,
    code: CODES.policy,
  });
  if (side !== DOWN) return prohibited('the target may not open channels of its own accord');
  if (open.type !== 'session') {
    const type = printable(Buffer.from(open.type, 'latin1'));
    return prohibited(`channels of type "${type}" are not allowed`);
  }
  if (open.maxPacket < MIN_PACKET) return prohibited('packets below 1,024 bytes are not supported');
  if (full) {
    return { reason: OPEN_FAILURE.resourceShortage, text: 'too many channels', code: CODES.limit };
  }
  return undefined;
}

/** Judges a request on a channel; `data` is what follows `want reply`. */
export function judgeRequest(
  side: Side,
  type: string,
  data: Buffer,
  destination: Destination | undefined,
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
    case 'auth-agent-req@openssh.com':
    case 'auth-agent-req':
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

/** Judges a global request. */
export function judgeGlobal(side: Side, type: string): Judgement {
  if (!NAME.test(type)) return refuse('names of requests are printable ASCII');
  switch (type) {
    case 'keepalive@openssh.com':
      return OWN;
    case 'hostkeys-00@openssh.com':
    case 'hostkeys-prove-00@openssh.com':
      // A leg's host keys are that leg's own: the target's are not the gate's.
      return refuse('host keys are not relayed', CODES.leg);
    case 'tcpip-forward':
    case 'cancel-tcpip-forward':
    case 'streamlocal-forward@openssh.com':
    case 'cancel-streamlocal-forward@openssh.com':
      return refuse(
        side === DOWN ? `"${type}" is not allowed` : 'the target may not ask for forwards',
      );
    default:
      return PASS;
  }
}
