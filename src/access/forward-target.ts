/**
 * Where a forward leads, as the target will see it, and whether a rule's `forward_to` lets it through. Names are compared
 * as they were sent and never resolved here: what `db` or `127.1` mean is known to the target alone, so a network lets
 * through nothing but addresses in their full form. An IPv4 address inside IPv6 is that IPv4 address, since the target's
 * kernel takes it so.
 */
import { isIP } from 'node:net';
import { parseForwardEntry } from '../config/forward-to.ts';
import type { ForwardEntry } from '../config/forward-to.ts';
import type { ForwardAddress } from '../wire/forwarding.ts';
import { networkTest, sourceAddress } from './source-address.ts';

/** A rule's list, ready to be asked. */
export type ForwardTest = (target: ForwardAddress) => boolean;

/** The test for a list; an entry that cannot be read lets nothing through. */
export function forwardTest(entries: readonly string[]): ForwardTest {
  const tests = entries.map((text) => {
    const entry = parseForwardEntry(text);
    return entry === undefined ? () => false : testOf(entry);
  });
  return (target) => tests.some((test) => test(target));
}

function testOf(entry: ForwardEntry): ForwardTest {
  if (entry.kind === 'unix') {
    const path = Buffer.from(entry.path).toString('latin1');
    return (target) => target.kind === 'unix' && target.path === path;
  }
  const host = hostTest(entry.host);
  return (target) =>
    target.kind === 'tcp' &&
    (entry.port === undefined || entry.port === target.port) &&
    host(target.host);
}

function hostTest(
  entry: Extract<ForwardEntry, { kind: 'tcp' }>['host'],
): (host: string) => boolean {
  switch (entry.kind) {
    case 'any':
      return () => true;
    case 'name':
      return (host) => host.toLowerCase() === entry.name;
    case 'network': {
      const inside = networkTest([entry.network]);
      const family = entry.network.includes(':') ? 6 : 4;
      return (host) => {
        // A zone (`fe80::1%eth0`) names an interface of the target: no address that a network could be asked for.
        if (isIP(host) === 0 || host.includes('%')) return false;
        const address = sourceAddress(host);
        return address.family === family && inside(address);
      };
    }
  }
}
