/**
 * Targets and the accounts on them, Sallyport's own part of the configuration, in the form of the contract. A secret is
 * sent with an account and never shown; an account that is sent without one keeps the one it has.
 */
import { reasonOf } from '../base/errors.ts';
import { newObjectId, newUuid } from '../base/ids.ts';
import { Secret } from '../base/secret.ts';
import { objectShapes } from '../config/inventory-shape.ts';
import { z } from '../config/schema.ts';
import { credentialContext } from '../store/rows.ts';
import type { AccountRow, Credential, TargetRow } from '../store/rows.ts';
import type { Secrets } from '../vault/secrets.ts';
import { parseAuthorizedKey } from '../wire/publickey.ts';
import { parsePrivateKey } from '../wire/ssh2.ts';
import type { Collection, PathParams } from './collection.ts';
import { ApiError } from './errors.ts';
import { refuse, refuseTaken, withoutRow, withRow } from './refuse.ts';
import type { Staged } from './transactions.ts';

export const TARGETS = '/api/configuration/policies/targets';
export const ACCOUNTS = `${TARGETS}/:target/accounts`;

export interface TargetTools {
  readonly secrets: Secrets;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const { name, target: targetShape, account: accountShape } = objectShapes;
const { address, port, host_keys, host_key_policy, algorithms } = targetShape.shape;

const sentTarget = z.strictObject({
  name,
  address: address.unwrap(),
  port: port.unwrap().default(22),
  host_keys: host_keys.unwrap().default([]),
  host_key_policy: host_key_policy.unwrap().default('pinned'),
  algorithms: algorithms.unwrap().default({}),
});
type SentTarget = z.output<typeof sentTarget>;

const targetBody = z.strictObject({
  name: z.string(),
  address: z.string(),
  port: z.int(),
  host_keys: z.array(z.string()),
  host_key_policy: z.enum(['pinned', 'accept-new']),
  algorithms: z.looseObject({}),
});

/** The collection of targets. */
export function targetsCollection({ now }: TargetTools): Collection<SentTarget> {
  const rowOf = (staged: Staged, sent: SentTarget, was: TargetRow | undefined): TargetRow => {
    refuseTaken(staged.content.targets, sent.name, was?.id);
    const hostKeys = hostKeysOf(sent.host_keys);
    if (sent.host_key_policy === 'pinned' && hostKeys.length === 0) {
      refuse('host_keys', 'give the keys of the host, or host_key_policy accept-new');
    }
    const { kex, host_key: hostKey, cipher, mac } = sent.algorithms;
    const extra = Object.entries({ kex, hostKey, cipher, mac });
    return {
      id: was?.id ?? newObjectId(),
      uuid: was?.uuid ?? newUuid(now()),
      name: sent.name,
      address: sent.address,
      port: sent.port,
      hostKeys,
      hostKeyPolicy: sent.host_key_policy,
      algorithms: Object.fromEntries(extra.filter(([, list]) => list && list.length > 0)),
      accounts: was?.accounts ?? [],
    };
  };
  return {
    path: TARGETS,
    name: 'target',
    object: '/special/pol',
    sent: sentTarget,
    body: targetBody,
    list: ({ content }) => content.targets.map((row) => ({ key: row.id, body: targetShown(row) })),
    create: ({ staged, sent }) => {
      const row = rowOf(staged, sent, undefined);
      return Promise.resolve({ staged: withTarget(staged, row), key: row.id });
    },
    replace: ({ staged, sent }, key) => {
      const was = staged.content.targets.find(({ id }) => id === key);
      const row = rowOf(staged, sent, was);
      const next = withTarget(staged, row);
      return Promise.resolve(was ? renamed(next, was.name, row.name) : next);
    },
    remove: (staged, key) => {
      const { content } = staged;
      const own = content.targets.find(({ id }) => id === key)?.name ?? '';
      const rule = content.rules.find(({ targets }) => targets.includes(own));
      if (rule) refuse('name', `the rule ${JSON.stringify(rule.name)} refers to this target`);
      return { ...staged, content: { ...content, targets: withoutRow(content.targets, key) } };
    },
  };
}

function targetShown({ hostKeys, hostKeyPolicy, ...row }: TargetRow) {
  const { kex, hostKey, cipher, mac } = row.algorithms;
  const extra = Object.entries({ kex, host_key: hostKey, cipher, mac });
  return {
    name: row.name,
    address: row.address,
    port: row.port,
    host_keys: [...hostKeys],
    host_key_policy: hostKeyPolicy,
    algorithms: Object.fromEntries(extra.filter(([, list]) => list !== undefined)),
  };
}

function hostKeysOf(lines: readonly string[]): string[] {
  const keys = lines.map((line, at) => {
    try {
      const { type, blob } = parseAuthorizedKey(line);
      return `${type} ${blob.toString('base64')}`;
    } catch (error) {
      return refuse(`host_keys.${at}`, reasonOf(error), error);
    }
  });
  return [...new Set(keys)];
}

function withTarget(staged: Staged, row: TargetRow): Staged {
  const { content } = staged;
  return { ...staged, content: { ...content, targets: withRow(content.targets, row) } };
}

/** Rules hold targets by name. */
function renamed(staged: Staged, from: string, to: string): Staged {
  if (from === to) return staged;
  const rules = staged.content.rules.map((rule) =>
    rule.targets.includes(from)
      ? { ...rule, targets: rule.targets.map((own) => (own === from ? to : own)) }
      : rule,
  );
  return { ...staged, content: { ...staged.content, rules } };
}

const { private_key, password } = accountShape.shape;
const LOGINS = ['private-key', 'password', 'agent', 'ask'] as const;

const sentAccount = z.strictObject({
  name,
  login: z.enum(LOGINS),
  private_key: private_key.describe('Never shown'),
  password: password.describe('Never shown'),
});
type SentAccount = z.output<typeof sentAccount>;

/** The collection of accounts on a target. */
export function accountsCollection({ secrets, now }: TargetTools): Collection<SentAccount> {
  const put = (
    staged: Staged,
    params: PathParams,
    sent: SentAccount,
    was: AccountRow | undefined,
  ): { readonly staged: Staged; readonly key: string } => {
    const target = targetIn(staged, params);
    refuseTaken(target.accounts, sent.name, was?.id);
    const id = was?.id ?? newObjectId();
    const account: AccountRow = {
      id,
      uuid: was?.uuid ?? newUuid(now()),
      name: sent.name,
      credential: credentialOf(sent, was?.credential, id, secrets),
    };
    const accounts = withRow(target.accounts, account);
    return { staged: withTarget(staged, { ...target, accounts }), key: id };
  };
  const find = (staged: Staged, params: PathParams, key: string): AccountRow | undefined =>
    targetIn(staged, params).accounts.find(({ id }) => id === key);
  return {
    path: ACCOUNTS,
    name: 'account',
    object: '/special/pol',
    sent: sentAccount,
    body: z.strictObject({ name: z.string(), login: z.enum(LOGINS) }),
    list: (staged, params) =>
      targetIn(staged, params).accounts.map(({ id, name: own, credential }) => ({
        key: id,
        body: { name: own, login: credential.kind },
      })),
    create: ({ staged, params, sent }) => Promise.resolve(put(staged, params, sent, undefined)),
    replace: ({ staged, params, sent }, key) => {
      const was = find(staged, params, key);
      const next = put(staged, params, sent, was).staged;
      const others = new Set(
        next.content.targets.flatMap(({ accounts }) => accounts.map((a) => a.name)),
      );
      if (was && !others.has(was.name)) refuseUsed(next, was.name);
      return Promise.resolve(next);
    },
    remove: (staged, key, params) => {
      const target = targetIn(staged, params);
      const was = find(staged, params, key);
      const next = withTarget(staged, { ...target, accounts: withoutRow(target.accounts, key) });
      const left = new Set(
        next.content.targets.flatMap(({ accounts }) => accounts.map((a) => a.name)),
      );
      if (was && !left.has(was.name)) refuseUsed(next, was.name);
      return next;
    },
  };
}

/** Refuses to take away the last account of a name that a rule refers to. */
function refuseUsed({ content }: Staged, account: string): void {
  const rule = content.rules.find(({ accounts }) => accounts.includes(account));
  if (rule) refuse('name', `the rule ${JSON.stringify(rule.name)} refers to this account`);
}

function targetIn({ content }: Staged, params: PathParams): TargetRow {
  const target = content.targets.find(({ id }) => id === params['target']);
  if (target) return target;
  throw new ApiError('NotFound', `There is no target ${params['target'] ?? ''}.`);
}

function credentialOf(
  { login, private_key: key, password: plain }: SentAccount,
  was: Credential | undefined,
  id: string,
  secrets: Secrets,
): Credential {
  const stray = login === 'private-key' ? plain : login === 'password' ? key : (plain ?? key);
  if (stray !== undefined) refuse('login', `${login} takes no such secret`);
  if (login === 'agent' || login === 'ask') return { kind: login };
  const text = login === 'password' ? plain : key;
  if (text === undefined) {
    if (was?.kind === login) return was;
    return refuse(login === 'password' ? 'password' : 'private_key', 'what to log in with');
  }
  if (login === 'private-key') {
    try {
      parsePrivateKey(text);
    } catch (error) {
      refuse('private_key', reasonOf(error), error);
    }
  }
  return { kind: login, sealed: secrets.seal(new Secret(text), credentialContext(id)) };
}
