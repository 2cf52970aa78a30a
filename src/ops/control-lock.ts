/**
 * The lock on a gate's folder: holding `DIR/run/control.sock` with something that listens behind it. The kernel lets go
 * of it when the process ends, however it ends; what stays is a name that refuses connections and may be replaced.
 *
 * A socket listens under a name of its own before it is linked as `control.sock`, so that the name never refuses while
 * its owner lives, and `link` has one winner. A name that refuses is removed only by who holds a second lock made for
 * just that file (a socket in Linux' abstract namespace, gone with its process), and only after looking again under it:
 * otherwise the slower of two could remove what the faster has put there.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { AppError, reasonOf } from '../base/errors.ts';
import { SOCKET_NAME, runFolder, socketAddress } from './control-address.ts';

const ROUNDS = 100;
/** While another process replaces the same left-over. */
const PAUSE_MS = 20;

export interface HeldLock {
  readonly server: Server;
  /** Gives the folder free, then stops listening; connections that are open stay. */
  release(): void;
}

/** Takes the folder, or resolves to undefined when somebody else has it. The server listens already. */
export async function takeLock(
  dir: string,
  onConnection: (socket: Socket) => void,
): Promise<HeldLock | undefined> {
  const run = runFolder(dir);
  try {
    mkdirSync(run, { mode: 0o700 });
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw unusable(run, cause);
  }
  const path = join(run, SOCKET_NAME);
  const own = `control.${randomBytes(8).toString('hex')}`;
  const address = socketAddress(dir, own);
  const server = createServer({ allowHalfOpen: true }, onConnection);
  const stop = (): void => {
    server.close();
    address.release();
  };
  try {
    await listen(server, address.path);
    const listening = join(run, own);
    let mine: BigIntStats | undefined;
    try {
      chmodSync(listening, 0o600);
      if (await claim(dir, listening, path)) mine = lstatSync(listening, BIG);
    } finally {
      unlinkSync(listening);
    }
    if (!mine) {
      stop();
      return undefined;
    }
    const held = mine;
    const release = (): void => {
      // Somebody may have removed the name by hand, and another process put its own there.
      if (isSame(look(path), held)) unlinkSync(path);
      stop();
    };
    return { server, release };
  } catch (cause) {
    stop();
    throw cause instanceof AppError ? cause : unusable(run, cause);
  }
}

/** Links what listens as `path`; false when somebody else's listens there. */
async function claim(dir: string, listening: string, path: string): Promise<boolean> {
  for (let round = 0; round < ROUNDS; round++) {
    try {
      linkSync(listening, path);
      return true;
    } catch (cause) {
      if (codeOf(cause) !== 'EEXIST') throw cause;
    }
    const found = look(path);
    if (!found) continue;
    if (!found.isSocket()) {
      throw new AppError('dir-invalid', `${path} is not a socket: remove it by hand`);
    }
    if (await isAnswered(dir)) return false;
    await removeStale(dir, path, found);
  }
  throw new AppError('busy', `${path}: too many processes want it at once, try again`);
}

/** Removes a name that refuses connections, unless it is another one by now. */
async function removeStale(dir: string, path: string, found: BigIntStats): Promise<void> {
  const guard = await guardFor(found);
  if (!guard) {
    await delay(PAUSE_MS);
    return;
  }
  try {
    if (isSame(look(path), found) && !(await isAnswered(dir))) unlinkSync(path);
  } finally {
    guard.close();
  }
}

/** The lock on one file by its identity; undefined while another process has it. */
async function guardFor(file: BigIntStats): Promise<Server | undefined> {
  const identity = createHash('sha256')
    .update(`${file.dev} ${file.ino} ${file.birthtimeNs}`)
    .digest('hex');
  const server = createServer((socket) => socket.destroy());
  try {
    await listen(server, `\0sallyport-${identity}`);
    return server;
  } catch (cause) {
    if (codeOf(cause) === 'EADDRINUSE') return undefined;
    throw cause;
  }
}

/** Whether somebody listens behind the name. A full queue is an answer too; only a refusal is none. */
async function isAnswered(dir: string): Promise<boolean> {
  const address = socketAddress(dir, SOCKET_NAME);
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(address.path);
  socket.once('connect', () => resolve(true));
  socket.once('error', (cause) => {
    const code = codeOf(cause);
    if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false);
    else if (code === 'EAGAIN') resolve(true);
    else reject(unusable(runFolder(dir), cause));
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
    address.release();
  }
}

const BIG = { bigint: true } as const;

function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { ...BIG, throwIfNoEntry: false });
}

function isSame(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return one?.dev === other.dev && one.ino === other.ino && one.birthtimeNs === other.birthtimeNs;
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function unusable(run: string, cause: unknown): AppError {
  return new AppError('dir-invalid', `cannot use ${run}: ${reasonOf(cause)}`, { cause });
}
