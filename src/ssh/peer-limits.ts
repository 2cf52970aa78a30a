/**
 * How much of what costs us and means nothing a peer may send: key exchanges, messages without meaning before login,
 * messages of unknown types. Over a limit the peer is disconnected.
 */
import { ProtocolError } from '../base/errors.ts';

const MAX_UNKNOWN = 100;
const MAX_KEX_BEFORE_LOGIN = 3;
const MAX_KEX_PER_SECOND = 500;
const MAX_IDLE_BEFORE_LOGIN = 100;

export class PeerLimits {
  readonly #nowMs: () => number;
  #loggedIn = false;
  #unknown = 0;
  #idle = 0;
  #keyExchanges = 0;
  #windowStart = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  loggedIn(): void {
    this.#loggedIn = true;
  }

  /** IGNORE, DEBUG and the like. */
  countIdle(): void {
    if (!this.#loggedIn && ++this.#idle > MAX_IDLE_BEFORE_LOGIN) {
      throw new ProtocolError('too many messages without meaning before login');
    }
  }

  countUnknown(): void {
    if (++this.#unknown > MAX_UNKNOWN) {
      throw new ProtocolError('too many messages of unknown types');
    }
  }

  /** A key exchange that the peer has begun. */
  countKeyExchange(): void {
    const now = this.#nowMs();
    if (now - this.#windowStart > 1000) {
      this.#windowStart = now;
      if (this.#loggedIn) this.#keyExchanges = 0;
    }
    const limit = this.#loggedIn ? MAX_KEX_PER_SECOND : MAX_KEX_BEFORE_LOGIN;
    if (++this.#keyExchanges > limit) throw new ProtocolError('too many key exchanges');
  }
}
