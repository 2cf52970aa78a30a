/** From a destination to a leg that is logged in: dial, host key, then the credential that the account has. */
import { AppError } from '../base/errors.ts';
import type { Destination } from '../access/policy.ts';
import { openCredential } from '../vault/credentials.ts';
import { parsePrivateKey } from '../wire/ssh2.ts';
import { transportLimits } from './gate.ts';
import type { Gate } from './gate.ts';
import { loginWithAgent } from './agent-login.ts';
import type { NoteSignature } from './agent-login.ts';
import { dial } from './upstream.ts';
import type { Upstream } from './upstream.ts';
import { UserAgent } from './user-agent.ts';
import type { OpenToUser } from './user-agent.ts';

/** Dials a target and checks its host key; the login is the caller's. */
export function dialTarget(
  gate: Gate,
  destination: Destination,
  signal: AbortSignal,
): Promise<Upstream> {
  const { config, pool, readBuffer, recording } = gate;
  const { upstream } = config;
  return dial(
    {
      target: destination.target,
      account: destination.account.name,
      pool,
      readBuffer,
      ident: config.ident,
      algorithms: {
        kex: upstream.kex,
        hostKey: upstream.host_key,
        cipher: upstream.cipher,
        mac: upstream.mac,
      },
      limits: transportLimits(gate),
      connectMs: upstream.connect_s * 1000,
      handshakeMs: upstream.handshake_s * 1000,
      loginMs: upstream.login_s * 1000,
      nowMs: () => recording.nowUs() / 1000,
    },
    signal,
  );
}

/** The way to the user's agent, for accounts that are opened with it. */
export interface AgentAccess {
  readonly open: OpenToUser;
  readonly note: NoteSignature;
}

/** Dials and logs in with what the account has stored, or with the user's own agent. */
export async function reachTarget(
  gate: Gate,
  destination: Destination,
  signal: AbortSignal,
  agent?: AgentAccess,
): Promise<Upstream> {
  const { account, target } = destination;
  if (account.credential.kind === 'agent' && agent) {
    return reachWithAgent(gate, destination, signal, agent);
  }
  const secret = openCredential(gate.secrets, account);
  if (!secret) {
    throw new AppError(
      'target-login-failed',
      `account ${account.name} of ${target.name} has no stored credential`,
    );
  }
  const upstream = await dialTarget(gate, destination, signal);
  try {
    if (account.credential.kind === 'private-key') {
      await upstream.loginWithKey(parsePrivateKey(secret.reveal().toString('utf8')));
    } else if (!(await upstream.loginWithPassword(secret))) {
      throw new AppError(
        'target-login-failed',
        `${target.name} refused the stored password of account ${account.name}`,
      );
    }
    return upstream;
  } catch (error) {
    upstream.transport.close(new AppError('terminated', 'login given up'));
    throw error;
  }
}

/** The agent is asked for first: without it there is nothing to dial for, and clients offer it before anything else. */
async function reachWithAgent(
  gate: Gate,
  destination: Destination,
  signal: AbortSignal,
  { open, note }: AgentAccess,
): Promise<Upstream> {
  const { account, target } = destination;
  const where = `account ${account.name} of ${target.name}`;
  const answerMs = gate.config.upstream.agent_s * 1000;
  const agent = await UserAgent.open({ open, answerMs, signal, where });
  let upstream: Upstream | undefined;
  try {
    upstream = await dialTarget(gate, destination, signal);
    await loginWithAgent(agent, upstream, account.name, note);
    return upstream;
  } catch (error) {
    upstream?.transport.close(new AppError('terminated', 'login given up'));
    throw error;
  } finally {
    agent.close();
  }
}
