/**
 * What a peer may send, by role and state: one table per leg and state, consulted before anything looks at a payload.
 * Whatever is not named is refused. Fields inside the allowed messages are checked by the decoders of `wire/`, which
 * take no length or count on trust.
 */
import { MSG } from '../wire/messages.ts';

/** Which leg the peer is on: a user's client, or a target's server. */
export type Role = 'downstream' | 'upstream';

/** `login` from the first NEWKEYS to USERAUTH_SUCCESS, `open` from there on. */
export type State = 'login' | 'open';

/**
 * - `fatal`: the peer is disconnected
 * - `own`: the transport's business (RFC 4253)
 * - `pass`: for the login or the relay
 * - `drop`: harmless and without meaning here
 * - `unimplemented`: answered with SSH_MSG_UNIMPLEMENTED (RFC 4253 section 11.4)
 */
export type Verdict = 'fatal' | 'own' | 'pass' | 'drop' | 'unimplemented';

type Table = readonly Verdict[];

const OWN = [MSG.disconnect, MSG.ignore, MSG.unimplemented, MSG.debug, MSG.extInfo, MSG.kexinit];

const CONNECTION = [
  MSG.globalRequest,
  MSG.requestSuccess,
  MSG.requestFailure,
  MSG.channelOpen,
  MSG.channelOpenConfirmation,
  MSG.channelOpenFailure,
  MSG.channelWindowAdjust,
  MSG.channelData,
  MSG.channelExtendedData,
  MSG.channelEof,
  MSG.channelClose,
  MSG.channelRequest,
  MSG.channelSuccess,
  MSG.channelFailure,
];

function table(
  rest: 'fatal' | 'open',
  entries: Partial<Record<Verdict, readonly number[]>>,
): Table {
  const verdicts: Verdict[] = [];
  for (let type = 0; type < 256; type++) {
    // After login a number that nobody has defined is answered as the RFC says; those of the transport (1-49) and of
    // the login (50-79) are defined and out of place.
    verdicts.push(rest === 'open' && type >= 80 ? 'unimplemented' : 'fatal');
  }
  for (const type of OWN) verdicts[type] = 'own';
  for (const [verdict, types] of Object.entries(entries)) {
    for (const type of types) verdicts[type] = verdict as Verdict;
  }
  return verdicts;
}

const TABLES: Readonly<Record<Role, Readonly<Record<State, Table>>>> = {
  downstream: {
    login: table('fatal', {
      pass: [MSG.serviceRequest, MSG.userauthRequest, MSG.userauthInfoResponse],
    }),
    open: table('open', {
      pass: CONNECTION,
      own: [MSG.ping],
      // RFC 4252 section 5.3: further authentication requests are silently ignored.
      drop: [MSG.userauthRequest, MSG.pong],
    }),
  },
  upstream: {
    login: table('fatal', {
      pass: [
        MSG.serviceAccept,
        MSG.userauthFailure,
        MSG.userauthSuccess,
        MSG.userauthBanner,
        MSG.userauthInfoRequest,
      ],
    }),
    open: table('open', {
      pass: CONNECTION,
      own: [MSG.ping],
      drop: [MSG.userauthBanner, MSG.pong],
    }),
  },
};

/** What to do with each type of message once the first key exchange is done. */
export function verdictsOn(role: Role, state: State): readonly Verdict[] {
  return TABLES[role][state];
}

/** What to do with a message of this type. */
export function verdictOn(role: Role, state: State, type: number): Verdict {
  return verdictsOn(role, state)[type] ?? 'fatal';
}

/**
 * What may come while keys are exchanged. During the first exchange IGNORE, UNIMPLEMENTED and DEBUG are left to ssh2,
 * which ends the connection for them under strict key exchange and ignores them otherwise; during a later one, where
 * they are authenticated, they are dropped.
 */
export function verdictInKeyExchange(first: boolean, type: number): Verdict {
  switch (type) {
    case MSG.disconnect:
      return 'own';
    case MSG.ignore:
    case MSG.unimplemented:
    case MSG.debug:
      return first ? 'pass' : 'drop';
    default:
      return type >= MSG.kexinit && type <= 49 ? 'pass' : 'fatal';
  }
}
