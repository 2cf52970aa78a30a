/** What every connection of a gate needs; built once by `server.ts`. */
import type { Authenticator } from '../access/authn.ts';
import type { LiveConnections } from '../access/live.ts';
import type { Penalties } from '../access/penalties.ts';
import type { SnapshotHolder } from '../access/snapshot.ts';
import type { Config } from '../config/config.ts';
import type { FactSink } from '../ops/facts.ts';
import type { LogLimit } from '../ops/log-limit.ts';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { RecordingServices } from '../recording/connection-recorder.ts';
import type { HostAuthority } from '../vault/host-ca.ts';
import type { Secrets } from '../vault/secrets.ts';
import type { Offer, ParsedKey } from '../wire/ssh2.ts';
import type { ReadBuffer } from './leg-socket.ts';
import type { PacketPool } from './packet-pool.ts';
import type { TransportLimits } from './transport-options.ts';

/** A target and account where a user was. */
export interface Visited {
  readonly targetId: string;
  readonly accountId: string;
}

export interface Gate {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** For lines that a peer can cause as often as it likes. */
  readonly peerLog: LogLimit;
  readonly snapshots: SnapshotHolder;
  readonly authenticator: Authenticator;
  readonly penalties: Penalties;
  readonly live: LiveConnections;
  readonly facts: FactSink;
  /** Where a user was, newest first. */
  readonly recent: (userName: string) => Promise<readonly Visited[]>;
  readonly secrets: Secrets;
  readonly recording: RecordingServices;
  readonly pool: PacketPool;
  readonly readBuffer: ReadBuffer;
  /** What legs are read into that run inside another one, which lies in `readBuffer` meanwhile. */
  readonly innerBuffer: ReadBuffer;
  /** What users are offered. */
  readonly offer: Offer;
  /** Private host keys by signature algorithm. */
  readonly hostKeys: Readonly<Record<string, ParsedKey>>;
  /** Vouches for the hosts that are played to those who come through a jump. */
  readonly hostAuthority: HostAuthority;
}

/** Limits of a leg's transport, from the configuration. */
export function transportLimits({ config }: Gate): TransportLimits {
  const { rekey, login } = config;
  return {
    rekeyBytes: rekey.bytes,
    rekeySeconds: rekey.seconds,
    rekeyPackets: rekey.packets,
    keyExchangeMs: rekey.peer_timeout_s * 1000,
    identMs: login.ident_s * 1000,
  };
}
