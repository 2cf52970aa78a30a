/**
 * The shapes of the configuration as the rest of the product sees it: plain, frozen values without a trace of the
 * database. `store/inventory.ts` reads and writes them; `access/snapshot.ts` answers questions from them.
 */

import type { ChannelKind } from '../config/channel-kinds.ts';

export { CHANNEL_KINDS } from '../config/channel-kinds.ts';
export type { ChannelKind };

export interface UserRow {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  /** The argon2id string, or null when this user has no password. */
  readonly passwordHash: string | null;
  /** Public keys as `authorized_keys` lines: type, base64, comment. */
  readonly keys: readonly string[];
  readonly groups: readonly string[];
  readonly disabled: boolean;
  /** UUID of the password as an object of the API; null with the hash. */
  readonly passwordId: string | null;
  /** Seconds since 1970; null where that was not noted. */
  readonly passwordCreated: number | null;
  /** Microseconds since 1970, from when on he is as disabled; null: never. */
  readonly expires: number | null;
}

export interface GroupRow {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
}

/** How the gate logs in to an account; sealed values are opened by `vault/secrets.ts` alone. */
export type Credential =
  | { readonly kind: 'private-key'; readonly sealed: string }
  | { readonly kind: 'password'; readonly sealed: string }
  | { readonly kind: 'agent' }
  | { readonly kind: 'ask' };

/** What a sealed credential is bound to, so that one row's secret is of no use in another. */
export function credentialContext(accountId: string): string {
  return `account:${accountId}`;
}

export interface AccountRow {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly credential: Credential;
}

/** Algorithms that one target is allowed beside the default ones; names as in RFC 4253 section 7.1. */
export interface ExtraAlgorithms {
  readonly kex?: readonly string[];
  readonly hostKey?: readonly string[];
  readonly cipher?: readonly string[];
  readonly mac?: readonly string[];
}

export interface TargetRow {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Pinned host keys as `type base64` lines. */
  readonly hostKeys: readonly string[];
  /** `accept-new` pins the first key seen while `hostKeys` is empty. */
  readonly hostKeyPolicy: 'pinned' | 'accept-new';
  readonly algorithms: ExtraAlgorithms;
  readonly accounts: readonly AccountRow[];
}

export interface RuleRow {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly groups: readonly string[];
  readonly targets: readonly string[];
  readonly accounts: readonly string[];
  readonly channels: readonly ChannelKind[];
  /** Where forwards may lead (`config/forward-to.ts`); null: wherever the user likes. */
  readonly forwardTo: readonly string[] | null;
}

export interface AclRow {
  readonly id: string;
  readonly uuid: string;
  readonly group: string;
  readonly objects: readonly string[];
  readonly permission: 'read' | 'write';
}

/** Settings that are configuration; what no commit has said is as here. */
export const DEFAULT_SETTINGS = {
  id: 'settings',
  /** Whether a commit over the API needs a message. */
  requireCommitMessage: false,
  /** Whether a change over the API opens a transaction by itself. */
  implicitTransactions: false,
  /** Whether a session ends when a commit takes away what it stands on. */
  endSessionsOnChange: true,
  /** Whether rights that are taken away count at once for those who are logged in to the API. */
  rightsAtOnce: false,
} as const;

export type SettingsRow = {
  readonly [K in keyof typeof DEFAULT_SETTINGS]: K extends 'id' ? string : boolean;
};

/** The whole configuration at one commit. Groups, targets and accounts are named by name inside rules and ACLs. */
export interface Inventory {
  readonly commit: number;
  readonly users: readonly UserRow[];
  readonly groups: readonly GroupRow[];
  readonly targets: readonly TargetRow[];
  readonly rules: readonly RuleRow[];
  readonly acls: readonly AclRow[];
  readonly settings: SettingsRow;
}
