/** What is known of the node that this gate is: its name, its id, and how the machine under it is. */
import { readFile, statfs } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { freemem, hostname, loadavg, totalmem } from 'node:os';
import type { LiveConnections } from '../access/live.ts';
import { uuidOfDigest } from '../base/ids.ts';
import type { Storage } from '../recording/storage.ts';
import type { InfoOptions, NodeHealth } from './info.ts';

export interface NodeNeeds {
  readonly live: LiveConnections;
  readonly storage: Storage;
}

/** This node. Its id is made from where its recordings lie, so that it stays the same. */
export function nodeOf({
  live,
  storage,
}: NodeNeeds): Pick<InfoOptions, 'hostname' | 'domain' | 'node' | 'address' | 'health'> {
  const [name = 'localhost', ...domain] = hostname().split('.');
  const digest = createHash('sha256').update(`${hostname()}\0${storage.root}`).digest();
  return {
    hostname: name,
    domain: domain.join('.'),
    node: uuidOfDigest(digest),
    address: hostname(),
    health: () => health(live, storage.root),
  };
}

async function health(live: LiveConnections, root: string): Promise<NodeHealth> {
  const { blocks, bavail } = await statfs(root);
  const [load1 = 0, load5 = 0, load15 = 0] = loadavg().map((load) => Math.round(load * 100) / 100);
  return {
    memory: percent(totalmem() - freemem(), totalmem()),
    disk: percent(blocks - bavail, blocks),
    swap: await swapUsed(),
    load1,
    load5,
    load15,
    sessions: { SSH: live.size },
    total_sessions: live.size,
  };
}

function percent(part: number, whole: number): number {
  return whole > 0 ? Math.round((part / whole) * 1000) / 10 : 0;
}

/** Per cent of the swap, from what Linux says of its memory; 0 where there is none. */
async function swapUsed(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '');
  const of = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const total = of('SwapTotal');
  return percent(total - of('SwapFree'), total);
}
