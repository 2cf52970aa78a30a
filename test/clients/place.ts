/**
 * Where the scenes play: a real OpenSSH server as the target, a gate before it with a user who may do everything, a
 * service on the target's loopback that turns what it is sent around, and a folder on either side for each scene.
 */
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHANNEL_KINDS } from '../../src/config/channel-kinds.ts';
import type { Gate } from '../support/gate.ts';
import type { OpenSsh } from '../support/openssh.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import { tempDir } from '../support/tempdir.ts';
import { isRoot, testLogin } from '../support/test-login.ts';
import type { Route, Stage, Way } from './scene.ts';

export interface Place {
  readonly gate: Gate;
  readonly target: OpenSsh;
  /** Port of the service that sends back what it gets, each byte inverted. */
  readonly echoPort: number;
  readonly routes: Readonly<Record<Way, Route>>;
}

/** Kinds of the list that rules know, and what has its own word since. */
const CHANNELS = [...CHANNEL_KINDS];

export async function startPlace(scope: Scope): Promise<Place> {
  const site = await startSite(scope, {
    channels: CHANNELS,
    target: { config: ['AllowTcpForwarding yes', 'GatewayPorts no'] },
  });
  const { gate, target, key } = site;
  const host = '127.0.0.1';
  const straight = { host, port: target.port, user: target.user, key: target.key.path };
  const alice = { host, port: gate.sshPort, user: 'alice', key: key.path };
  return {
    gate,
    target,
    echoPort: await startEcho(scope),
    routes: {
      direct: { way: 'direct', ...straight },
      named: { ...alice, way: 'named', user: `alice%${target.user}%db1` },
      // By name: PuTTY takes no proxy to 127.0.0.1.
      jump: { way: 'jump', ...straight, host: 'db1', key: key.path, hop: alice },
    },
  };
}

/** The service: a length of four bytes, then so many bytes, which it returns inverted and hangs up. */
async function startEcho(scope: Scope): Promise<number> {
  const server = createServer((socket) => {
    let received: Buffer = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readUInt32BE()) return;
      socket.end(received.subarray(4).map((byte) => byte ^ 0xff));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  defer(scope, () => void server.close());
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('the service has no address');
  return address.port;
}

/** A stage for one scene on one way. */
export async function stageOf(scope: Scope, place: Place, way: Way): Promise<Stage> {
  const remote = mkdtempSync(join(tmpdir(), 'sp-far-'));
  defer(scope, () => rmSync(remote, { recursive: true, force: true }));
  if (isRoot()) {
    const { uid, gid } = await testLogin();
    chownSync(remote, uid, gid);
  }
  chmodSync(remote, 0o755);
  return { scope, place, route: place.routes[way], local: tempDir(scope), remote };
}
