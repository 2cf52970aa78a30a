/** A gate with an administrator, and clients of its API. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiClient } from './api-client.ts';
import { startGate } from './gate.ts';
import type { Gate, GateOptions, Inventory } from './gate.ts';
import type { Scope } from './scope.ts';

export const ADMIN_PASSWORD = 'correct horse battery staple';

/** The administrator, and whatever else an inventory has. */
export function withAdmin(inventory: Inventory = {}): Inventory {
  const { users = [], groups = [], ...rest } = inventory;
  return {
    ...rest,
    users: [{ name: 'admin', password: ADMIN_PASSWORD, groups: ['admins'] }, ...users],
    groups: [{ name: 'admins' }, ...groups],
  };
}

export class ApiGate {
  readonly gate: Gate;

  constructor(gate: Gate) {
    this.gate = gate;
  }

  /** A client that has not logged in. */
  client(): ApiClient {
    return new ApiClient(this.gate.https, readFileSync(join(this.gate.dir, 'tls/ca.pem')));
  }

  /** One who has. */
  async as(user: string, password: string): Promise<ApiClient> {
    const client = this.client();
    const { status, bytes } = await client.login(user, password);
    if (status !== 200) throw new Error(`${user} cannot log in: ${bytes.toString()}`);
    return client;
  }

  admin(): Promise<ApiClient> {
    return this.as('admin', ADMIN_PASSWORD);
  }
}

export async function startApiGate(scope: Scope, options: GateOptions = {}): Promise<ApiGate> {
  const inventory = withAdmin(options.inventory);
  return new ApiGate(await startGate(scope, { ...options, inventory }));
}
