/** How much the keys of a leg have been used (RFC 4253 section 9, RFC 4344 section 3), and when they must be renewed. */
import type { Protocol } from '../wire/ssh2.ts';
import type { TransportLimits } from './transport-options.ts';

export class KeyAge {
  readonly #limits: TransportLimits;
  readonly #nowMs: () => number;
  #since = 0;
  #packets = 0;
  bytesIn = 0;

  constructor(limits: TransportLimits, nowMs: () => number) {
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  /** A key exchange is over. */
  renewed(protocol: Protocol): void {
    this.#since = this.#nowMs();
    this.bytesIn = 0;
    this.#packets = packets(protocol);
  }

  areOld(): boolean {
    return this.#nowMs() - this.#since > this.#limits.rekeySeconds * 1000;
  }

  areUsedUp(bytesOut: number, protocol: Protocol): boolean {
    const { rekeyBytes, rekeyPackets } = this.#limits;
    if (this.bytesIn > rekeyBytes || bytesOut > rekeyBytes) return true;
    return packets(protocol) - this.#packets > rekeyPackets;
  }
}

/** Packets in and out; the sequence numbers begin again with the keys under strict key exchange, else they go on. */
function packets(protocol: Protocol): number {
  return (protocol._decipher?.inSeqno ?? 0) + protocol._cipher.outSeqno;
}
