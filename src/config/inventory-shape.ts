/**
 * The shape of the inventory file (DESIGN part 8), as zod sees it: kinds of values, lengths, and names. What needs more
 * than one value at a time (references, keys, credentials) is checked by whoever has the rest.
 *
 * Unknown keys fail everywhere. A field that is left out stays as it is in the database, so nothing has a default here.
 */
import { knownAlgorithms } from './algorithms.ts';
import type { AlgorithmKind } from './algorithms.ts';
import { isChannelKind } from './channel-kinds.ts';
import { parseForwardEntry } from './forward-to.ts';
import { z } from './schema.ts';

const MAX_LIST = 10_000;
/** Characters: names stand in login names, error messages and tables. */
const MAX_NAME = 64;
/** Bytes, as much of a password as is ever hashed. */
const MAX_PASSWORD = 1024;

const name = z
  .string()
  .min(1, 'a name is not empty')
  .max(MAX_NAME, `a name has at most ${MAX_NAME} characters`)
  .refine((text) => !/[@%:/\s\p{C}]/u.test(text), {
    error: 'a name holds no "@", "%", ":", "/", white space or control characters',
  })
  .refine((text) => text === text.normalize('NFC'), 'a name is written in Unicode form NFC');

const names = z.array(name).max(MAX_LIST);
const line = z
  .string()
  .max(16_384)
  .refine((text) => !/\p{Cc}/u.test(text), 'a key is one line without control characters');

const password = z
  .string('a password is text: write it in quotes')
  .min(1, 'a password is not empty')
  .refine(
    (text) => Buffer.byteLength(text) <= MAX_PASSWORD,
    `a password has at most ${MAX_PASSWORD} bytes`,
  );

/** When somebody's time is over: a day begins at midnight UTC. Read as microseconds since 1970, below 2^53. */
const expiry = z
  .union(
    [z.iso.date(), z.iso.datetime({ offset: true })],
    'a day or a time: 2027-01-31 or 2027-01-31T09:30:00Z',
  )
  .refine((text) => {
    const year = new Date(text).getUTCFullYear();
    return year >= 1970 && year <= 2200;
  }, 'a year from 1970 to 2200')
  .transform((text) => Date.parse(text) * 1000);

const algorithms = (kind: AlgorithmKind) =>
  z
    .array(
      z.string().refine((text) => knownAlgorithms(kind).includes(text), {
        error: `not a ${kind} algorithm that the gate has; it has ${knownAlgorithms(kind).join(', ')}`,
      }),
    )
    .max(64)
    .optional();

const user = z.strictObject({
  name,
  password: password.nullable().optional(),
  keys: z.array(line).max(1_000).optional(),
  groups: names.optional(),
  disabled: z.boolean().optional(),
  expires: expiry.nullable().optional(),
});

const account = z.strictObject({
  name,
  private_key_file: z.string().min(1).max(4_096).optional(),
  private_key: z.string().min(1).max(65_536).optional(),
  password: password.optional(),
  agent: z.literal(true).optional(),
  ask: z.literal(true).optional(),
});

const target = z.strictObject({
  name,
  address: z
    .string()
    .min(1)
    .max(255)
    .refine((text) => !/[\s\p{C}@/]/u.test(text), 'an address is a host name or an IP address')
    .optional(),
  port: z.int().min(1).max(65_535).optional(),
  host_keys: z.array(line).max(100).optional(),
  host_key_policy: z.enum(['pinned', 'accept-new']).optional(),
  algorithms: z
    .strictObject({
      kex: algorithms('kex'),
      host_key: algorithms('host_key'),
      cipher: algorithms('cipher'),
      mac: algorithms('mac'),
    })
    .optional(),
  accounts: z.array(account).max(MAX_LIST).optional(),
});

const rule = z.strictObject({
  name,
  groups: names,
  targets: names,
  accounts: names,
  channels: z
    .array(z.string().refine(isChannelKind, 'not a kind of channel: shell, exec, sftp, ...'))
    .max(MAX_LIST),
  forward_to: z
    .array(
      z
        .string()
        .max(512)
        .refine((text) => parseForwardEntry(text) !== undefined, {
          error: 'not a destination: HOST:PORT, NETWORK/BITS:PORT, [IPV6]:PORT or unix:/PATH',
        }),
    )
    .max(MAX_LIST)
    .nullable()
    .optional(),
});

const acl = z.strictObject({
  group: name,
  objects: z
    .array(
      z
        .string()
        .max(1_024)
        .refine(
          (text) => /^\/[^\s\p{C}]*$/u.test(text),
          'an object is a path that starts with "/"',
        ),
    )
    .max(MAX_LIST),
  permission: z.enum(['read', 'write']),
});

const list = <T extends z.ZodType>(item: T) => z.array(item).max(MAX_LIST).nullish();

/** The whole file. An empty section (`users:` and nothing more) is null. */
export const inventoryShape = z.strictObject({
  users: list(user),
  groups: list(z.strictObject({ name })),
  targets: list(target),
  rules: list(rule),
  acls: list(acl),
  settings: z
    .strictObject({
      require_commit_message: z.boolean().optional(),
      implicit_transactions: z.boolean().optional(),
      end_sessions_on_change: z.boolean().optional(),
      rights_at_once: z.boolean().optional(),
    })
    .nullish(),
});

/** The same checks for whoever takes such objects elsewhere. */
export const objectShapes = {
  name,
  keyLine: line,
  password,
  expiry,
  user,
  account,
  target,
  rule,
  acl,
};

export type InventoryShape = z.infer<typeof inventoryShape>;
export type AccountShape = z.infer<typeof account>;
