/**
 * A real ssh-agent with a tap on its socket: programs that use the tap's socket talk to the agent, and what passed each
 * way is kept, connection by connection, in the order in which it came.
 */
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { start } from './process.ts';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';
import { tempDir } from './tempdir.ts';

/** A piece of a conversation, and whether the agent said it. */
export interface Said {
  readonly byAgent: boolean;
  readonly bytes: Buffer;
}

export interface TappedAgent {
  /** For SSH_AUTH_SOCK. */
  readonly socket: string;
  /** One list of pieces for each connection that was made. */
  readonly conversations: Said[][];
}

/** Starts the agent and the tap; both end with the test. */
export async function startAgent(scope: Scope): Promise<TappedAgent> {
  const folder = tempDir(scope);
  const behind = join(folder, 'agent');
  const agent = start(scope, ['ssh-agent', '-D', '-a', behind], { stdin: 'ignore' });
  await agent.line(/SSH_AUTH_SOCK=/);
  const conversations: Said[][] = [];
  const socket = join(folder, 'tap');
  const tap = createServer((client) => {
    const said: Said[] = [];
    conversations.push(said);
    const upstream = createConnection(behind);
    const pass = (from: typeof client, to: typeof client, byAgent: boolean): void => {
      from.on('data', (bytes) => {
        said.push({ byAgent, bytes });
        to.write(bytes);
      });
      from.on('error', () => to.destroy());
      from.on('end', () => to.end());
    };
    pass(client, upstream, false);
    pass(upstream, client, true);
  });
  await new Promise<void>((resolve) => tap.listen(socket, resolve));
  defer(scope, () => new Promise<void>((resolve) => tap.close(() => resolve())));
  return { socket, conversations };
}
