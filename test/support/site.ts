/** The usual place of an end-to-end test: one target, one gate before it, one user who may do everything there. */
import { inventoryOf, startGate } from './gate.ts';
import type { Gate, Inventory } from './gate.ts';
import { makeKey } from './keys.ts';
import type { KeyPair } from './keys.ts';
import { startOpenSsh } from './openssh.ts';
import type { OpenSsh, OpenSshOptions } from './openssh.ts';
import type { Scope } from './scope.ts';
import type { Endpoint } from './ssh-client.ts';

export interface Site {
  readonly target: OpenSsh;
  readonly gate: Gate;
  readonly key: KeyPair;
  readonly inventory: Inventory;
  /** alice at the target's account, with her key. */
  readonly to: Endpoint;
  /** Another login name; with alice's key unless others are given. */
  readonly as: (login: string, credentials?: Pick<Endpoint, 'key' | 'password'>) => Endpoint;
}

export interface SiteOptions {
  readonly password?: string;
  readonly channels?: readonly string[];
  readonly target?: OpenSshOptions;
  readonly configure?: (dir: string) => void;
  readonly env?: NodeJS.ProcessEnv;
  /** Changes the inventory before it is applied. */
  readonly inventory?: (usual: Inventory, target: OpenSsh) => Inventory;
}

/** Starts target and gate; the target is `db1`, the user `alice` in group `testers`. */
export async function startSite(scope: Scope, options: SiteOptions = {}): Promise<Site> {
  const target = await startOpenSsh(scope, options.target);
  const key = await makeKey(scope);
  const { password, channels, configure, env } = options;
  const user = { name: 'alice', key, ...(password === undefined ? {} : { password }) };
  const usual = inventoryOf(user, [{ name: 'db1', target }], channels);
  const inventory = options.inventory?.(usual, target) ?? usual;
  const gate = await startGate(scope, {
    inventory,
    ...(configure ? { configure } : {}),
    ...(env ? { env } : {}),
  });
  const as: Site['as'] = (login, credentials = { key: key.path }) => {
    return gate.endpoint(login, credentials);
  };
  return { target, gate, key, inventory, to: as(`alice@${target.user}@db1`), as };
}
