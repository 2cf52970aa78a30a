/**
 * Where trails lie on the disk. Paths are made from ids alone: never from a name, an address or anything else that a
 * peer chose, and a symbolic link anywhere below the root is refused.
 *
 *   <root>/<YYYY-MM-DD of the id's time, UTC>/<connection>/connection.trail, 0.trail, 1.trail, ...
 *   <root>/ledgers/<instance>.trail
 */
import { lstat, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, reasonOf } from '../base/errors.ts';
import { isUuid, uuidTime } from '../base/ids.ts';

const LEDGERS = 'ledgers';
const SUFFIX = '.trail';
const DAY = /^\d{4}-\d\d-\d\d$/;
const CHANNEL = /^(0|[1-9]\d{0,8})\.trail$/;
/** The end of the year 9999: later days have no four-digit year. */
const LAST_MS = 253_402_300_799_999;

/** Whether a connection can have this id: a UUIDv7, of a day that a folder can be named after. */
export function isConnectionId(id: string): boolean {
  return isUuid(id) && id[14] === '7' && uuidTime(id) <= LAST_MS;
}

/** Whether a channel can have this ordinal. */
export function isChannelOrdinal(channel: number): boolean {
  return Number.isSafeInteger(channel) && channel >= 0 && channel < 1e9;
}

export class Storage {
  readonly root: string;

  /** `root` is `DIR/recordings`. */
  constructor(root: string) {
    this.root = root;
  }

  connectionFolder(connection: string): string {
    return join(this.root, this.#day(connection), connection);
  }

  connectionPath(connection: string): string {
    return join(this.connectionFolder(connection), `connection${SUFFIX}`);
  }

  channelPath(connection: string, channel: number): string {
    if (!isChannelOrdinal(channel)) {
      throw new AppError('not-found', `no channel ${channel}`);
    }
    return join(this.connectionFolder(connection), `${channel}${SUFFIX}`);
  }

  ledgerPath(instance: string): string {
    checkId(instance);
    return join(this.root, LEDGERS, `${instance}${SUFFIX}`);
  }

  /** Makes the folder of a connection, if it is not there, and returns its path. */
  async prepareConnection(connection: string): Promise<string> {
    const folder = this.connectionFolder(connection);
    await makeFolder(this.root);
    await makeFolder(join(this.root, this.#day(connection)));
    await makeFolder(folder);
    return folder;
  }

  /** Makes the folder of the ledgers. */
  async prepareLedgers(): Promise<void> {
    await makeFolder(this.root);
    await makeFolder(join(this.root, LEDGERS));
  }

  /** Whether the connection has a folder with something in it. */
  async hasConnection(connection: string): Promise<boolean> {
    return (await namesIn(this.connectionFolder(connection))).length > 0;
  }

  /** The ids of all connections that have a folder, oldest day first, one day at a time in memory. */
  async *connections(): AsyncGenerator<string> {
    const days = (await namesIn(this.root)).filter((name) => DAY.test(name)).sort();
    for (const day of days) {
      for (const name of (await namesIn(join(this.root, day))).sort()) {
        if (isUuid(name) && name[14] === '7' && this.#day(name) === day) yield name;
      }
    }
  }

  /**
   * What lies below the root and has no business there: everything that `connections`, `channels` and `ledgers` do not
   * account for. A `.gitignore` and a `README.md` at the root are allowed.
   */
  async *strangers(): AsyncGenerator<string> {
    for (const name of await namesIn(this.root)) {
      if (name === LEDGERS || name === '.gitignore' || name === 'README.md') continue;
      if (!DAY.test(name)) yield join(this.root, name);
    }
    for (const name of await namesIn(join(this.root, LEDGERS))) {
      const id = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : '';
      if (!isUuid(id)) yield join(this.root, LEDGERS, name);
    }
    const days = (await namesIn(this.root)).filter((name) => DAY.test(name));
    for (const day of days) {
      for (const name of await namesIn(join(this.root, day))) {
        const known = isUuid(name) && name[14] === '7' && this.#day(name) === day;
        if (!known) yield join(this.root, day, name);
      }
    }
  }

  /** Ordinals of the channels that have a file, ascending. */
  async channels(connection: string): Promise<number[]> {
    const names = await namesIn(this.connectionFolder(connection));
    return names
      .filter((name) => CHANNEL.test(name))
      .map((name) => Number.parseInt(name, 10))
      .sort((a, b) => a - b);
  }

  /** Names in a connection's folder that are no trail. */
  async strangersOf(connection: string): Promise<string[]> {
    const names = await namesIn(this.connectionFolder(connection));
    return names.filter((name) => !CHANNEL.test(name) && name !== `connection${SUFFIX}`);
  }

  /** The instances that have a ledger, oldest first. */
  async ledgers(): Promise<string[]> {
    const names = await namesIn(join(this.root, LEDGERS));
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .filter(isUuid)
      .sort();
  }

  #day(connection: string): string {
    if (!isConnectionId(connection)) throw new AppError('not-found', NOT_AN_ID);
    return new Date(uuidTime(connection)).toISOString().slice(0, 10);
  }
}

const NOT_AN_ID = 'not the id of a connection or an instance';

function checkId(id: string): void {
  if (!isUuid(id)) throw new AppError('not-found', NOT_AN_ID);
}

/** The names in a folder, none if it is not there; a symbolic link in its place is refused. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    await checkFolder(folder);
    return await readdir(folder);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

async function checkFolder(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (!found.isDirectory()) {
    throw new AppError('recording-failed', `${folder} is not a folder; a link is not followed`);
  }
}

/** Makes one folder, private to its owner, and syncs its parent so that it is still there after a power loss. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if (!isCode(error, 'EEXIST')) {
      const text = `cannot make the folder ${folder}: ${reasonOf(error)}`;
      throw new AppError('recording-failed', text, { cause: error });
    }
    await checkFolder(folder);
    return;
  }
  const parent = await open(join(folder, '..'), 'r');
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
