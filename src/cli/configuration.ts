/**
 * The configuration from outside a gate: through the control socket where a gate runs, or else straight from the
 * database under the same lock, so that no two processes ever write it. The lock is held for the moment only, and
 * commands wait for each other.
 */
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import { Passwords } from '../access/password.ts';
import { AppError } from '../base/errors.ts';
import { loadConfig } from '../config/config.ts';
import { connectControl } from '../ops/control-client.ts';
import type { ControlClient } from '../ops/control-client.ts';
import { openControl } from '../ops/control.ts';
import type { PlanTools } from '../store/inventory-plan.ts';
import { openDatabase } from '../store/database.ts';
import type { Database } from '../store/database.ts';
import { loadMasterKey } from '../vault/keyring.ts';
import { Secrets } from '../vault/secrets.ts';
import { openGateFolder } from './gate-folder.ts';

const WAIT_MS = 30_000;
const RETRY_MS = 50;

/** The running gate of DIR; undefined when none runs. A command that holds DIR for a moment is waited for. */
export async function runningGate(dir: string): Promise<ControlClient | undefined> {
  const until = performance.now() + WAIT_MS;
  for (;;) {
    const client = await connectControl(dir);
    if (!client) return undefined;
    try {
      const { role, pid } = await client.who();
      if (role === 'gate') return client;
      if (performance.now() > until) {
        throw new AppError('dir-in-use', `${dir} is in use by another command (pid ${pid})`);
      }
      client.close();
    } catch (error) {
      client.close();
      // What held it for a moment may be gone by now.
      if (!(await isFree(dir)) || performance.now() > until) throw error;
    }
    await delay(RETRY_MS);
  }
}

async function isFree(dir: string): Promise<boolean> {
  const client = await connectControl(dir);
  client?.close();
  return client === undefined;
}

/** What to do with the gate of DIR while it runs, and without. */
export interface Ways<T> {
  readonly running: (gate: ControlClient) => Promise<T>;
  readonly offline: (db: Database) => Promise<T>;
}

/** Does one of the two, whichever way DIR is found. */
export async function withConfiguration<T>(dir: string, ways: Ways<T>): Promise<T> {
  const folder = openGateFolder(dir);
  const gate = await runningGate(dir);
  if (gate) {
    try {
      return await ways.running(gate);
    } finally {
      gate.close();
    }
  }
  return withLock(dir, () => withOpen(folder.database, ways.offline));
}

/** Reads from the database beside a running gate, or under the lock where none runs. */
export async function withDatabase<T>(dir: string, work: (db: Database) => Promise<T>): Promise<T> {
  const { database } = openGateFolder(dir);
  const gate = await runningGate(dir);
  if (!gate) return withLock(dir, () => withOpen(database, work));
  try {
    return await withOpen(database, work);
  } finally {
    gate.close();
  }
}

async function withLock<T>(dir: string, work: () => Promise<T>): Promise<T> {
  const lock = await openControl(dir, {}, { role: 'command' });
  try {
    return await work();
  } finally {
    await lock.close();
  }
}

async function withOpen<T>(path: string, work: (db: Database) => Promise<T>): Promise<T> {
  if (!existsSync(path)) {
    throw new AppError('dir-invalid', `${path} is missing: restore it from the backup`);
  }
  const db = await openDatabase({ path });
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

/** What `applyInventory` needs of passwords and secrets, with the keys and settings of DIR. */
export async function planTools(dir: string): Promise<Omit<PlanTools, 'prune'>> {
  const passwords = await Passwords.create(loadConfig(dir).passwords);
  const secrets = new Secrets(loadMasterKey(dir));
  return {
    hashPassword: (plain) => passwords.hash(plain),
    verifyPassword: (hash, plain) => passwords.verify(hash, plain),
    seal: (plain, context) => secrets.seal(plain, context),
    open: (sealed, context) => secrets.open(sealed, context),
    now: () => Date.now(),
  };
}

/** Who runs this command: the name of the Unix user, or his number where he has no name. */
export function unixUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
