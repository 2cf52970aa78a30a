/**
 * Users and groups (SPS contract, sections 7.2 and 7.3), with what Sallyport adds: a user's SSH keys, whether he is
 * disabled, when he expires. A field of ours that a client of the contract does not send stays as it is.
 */
import { newObjectId, newUuid } from '../base/ids.ts';
import { objectShapes } from '../config/inventory-shape.ts';
import { z } from '../config/schema.ts';
import type { GroupRow, UserRow } from '../store/rows.ts';
import { parseAuthorizedKey } from '../wire/publickey.ts';
import { reasonOf } from '../base/errors.ts';
import { sentReference } from './collection.ts';
import type { Collection } from './collection.ts';
import { reference, referenceShape } from './meta.ts';
import { PASSWORDS } from './passwords.ts';
import { ADMIN } from './permissions.ts';
import { refuse, refuseTaken, withoutRow, withRow } from './refuse.ts';
import type { Staged } from './transactions.ts';

const DATABASE = '/api/configuration/aaa/local_database';
export const USERS = `${DATABASE}/users`;
export const GROUPS = `${DATABASE}/groups`;

export interface PeopleTools {
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const { name, keyLine, expiry } = objectShapes;

const sentUser = z.strictObject({
  name,
  password: sentReference.nullable(),
  password_created: z.int().nullable().optional().describe('Set by the server; ignored'),
  keys: z.array(keyLine).max(1_000).optional(),
  disabled: z.boolean().optional(),
  expires: expiry.nullable().optional(),
});
type SentUser = z.output<typeof sentUser>;

const userBody = z.strictObject({
  name: z.string(),
  password: referenceShape.nullable(),
  password_created: z.int().nullable(),
  keys: z.array(z.string()),
  disabled: z.boolean(),
  expires: z.string().nullable(),
});

/** The collection of users. */
export function usersCollection({ now }: PeopleTools): Collection<SentUser> {
  const made = (staged: Staged, sent: SentUser, was: UserRow | undefined): Staged => {
    const { content } = staged;
    refuseTaken(content.users, sent.name, was?.id);
    if (was?.name === ADMIN) keepAdmin(sent);
    const { passwords, ...password } = passwordOf(staged, sent, was);
    const { expires } = sent;
    const user: UserRow = {
      id: was?.id ?? newObjectId(),
      uuid: was?.uuid ?? newUuid(now()),
      name: sent.name,
      ...password,
      keys: sent.keys === undefined ? (was?.keys ?? []) : keysOf(sent.keys),
      groups: was?.groups ?? [],
      disabled: sent.disabled ?? was?.disabled ?? false,
      expires: expires === undefined ? (was?.expires ?? null) : expires,
    };
    return { passwords, content: { ...content, users: withRow(content.users, user) } };
  };
  return {
    path: USERS,
    name: 'user',
    object: '/special/auth',
    sent: sentUser,
    body: userBody,
    list: ({ content }) => content.users.map((user) => ({ key: user.id, body: userShown(user) })),
    create: ({ staged, sent }) => {
      const next = made(staged, sent, undefined);
      return Promise.resolve({ staged: next, key: next.content.users.at(-1)?.id ?? '' });
    },
    replace: ({ staged, sent }, key) => {
      const was = staged.content.users.find(({ id }) => id === key);
      return Promise.resolve(made(staged, sent, was));
    },
    remove: (staged, key) => {
      const { content } = staged;
      const user = content.users.find(({ id }) => id === key);
      if (user?.name === ADMIN) refuse('name', 'the user admin cannot be removed');
      const [group] = user?.groups ?? [];
      if (group !== undefined) refuse('name', `the group ${JSON.stringify(group)} has this member`);
      return { ...staged, content: { ...content, users: withoutRow(content.users, key) } };
    },
  };
}

/** The administrator can always log in: nobody else could repair over the API what went wrong without him. */
function keepAdmin({ name: own, disabled, expires, password }: SentUser): void {
  if (own !== ADMIN) refuse('name', 'the user admin keeps his name');
  if (disabled === true) refuse('disabled', 'the user admin cannot be disabled');
  if (typeof expires === 'number') refuse('expires', 'the user admin does not expire');
  if (password === null) refuse('password', 'the user admin has a password');
}

function userShown({ name: own, passwordId, passwordCreated, keys, disabled, expires }: UserRow) {
  return {
    name: own,
    password: passwordId === null ? null : reference(PASSWORDS, passwordId),
    password_created: passwordCreated,
    keys: [...keys],
    disabled,
    expires: expires === null ? null : new Date(expires / 1000).toISOString(),
  };
}

type GivenPassword = Pick<UserRow, 'passwordHash' | 'passwordId' | 'passwordCreated'> &
  Pick<Staged, 'passwords'>;

/** The password that is referred to: his own, or one of the transaction, which nobody else has then. */
function passwordOf(
  { content, passwords }: Staged,
  { password }: SentUser,
  was: UserRow | undefined,
): GivenPassword {
  if (password === null) {
    return { passwordHash: null, passwordId: null, passwordCreated: null, passwords };
  }
  if (was && was.passwordId === password) {
    const { passwordHash, passwordId, passwordCreated } = was;
    return { passwordHash, passwordId, passwordCreated, passwords };
  }
  const given = passwords.get(password);
  if (given) {
    const rest = new Map(passwords);
    rest.delete(password);
    const { hash, id, created } = given;
    return { passwordHash: hash, passwordId: id, passwordCreated: created, passwords: rest };
  }
  const isTaken = content.users.some(({ passwordId }) => passwordId === password);
  return refuse(
    'password',
    isTaken ? 'this password is referred to already' : 'there is no such password',
  );
}

function keysOf(lines: readonly string[]): string[] {
  const seen = new Set<string>();
  return lines.map((line, at) => {
    try {
      const { type, blob, comment } = parseAuthorizedKey(line);
      const key = `${type} ${blob.toString('base64')}`;
      if (seen.has(key)) throw new Error('this key is there twice');
      seen.add(key);
      return comment === '' ? key : `${key} ${comment}`;
    } catch (error) {
      return refuse(`keys.${at}`, reasonOf(error), error);
    }
  });
}

const sentGroup = z.strictObject({
  name,
  members: z.array(sentReference).max(100_000),
});
type SentGroup = z.output<typeof sentGroup>;

const groupBody = z.strictObject({ members: z.array(referenceShape), name: z.string() });

/** The collection of groups. A new name follows into users, rules and ACLs, which hold groups by name. */
export function groupsCollection({ now }: PeopleTools): Collection<SentGroup> {
  return {
    path: GROUPS,
    name: 'group',
    object: '/special/auth',
    sent: sentGroup,
    body: groupBody,
    list: ({ content }) =>
      content.groups.map(({ id, name: own }) => ({
        key: id,
        body: {
          members: content.users
            .filter(({ groups }) => groups.includes(own))
            .map((user) => reference(USERS, user.id)),
          name: own,
        },
      })),
    create: ({ staged, sent }) => {
      refuseTaken(staged.content.groups, sent.name, undefined);
      const group = { id: newObjectId(), uuid: newUuid(now()), name: sent.name };
      const groups = [...staged.content.groups, group];
      const content = { ...staged.content, groups };
      return Promise.resolve({ staged: withMembers({ ...staged, content }, sent), key: group.id });
    },
    replace: ({ staged, sent }, key) => {
      refuseTaken(staged.content.groups, sent.name, key);
      const was = staged.content.groups.find(({ id }) => id === key);
      const renamed = was ? renamedGroup(staged, was, sent.name) : staged;
      return Promise.resolve(withMembers(renamed, sent));
    },
    remove: (staged, key) => {
      const { content } = staged;
      const group = content.groups.find(({ id }) => id === key)?.name ?? '';
      const rule = content.rules.find(({ groups }) => groups.includes(group));
      if (rule) refuse('name', `the rule ${JSON.stringify(rule.name)} refers to this group`);
      if (content.acls.some((acl) => acl.group === group))
        refuse('name', 'an ACL refers to this group');
      const users = content.users.map((user) =>
        user.groups.includes(group)
          ? { ...user, groups: user.groups.filter((other) => other !== group) }
          : user,
      );
      return { ...staged, content: { ...content, users, groups: withoutRow(content.groups, key) } };
    },
  };
}

function withMembers(staged: Staged, { name: group, members }: SentGroup): Staged {
  const { content } = staged;
  const known = new Set(content.users.map(({ id }) => id));
  members.forEach((id, at) => {
    if (!known.has(id)) refuse(`members.${at}`, `there is no user ${JSON.stringify(id)}`);
  });
  const wanted = new Set(members);
  const users = content.users.map((user) => {
    const isMember = user.groups.includes(group);
    if (isMember === wanted.has(user.id)) return user;
    const others = user.groups.filter((other) => other !== group);
    return { ...user, groups: isMember ? others : [...others, group].sort() };
  });
  return { ...staged, content: { ...content, users } };
}

function renamedGroup(staged: Staged, was: GroupRow, to: string): Staged {
  if (was.name === to) return staged;
  const { content } = staged;
  const rename = (groups: readonly string[]): readonly string[] =>
    groups.map((group) => (group === was.name ? to : group));
  return {
    ...staged,
    content: {
      ...content,
      groups: withRow(content.groups, { ...was, name: to }),
      users: content.users.map((user) =>
        user.groups.includes(was.name) ? { ...user, groups: rename(user.groups) } : user,
      ),
      rules: content.rules.map((rule) =>
        rule.groups.includes(was.name) ? { ...rule, groups: rename(rule.groups) } : rule,
      ),
      acls: content.acls.map((acl) => (acl.group === was.name ? { ...acl, group: to } : acl)),
    },
  };
}
