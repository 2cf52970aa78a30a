/**
 * The way somebody comes in: what he is shown as the host, how he says who he is, where that leads, and what his failures
 * cost. There are two doors: the port, and a target's as the gate plays it to those who come through a jump.
 */
import type { Authenticator, Identity, LoginMethod } from '../access/authn.ts';
import { parseLoginName } from '../access/destination.ts';
import type { LoginName } from '../access/destination.ts';
import { decide } from '../access/policy.ts';
import type { Decision } from '../access/policy.ts';
import type { PenaltyKind } from '../access/penalties.ts';
import type { Offer, ParsedKey } from '../wire/ssh2.ts';
import type { Gate } from './gate.ts';

/** Who is asked whether a proof is one. */
export type Prover = Pick<Authenticator, 'identityByKey' | 'identityByPassword' | 'failureDelay'>;

export interface Door {
  readonly address: string;
  readonly port: number;
  /** What he has connected to, as far as the gate knows. */
  readonly reached: { readonly host: string; readonly port: number };
  /** The connection that it is in. */
  readonly parent: string | undefined;
  readonly offer: Offer;
  readonly hostKeys: Readonly<Record<string, ParsedKey>>;
  readonly hostCertificate: Buffer | undefined;
  readonly methods: readonly LoginMethod[];
  readonly prover: Prover;
  /** Who somebody is without any proof, where that is known already. */
  readonly known: Identity | undefined;
  parseName(bytes: Buffer): LoginName;
  decide(identity: Identity, name: LoginName): Decision;
  penalise(kind: PenaltyKind): void;
}

/** The port. */
export function frontDoor(
  gate: Gate,
  address: string,
  port: number,
  reached: Door['reached'],
): Door {
  const { authenticator, config, hostKeys, offer, penalties, recording, snapshots } = gate;
  return {
    address,
    port,
    reached,
    parent: undefined,
    offer,
    hostKeys,
    hostCertificate: undefined,
    methods: config.login.methods,
    prover: authenticator,
    known: undefined,
    parseName: parseLoginName,
    decide: (identity, name) => decide(snapshots.current, identity, name, recording.wallUs()),
    penalise: (kind) => penalties.penalise(address, kind),
  };
}
