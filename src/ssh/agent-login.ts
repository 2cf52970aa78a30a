/**
 * The login at a target with a key of the user's own agent, for accounts with `agent: true`. The target is asked first
 * which of the keys it takes, so that only that one has to sign; each signature is noted before it is used.
 */
import { AppError } from '../base/errors.ts';
import { agentAlgorithms } from '../wire/agent-client.ts';
import { fingerprint } from '../wire/publickey.ts';
import type { Upstream } from './upstream.ts';
import type { UserAgent } from './user-agent.ts';

/** More refused keys than this and a target hangs up anyway (OpenSSH: MaxAuthTries 6). */
const MAX_TRIES = 20;

/** Notes a signature in the connection's trail. */
export type NoteSignature = (detail: Readonly<Record<string, unknown>>) => void;

/** Logs in with the first of the agent's keys that the target takes. */
export async function loginWithAgent(
  agent: UserAgent,
  upstream: Upstream,
  account: string,
  note: NoteSignature,
): Promise<void> {
  const where = `account ${account} of ${upstream.target.name}`;
  const failed = (why: string): AppError => new AppError('target-login-failed', `${where}: ${why}`);
  const keys = (await agent.keys()).filter((blob) => agentAlgorithms(blob).length > 0);
  if (keys.length === 0) throw failed('your agent has no key that can be used; run ssh-add');
  for (const blob of keys.slice(0, MAX_TRIES)) {
    const algorithm = upstream.signatureAlgorithm(agentAlgorithms(blob));
    if (!(await upstream.takesKey(blob, algorithm))) continue;
    const ok = await upstream.loginWithSignature(blob, algorithm, async (data) => {
      const signature = await agent.sign(blob, data, algorithm);
      if (!signature) throw failed(`your agent did not sign with ${fingerprint(blob)}`);
      const { name } = upstream.target;
      note({ agent: 'signed', key: fingerprint(blob), algorithm, account, target: name });
      return signature;
    });
    if (ok) return;
  }
  throw failed(`the target takes none of the ${keys.length} keys in your agent`);
}
