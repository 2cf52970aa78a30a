/** Opens what an account logs in with. The seal is bound to the account: it opens nowhere else. */
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
