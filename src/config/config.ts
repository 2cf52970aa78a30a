/**
 * The configuration of a gate: `DIR/sallyport.yaml`. This schema is the reference; `reference.ts`
 * prints it and `etc/sallyport.yaml` is it with comments. Every key is optional, an empty file is a
 * working configuration, an unknown key fails, and every error names file, line and reason.
 *
 * Times end in `_s` and are seconds, fractions allowed. What is read here is frozen and passed on;
 * nothing else reads the file, and nothing of it changes while the gate runs.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { knownAlgorithms, MODERN } from './algorithms.ts';
import type { AlgorithmKind } from './algorithms.ts';
import { z } from './schema.ts';
import { parseYaml } from './yaml.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
/** Longest time that a setting may name: timers of Node end at 2^31 ms. */
const MAX_SECONDS = 2_000_000;

function seconds(fallback: number, text: string) {
  return z.number().gt(0).max(MAX_SECONDS).default(fallback).describe(text);
}

function secondsOrNone(fallback: number, text: string) {
  return z.number().min(0).max(MAX_SECONDS).default(fallback).describe(text);
}

function whole(min: number, max: number, fallback: number, text: string) {
  return z.int().min(min).max(max).default(fallback).describe(text);
}

/** A list without repeats, at least one long, of the given names. */
function choice<const T extends string>(names: readonly T[], fallback: readonly T[], text: string) {
  return z
    .array(z.enum(names))
    .min(1)
    .refine((list) => new Set(list).size === list.length, 'the same name twice')
    .default([...fallback])
    .describe(text);
}

function algorithms(kind: AlgorithmKind, names: readonly string[], text: string) {
  return choice(names, MODERN[kind], text);
}

function address(fallback: string, text: string) {
  return z
    .string()
    .refine((value) => splitAddress(value) !== undefined, 'expected HOST:PORT, as 127.0.0.1:2222')
    .default(fallback)
    .describe(text);
}

function filePath(text: string) {
  return z
    .string()
    .max(4096)
    .refine((value) => !value.includes('\0'), 'a path holds no NUL')
    .default('')
    .describe(text);
}

const listen = z.strictObject({
  ssh: address('127.0.0.1:2222', 'Address and port for SSH; port 0 takes a free one.'),
  https: address('127.0.0.1:8443', 'Address and port for the API; port 0 takes a free one.'),
});

const tls = z
  .strictObject({
    cert: filePath('Certificate of the server in PEM, then those that lead to its authority.'),
    key: filePath('Its private key in PEM, without a passphrase; nobody else may read it.'),
  })
  .refine((value) => (value.cert === '') === (value.key === ''), '"cert" and "key" go together');

const login = z.strictObject({
  grace_s: seconds(120, 'A connection that has not logged in after this time is closed.'),
  ident_s: seconds(10, 'Time for the identification line, the first thing a client sends.'),
  max_tries: whole(1, 100, 6, 'Failed attempts of one connection before it is closed.'),
  methods: choice(
    ['publickey', 'password', 'keyboard-interactive'],
    ['publickey', 'password', 'keyboard-interactive'],
    'Ways to log in; `keyboard-interactive` asks for the password.',
  ),
});

const startups = z
  .strictObject({
    begin: whole(1, 1_000_000, 10, 'Unauthenticated connections from which on some are dropped.'),
    rate: whole(1, 100, 30, 'Per cent dropped at `begin`, rising evenly to all at `full`.'),
    full: whole(
      1,
      1_000_000,
      100,
      'Unauthenticated connections at which every new one is dropped.',
    ),
  })
  .refine((value) => value.begin <= value.full, '"begin" is above "full"');

const penalties = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Refuse sources that keep failing for a while.'),
    crash_s: secondsOrNone(90, 'For a connection that made the gate fail.'),
    authfail_s: secondsOrNone(5, 'For a wrong password, or a login with nothing but wrong keys.'),
    invaliduser_s: secondsOrNone(5, 'For a failed login as a user that does not exist.'),
    refuseconnection_s: secondsOrNone(10, 'For a connection refused after its login.'),
    noauth_s: secondsOrNone(1, 'For a connection that never tried to log in.'),
    grace_exceeded_s: secondsOrNone(10, 'For a connection that ran into `login.grace_s`.'),
    min_s: secondsOrNone(15, 'Nothing is refused until penalties add up to more than this.'),
    max_s: secondsOrNone(600, 'Penalties never add up to more than this.'),
    max_sources: whole(1, 1_000_000, 65_536, 'Sources remembered, for IPv4 and IPv6 each.'),
    ipv4_prefix: whole(0, 32, 32, 'Bits of an IPv4 address that make one source.'),
    ipv6_prefix: whole(0, 128, 64, 'Bits of an IPv6 address that make one source.'),
    exempt: z
      .array(z.string().refine(isNetwork, 'expected an address or a network as 10.0.0.0/8'))
      .default(['127.0.0.0/8', '::1/128'])
      .describe(
        'Networks that get no penalties. Loopback, since whoever comes from there is on this ' +
          'machine already or stands for everybody behind a proxy. Add the address of an office ' +
          'whose users share one; list nothing to exempt nobody.',
      ),
  })
  .refine((value) => value.min_s <= value.max_s, '"min_s" is above "max_s"');

const limits = z.strictObject({
  sessions_per_connection: whole(1, 10_000, 10, 'Open session channels of one connection.'),
  forwards: whole(
    0,
    10_000,
    64,
    'Forwarded channels of one connection; and places where its target listens.',
  ),
  jumps: whole(0, 10_000, 32, 'Connections at a time through one that is used as a jump.'),
  channels: whole(1, 20_000, 96, 'Open channels of one connection, of any kind.'),
  refused_opens: whole(1, 1_000_000, 1000, 'Refused opens before the connection is closed.'),
  requests: whole(1, 100_000, 256, 'Requests of one channel that wait for their reply.'),
  held_messages: whole(1, 10_000, 64, 'Messages held while the target is being reached.'),
  held_bytes: whole(KIB, 16 * MIB, 64 * KIB, 'Bytes held while the target is being reached.'),
  unsent_bytes: whole(
    64 * KIB,
    64 * MIB,
    MIB,
    'Bytes that a peer has not taken yet, above which the other side is not read.',
  ),
});

const keepalive = z.strictObject({
  interval_s: secondsOrNone(15, 'Silence after which a peer is asked whether it lives; 0: never.'),
  count: whole(1, 1000, 3, 'Questions without any answer after which it is given up.'),
});

const rekey = z.strictObject({
  bytes: whole(MIB, 4 * GIB, GIB, 'Bytes in one direction after which keys are renewed.'),
  seconds: seconds(3600, 'Time after which keys are renewed.'),
  packets: whole(1000, 2 ** 31, 2 ** 31, 'Packets in one direction after which keys are renewed.'),
  peer_timeout_s: seconds(30, 'Time that a peer has to finish a key exchange.'),
});

const downstream = z.strictObject({
  kex: algorithms('kex', knownAlgorithms('kex'), 'Key exchange.'),
  cipher: algorithms('cipher', knownAlgorithms('cipher'), 'Ciphers; the client picks.'),
  mac: algorithms('mac', knownAlgorithms('mac'), 'MACs, for ciphers that need one.'),
  host_key: algorithms(
    'host_key',
    MODERN.host_key,
    "Signatures by the gate's own host keys; those without such a key are left out.",
  ),
});

const upstream = z.strictObject({
  connect_s: seconds(10, 'Time to reach a target.'),
  handshake_s: seconds(20, 'Time for the key exchange with a target.'),
  login_s: seconds(20, 'Time for the login at a target.'),
  agent_s: seconds(30, "Time for each answer of a user's agent; he may have to touch a key."),
  kex: algorithms('kex', MODERN.kex, 'Key exchange, best first.'),
  cipher: algorithms('cipher', MODERN.cipher, 'Ciphers, best first.'),
  mac: algorithms('mac', MODERN.mac, 'MACs, best first.'),
  host_key: algorithms('host_key', MODERN.host_key, 'Host key signatures, best first.'),
});

const passwords = z.strictObject({
  memory_kib: whole(8 * KIB, MIB, 64 * KIB, 'Memory of one argon2id hash.'),
  passes: whole(1, 100, 3, 'Passes over that memory.'),
  lanes: whole(1, 16, 1, 'Threads of one hash; each is a thread of its own.'),
  concurrent: whole(1, 64, 2, 'Hashes at a time.'),
  queue: whole(0, 10_000, 32, 'Hashes that wait; one more is refused as busy.'),
});

/** The schema of the whole file. */
export const configSchema = z.strictObject({
  listen: listen.prefault({}).describe('Where the gate listens.'),
  tls: tls
    .prefault({})
    .describe('Certificate for https in place of the one in DIR/tls; paths are relative to DIR.'),
  ident: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 printable ASCII characters without spaces')
    .default(`OpenSSH_Sallyport_${VERSION}`)
    .describe(
      'What the gate calls itself to both sides. Begins with OpenSSH because OpenSSH offers some ' +
        'extensions only to its like; without them `ssh host yes | head` never ends.',
    ),
  banner: z
    .string()
    .max(8 * KIB)
    .refine((text) => !/[^\P{Cc}\n\t]/u.test(text), 'control characters other than newline and tab')
    .default('')
    .describe('Text shown before login; empty for none.'),
  workers: z
    .literal(0, 'only 0 for now: everything runs in one process')
    .default(0)
    .describe('SSH worker processes; 0 runs all in one process, and is all there is for now.'),
  login: login.prefault({}).describe('Login of users.'),
  startups: startups.prefault({}).describe('Random early drop of unauthenticated connections.'),
  penalties: penalties.prefault({}).describe('Penalties per source; they add up and run off.'),
  limits: limits.prefault({}).describe('Limits per connection.'),
  keepalive: keepalive.prefault({}).describe('Detection of dead peers, on both sides.'),
  rekey: rekey.prefault({}).describe('Renewal of keys, on both sides.'),
  algorithms: downstream.prefault({}).describe('What users are offered; older ones by name only.'),
  upstream: upstream
    .prefault({})
    .describe('Connections to targets; older algorithms only by the entry of a target.'),
  passwords: passwords.prefault({}).describe("Hashing of users' passwords (argon2id)."),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error'])
        .default('info')
        .describe('Least level that is written; audit lines are always written.'),
    })
    .prefault({})
    .describe('Log, as JSON lines on stderr.'),
});

type DeepReadonly<T> = T extends (infer E)[]
  ? readonly E[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** The configuration with every default filled in; frozen throughout. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;

/** Reads `DIR/sallyport.yaml`; a missing file is an empty one. */
export function loadConfig(dir: string): Config {
  const file = path.join(dir, 'sallyport.yaml');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') text = '';
    else throw new AppError('config-invalid', `${file}: ${reasonOf(cause)}`, { cause });
  }
  return parseConfig(text, file);
}

/** Checks the text of a configuration file; `file` is for its errors. */
export function parseConfig(text: string, file: string): Config {
  const yaml = parseYaml(text, file, 'config-invalid');
  const result = configSchema.safeParse(nothingIsDefault(yaml.value), { reportInput: false });
  if (!result.success) {
    const issue = result.error.issues[0];
    const place = (issue?.path ?? []).map((part) =>
      typeof part === 'number' ? part : String(part),
    );
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const full = unknown === undefined ? place : [...place, unknown];
    const reason = unknown === undefined ? reasonOf(issue?.message) : 'unknown key';
    const named = full.length === 0 ? '' : `${full.join('.')}: `;
    throw new AppError('config-invalid', `${file}:${yaml.lineOf(full)}: ${named}${reason}`);
  }
  return deepFreeze(result.data);
}

/** The configuration without a key exchange that this machine cannot do; refused where nothing else is allowed. */
export function withoutKex(config: Config, method: string): Config {
  const rest = (kex: readonly string[], key: string): string[] => {
    const others = kex.filter((name) => name !== method);
    if (others.length > 0) return others;
    throw new AppError('config-invalid', `${key}: this machine's Node cannot do ${method}`);
  };
  const { algorithms: downstream, upstream } = config;
  return {
    ...config,
    algorithms: { ...downstream, kex: rest(downstream.kex, 'algorithms.kex') },
    upstream: { ...upstream, kex: rest(upstream.kex, 'upstream.kex') },
  };
}

/** Host and port of `HOST:PORT` or `[HOST]:PORT`, or undefined when it is neither. */
export function splitAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) return undefined;
  if (match?.[1] !== undefined && isIP(host) !== 6) return undefined;
  return { host, port };
}

function isNetwork(text: string): boolean {
  const [ip = '', bits, ...rest] = text.split('/');
  const family = isIP(ip);
  if (family === 0 || rest.length > 0) return false;
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
  );
}

/**
 * A key with nothing behind it (`login:`) is as if it were not there: a commented-out block stays
 * valid.
 */
function nothingIsDefault(value: unknown): unknown {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
