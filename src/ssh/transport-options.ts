/** What a transport is made from, and whom it tells; `transport.ts` is the transport. */
import type { AppError } from '../base/errors.ts';
import type { Offer, ParsedKey } from '../wire/ssh2.ts';
import type { Role } from './filter.ts';
import type { Leg } from './leg-socket.ts';
import type { PacketPool } from './packet-pool.ts';

/** What is offered in KEXINIT; the same ciphers and MACs in both directions. */
export interface AlgorithmOffer {
  readonly kex: readonly string[];
  readonly hostKey: readonly string[];
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
}

export interface TransportLimits {
  /** Our own rekey: after so many bytes or packets in either direction, or so many seconds. */
  readonly rekeyBytes: number;
  readonly rekeyPackets: number;
  readonly rekeySeconds: number;
  /** A key exchange, whoever began it, must be over after this. */
  readonly keyExchangeMs: number;
  /** The peer's ident line must be there after this. */
  readonly identMs: number;
}

export interface TransportOptions {
  readonly role: Role;
  readonly leg: Leg;
  readonly pool: PacketPool;
  readonly ident: string;
  /** From `makeOffer`. */
  readonly offer: Offer;
  readonly limits: TransportLimits;
  /** Downstream: private host keys by algorithm name. */
  readonly hostKeys?: Readonly<Record<string, ParsedKey>>;
  /** Downstream: a certificate for the Ed25519 key among them (`wire/certificate.ts`). */
  readonly hostCertificate?: Buffer;
  /** Upstream: whether this host key is the right one; asked at every key exchange. */
  readonly verifyHostKey?: (blob: Buffer) => boolean;
  /** Downstream: what EXT_INFO announces to clients that ask for it. */
  readonly extensions?: Readonly<Record<string, string>>;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

export interface TransportEvents {
  /** The first key exchange is done; messages may be sent. */
  onReady(): void;
  /** A message that is not the transport's own, in its order. */
  onPayload(payload: Buffer): void;
  /** Whether a key exchange of ours may begin; absent: yes. Two legs in one of ours would wait for each other. */
  mayRekey?(): boolean;
  /** Messages may be sent again: a key exchange is over, or the socket has drained. */
  onWritable(): void;
  /** The transport is gone. */
  onClose(reason: AppError): void;
}
