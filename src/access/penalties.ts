/**
 * Which new connections are let in at all, as OpenSSH does it: a source that keeps failing collects
 * penalties, which add up and run off, and is refused while they exceed a minimum; and of
 * unauthenticated connections a growing share is dropped at random. Pure: time and chance are
 * arguments. It must never grow with what strangers send.
 */
import type { Config } from '../config/config.ts';
import { ExpiryTable } from './expiry-table.ts';
import { networkTest, sourceAddress, sourceKey } from './source-address.ts';
import type { SourceAddress } from './source-address.ts';

export type PenaltyKind =
  'crash' | 'authfail' | 'invaliduser' | 'refuseconnection' | 'noauth' | 'grace_exceeded';

/** `penalty` and `early-drop` are refused: the socket is closed without a word. */
export type Admission = 'ok' | 'penalty' | 'early-drop';

export interface PenaltiesNeeds {
  readonly penalties: Config['penalties'];
  readonly startups: Config['startups'];
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** At least 0, below 1. */
  readonly random: () => number;
}

const SECOND = 1_000_000;

/** Penalties of sources, and the early drop. */
export class Penalties {
  readonly #needs: PenaltiesNeeds;
  readonly #isExempt: (address: SourceAddress) => boolean;
  readonly #v4: ExpiryTable;
  readonly #v6: ExpiryTable;

  constructor(needs: PenaltiesNeeds) {
    this.#needs = needs;
    this.#isExempt = networkTest(needs.penalties.exempt);
    this.#v4 = new ExpiryTable(needs.penalties.max_sources);
    this.#v6 = new ExpiryTable(needs.penalties.max_sources);
  }

  /** Whether a new connection may begin, given how many are there that have not logged in. */
  admit(address: string | undefined, unauthenticated: number): Admission {
    if (this.isPenalised(address)) return 'penalty';
    return this.#isDroppedEarly(unauthenticated) ? 'early-drop' : 'ok';
  }

  /** Whether the source is refused for its penalties. */
  isPenalised(raw: string | undefined): boolean {
    const address = sourceAddress(raw);
    if (!this.#needs.penalties.enabled || this.#isExempt(address)) return false;
    return this.#tableOf(address).get(this.#keyOf(address), this.#needs.nowUs())?.active === true;
  }

  /**
   * Adds a penalty to a source; says whether it is refused from now on and was not before. Once
   * above the minimum, a source stays refused until its penalties have run off entirely.
   */
  penalise(raw: string | undefined, kind: PenaltyKind): boolean {
    const settings = this.#needs.penalties;
    const address = sourceAddress(raw);
    if (!settings.enabled || this.#isExempt(address)) return false;
    const now = this.#needs.nowUs();
    const table = this.#tableOf(address);
    const key = this.#keyOf(address);
    const known = table.get(key, now);
    const until = Math.min(
      (known?.expiresUs ?? now) + settings[`${kind}_s`] * SECOND,
      now + settings.max_s * SECOND,
    );
    const wasActive = known?.active ?? false;
    const active = wasActive || until - now > settings.min_s * SECOND;
    if (until > now) table.set(key, until, active, now);
    return active && !wasActive;
  }

  /** Sources remembered now. */
  get sources(): number {
    return this.#v4.size + this.#v6.size;
  }

  #isDroppedEarly(unauthenticated: number): boolean {
    const { begin, rate, full } = this.#needs.startups;
    if (!(unauthenticated >= begin)) return Number.isNaN(unauthenticated);
    if (unauthenticated >= full) return true;
    const share = rate + ((100 - rate) * (unauthenticated - begin)) / (full - begin);
    return this.#needs.random() * 100 < share;
  }

  #tableOf(address: SourceAddress): ExpiryTable {
    return address.family === 6 ? this.#v6 : this.#v4;
  }

  #keyOf(address: SourceAddress): string {
    const { ipv4_prefix: v4, ipv6_prefix: v6 } = this.#needs.penalties;
    return sourceKey(address, { v4, v6 });
  }
}
