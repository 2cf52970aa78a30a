/** Opens what an account logs in with. The seal is bound to the account: it opens nowhere else. */
import { AppError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { credentialContext } from '../store/rows.ts';
import type { AccountRow } from '../store/rows.ts';
import type { Secrets } from './secrets.ts';

/** The private key text or the password of an account; undefined for one that has nothing stored. */
export function openCredential(secrets: Secrets, account: AccountRow): Secret | undefined {
  const { credential } = account;
  if (credential.kind !== 'private-key' && credential.kind !== 'password') return undefined;
  return secrets.open(credential.sealed, credentialContext(account.id));
}

/**
 * Throws `secret-unreadable` when none of the stored credentials opens: another master key lies in the folder than the
 * one they were sealed with, which the operator should learn at the start, not his users at their logins.
 */
export function checkMasterKey(secrets: Secrets, accounts: readonly AccountRow[]): void {
  let failed: unknown;
  for (const account of accounts) {
    try {
      if (openCredential(secrets, account)) return;
    } catch (error) {
      failed = error;
    }
  }
  if (failed === undefined) return;
  const remedy = 'put the right one back, or apply an inventory with the credentials again';
  const text = `keys/master.key opens none of the stored credentials: it is not the key of this gate; ${remedy}`;
  throw new AppError('secret-unreadable', text, { cause: failed });
}
