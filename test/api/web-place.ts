/**
 * Where the web is attacked: a gate with an administrator, one user who may do nothing (`bob`), one with a name like a
 * formula who may run commands, two targets of which one has an address like a command, and a session that was.
 */
import assert from 'node:assert/strict';
import type { ApiClient, ApiReply } from '../support/api-client.ts';
import { ApiGate, withAdmin } from '../support/api-gate.ts';
import { startGate, targetOf } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { startOpenSsh } from '../support/openssh.ts';
import type { Scope } from '../support/scope.ts';
import { ssh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';

export const TRANSACTION = '/api/transaction';
export const CONFIGURATION = '/api/configuration';
export const USERS = `${CONFIGURATION}/aaa/local_database/users`;
export const GROUPS = `${CONFIGURATION}/aaa/local_database/groups`;
export const ACLS = `${CONFIGURATION}/aaa/acls`;
export const TARGETS = `${CONFIGURATION}/policies/targets`;
export const RULES = `${CONFIGURATION}/ssh/rules`;
export const SESSIONS = '/api/audit/sessions';
export const CHANGES = '/api/audit/changes';

export const BOB = 'the password of bob';
export const FAR = 'the password of a far account';

interface Item {
  readonly key: string;
  readonly body: Record<string, unknown>;
}

export function itemsOf({ json }: ApiReply): Item[] {
  return json['items'] as unknown as Item[];
}

/** Status of a request; 431 as well when the gate closed before the client had sent it all. */
export async function statusOf(reply: Promise<ApiReply>): Promise<number> {
  try {
    return (await reply).status;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'HPE_HEADER_OVERFLOW') return 431;
    throw error;
  }
}

/** What the API says it has: methods by path. */
type Paths = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

interface WebParts {
  readonly gate: Gate;
  readonly paths: Paths;
  readonly privateKey: string;
  readonly at: (target: string) => Endpoint;
}

export class WebPlace extends ApiGate {
  readonly paths: Paths;
  /** Of the private key that the gate logs in with. */
  readonly privateKey: string;
  /** The user with the name like a formula at one of the targets `db1` and `trap`. */
  readonly at: (target: string) => Endpoint;

  constructor({ gate, paths, privateKey, at }: WebParts) {
    super(gate);
    this.paths = paths;
    this.privateKey = privateKey;
    this.at = at;
  }

  /** All of the configuration that the API shows, and its newest change. */
  async state(client: ApiClient): Promise<string> {
    const parts: string[] = [];
    for (const path of [USERS, GROUPS, ACLS, TARGETS, RULES, `${CHANGES}?limit=1`]) {
      const reply = await client.get(path);
      assert.equal(reply.status, 200, path);
      parts.push(reply.bytes.toString());
    }
    return parts.join('\n');
  }

  async idOf(client: ApiClient, path: string, name: string): Promise<string> {
    const item = itemsOf(await client.get(path)).find(({ body }) => body['name'] === name);
    assert.ok(item, `${name} at ${path}`);
    return item.key;
  }

  /** Runs something in a transaction of the administrator that is dropped afterwards. */
  async inTransaction(act: (admin: ApiClient) => Promise<void>): Promise<void> {
    const admin = await this.admin();
    assert.equal((await admin.post(TRANSACTION)).status, 200);
    try {
      await act(admin);
    } finally {
      await admin.delete(TRANSACTION);
    }
  }
}

export async function startWebPlace(scope: Scope): Promise<WebPlace> {
  const [target, key] = await Promise.all([startOpenSsh(scope), makeKey(scope)]);
  const { user: account, privateKeyText: privateKey } = target;
  const usual = targetOf('db1', target) as { readonly accounts: readonly object[] };
  const inventory = withAdmin({
    users: [
      { name: '=1+A1', keys: [key.publicLine], groups: ['testers'] },
      { name: 'bob', password: BOB, groups: [] },
    ],
    groups: [{ name: 'testers' }],
    targets: [
      { ...usual, accounts: [...usual.accounts, { name: 'far', password: FAR }] },
      {
        name: 'trap',
        address: '$(touch${IFS}pwned)',
        host_key_policy: 'accept-new',
        accounts: [{ name: account, password: FAR }],
      },
    ],
    rules: [
      {
        name: 'all',
        groups: ['testers'],
        targets: ['db1', 'trap'],
        accounts: [account],
        channels: ['exec'],
      },
    ],
  });
  const gate = await startGate(scope, { inventory });
  const at: WebPlace['at'] = (name) => {
    return gate.endpoint(`=1+A1@${account}@${name}`, { key: key.path });
  };
  // A session whose text is long and all alike, for searches that might count the ways through it.
  const { code, stderr } = await ssh(at('db1'), `true ${'a'.repeat(8_000)}`);
  assert.equal(code, 0, stderr.toString());
  const { json } = await new ApiGate(gate).client().get('/openapi.json');
  return new WebPlace({ gate, paths: json['paths'] as unknown as Paths, privateKey, at });
}
