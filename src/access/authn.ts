/**
 * Who somebody is: decides from the snapshot alone whether a key or a password makes a user. The
 * dialogue (methods, order, attempts) is the transport's; signatures are verified before this is
 * asked.
 *
 * Nothing here may tell an outsider whether a user exists: unknown, disabled and key-only users
 * cost exactly one password check like everybody else, and `failureDelay` hides what little
 * differs.
 */
import { createHmac } from 'node:crypto';
import type { Secret } from '../base/secret.ts';
import { fingerprint } from '../wire/publickey.ts';
import { isEnabled } from './enabled.ts';
import type { Snapshot, SnapshotHolder } from './snapshot.ts';
import type { UserRow } from '../store/rows.ts';

export type LoginMethod = 'publickey' | 'password' | 'keyboard-interactive';

/** A logged-in user; frozen. Rules are always asked again with the current snapshot. */
export interface Identity {
  readonly userId: string;
  readonly userName: string;
  readonly groups: readonly string[];
  /** The commit of the configuration that he logged in with. */
  readonly commit: number;
  readonly method: LoginMethod;
  /** `SHA256:...` of the key that signed, or `''`. */
  readonly keyFingerprint: string;
}

/** Checks a password against a stored hash; with null it takes the same time and says no. */
export interface PasswordChecker {
  verify(hash: string | null, password: Secret): Promise<boolean>;
}

const MIN_DELAY_US = 5000;
const PERSONAL_DELAY_US = 4200;
/**
 * A failure that took this long by itself is not padded: doubling further would only hold the peer.
 */
const MAX_PADDED_US = 60_000_000;

export interface AuthenticatorNeeds {
  readonly snapshots: SnapshotHolder;
  readonly passwords: PasswordChecker;
  /** Random bytes of this process, at least 16: from them each user name gets its delay. */
  readonly delayKey: Secret;
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Microseconds since 1970: users expire. */
  readonly wallUs: () => number;
}

/** Turns proofs into identities. */
export class Authenticator {
  readonly #needs: AuthenticatorNeeds;

  constructor(needs: AuthenticatorNeeds) {
    if (needs.delayKey.reveal().length < 16) throw new RangeError('delay key below 16 bytes');
    this.#needs = needs;
  }

  /**
   * The identity that a key gives. For a query (no signature yet) a result means that PK_OK may be
   * said and nothing more; as a login it counts only after the caller has verified the signature
   * made with this very blob.
   */
  identityByKey(userName: string, blob: Buffer): Identity | undefined {
    const snapshot = this.#needs.snapshots.current;
    const user = this.#enabledUser(snapshot, userName);
    if (!user) return undefined;
    if (!snapshot.keysOf(user).some((key) => key.blob.equals(blob))) return undefined;
    return makeIdentity(snapshot, user, 'publickey', fingerprint(blob));
  }

  /** The identity that a password gives; rejects with `busy` when too many checks wait already. */
  async identityByPassword(
    userName: string,
    password: Secret,
    method: 'password' | 'keyboard-interactive' = 'password',
  ): Promise<Identity | undefined> {
    const snapshot = this.#needs.snapshots.current;
    const user = this.#enabledUser(snapshot, userName);
    const right = await this.#needs.passwords.verify(user?.passwordHash ?? null, password);
    if (!user || !right) return undefined;
    // Disabled or changed while the check waited its turn: the newer configuration decides.
    const newest = this.#needs.snapshots.current;
    const still = this.#enabledUser(newest, userName);
    if (still?.id !== user.id || still.passwordHash !== user.passwordHash) return undefined;
    return makeIdentity(newest, still, method, '');
  }

  /**
   * How many milliseconds (with fraction) to wait from now before a failure is answered: the whole
   * takes at least 5 ms plus a secret 0-4.2 ms per user name, doubled until it covers the time
   * already spent.
   */
  failureDelay(userName: string, startedAtUs: number): number {
    const spent = Math.max(0, this.#needs.nowUs() - startedAtUs);
    if (!(spent < MAX_PADDED_US)) return 0;
    const digest = createHmac('sha256', this.#needs.delayKey.reveal()).update(userName).digest();
    let whole = MIN_DELAY_US + (digest.readUInt32BE(0) / 2 ** 32) * PERSONAL_DELAY_US;
    while (whole < spent) whole *= 2;
    return (whole - spent) / 1000;
  }

  #enabledUser(snapshot: Snapshot, name: string): UserRow | undefined {
    const user = name === '' ? undefined : snapshot.user(name);
    return isEnabled(user, this.#needs.wallUs()) ? user : undefined;
  }
}

function makeIdentity(
  snapshot: Snapshot,
  user: UserRow,
  method: LoginMethod,
  keyFingerprint: string,
): Identity {
  return Object.freeze({
    userId: user.id,
    userName: user.name,
    groups: Object.freeze([...snapshot.groupsOf(user)]),
    commit: snapshot.commit,
    method,
    keyFingerprint,
  });
}
