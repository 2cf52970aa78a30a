/**
 * `sallyport init`: makes the folder of a gate, with keys of its own, an empty database and a commented configuration.
 * It makes things only where nothing is: a folder that was initialised before is refused, and no key is ever replaced.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { parseConfig, splitAddress } from '../config/config.ts';
import type { InventoryDocument } from '../config/inventory-file.ts';
import { createSigningKey } from '../recording/seal.ts';
import { applyInventory } from '../store/apply.ts';
import { openDatabase } from '../store/database.ts';
import { createHostAuthority } from '../vault/host-ca.ts';
import { createMasterKey } from '../vault/keyring.ts';
import { createTls, serverNames } from '../vault/tls.ts';
import { fingerprint, parseAuthorizedKey } from '../wire/publickey.ts';
import { generateKeyPair } from '../wire/ssh2.ts';
import { planTools } from './configuration.ts';
import { gateFolder } from './gate-folder.ts';
import type { GateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';
import { readPassword } from './read-password.ts';

export interface InitOptions {
  readonly dir: string;
  readonly ssh?: string;
  readonly https?: string;
  readonly adminPasswordStdin?: boolean;
}

const ADMIN = 'admin';
const ADMINS = 'admins';

export async function init(options: InitOptions, output: Output): Promise<void> {
  const folder = gateFolder(options.dir);
  const { dir, config, data, recordings, keys, tls, run } = folder;
  const text = configText(options);
  const old = [config, data, keys, recordings].find((path) => existsSync(path));
  if (old !== undefined) {
    const text = `${dir} has been initialised: ${old} is there; nothing was changed`;
    throw new AppError('dir-invalid', text);
  }
  const password = options.adminPasswordStdin ? await readPassword() : undefined;
  try {
    makeFolder(dir);
    for (const path of [keys, data, recordings, tls, run]) mkdirSync(path, { mode: 0o700 });
    const prints = makeHostKeys(keys);
    createHostAuthority(keys);
    createMasterKey(dir);
    await createSigningKey(keys);
    writeFileSync(config, text, { flag: 'wx', mode: 0o600 });
    await makeDatabase(folder, password);
    const names = serverNames(parseConfig(text, config), hostname());
    prints.set('TLS authority', `SHA256 ${await createTls(tls, names, Date.now())}`);
    await tellWhatIsThere(folder, text, prints, password !== undefined, output);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError('dir-invalid', `cannot make ${dir}: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Makes a folder and those above it that are not there. Not by `recursive`: Node tries again for ever where the kernel
 * says that the folder above, which exists, is not there, as in /proc.
 */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  const above = dirname(path);
  if (above !== path) makeFolder(above);
  mkdirSync(path, { mode: 0o700 });
}

/** The commented sample with the addresses in it. */
function configText({ ssh, https }: InitOptions): string {
  let text = readFileSync(sampleFile(), 'utf8');
  for (const [key, value] of Object.entries({ ssh, https })) {
    if (value === undefined) continue;
    if (!splitAddress(value)) {
      throw new AppError('usage', `--${key} ${value}: expected HOST:PORT, as 127.0.0.1:2222`);
    }
    const line = new RegExp(`^  ${key}: .*$`, 'm');
    if (!line.test(text)) throw new AppError('internal', `the sample has no line for ${key}`);
    // Quoted, since [::1]:22 would be a list.
    text = text.replace(line, `  ${key}: '${value}'`);
  }
  parseConfig(text, 'sallyport.yaml');
  return text;
}

/** `etc/sallyport.yaml` of this installation, from `src/cli` or `dist/src/cli`. */
function sampleFile(): string {
  const places = ['../..', '../../..'].map((up) =>
    join(import.meta.dirname, up, 'etc/sallyport.yaml'),
  );
  const found = places.find((path) => existsSync(path));
  if (found === undefined) {
    throw new AppError('not-found', `${places[0] ?? ''} is missing: install Sallyport whole`);
  }
  return found;
}

/** Makes the host keys and gives their fingerprints by what they are. */
function makeHostKeys(keys: string): Map<string, string> {
  const prints = new Map<string, string>();
  for (const type of ['ed25519', 'rsa'] as const) {
    const { privateText, publicLine } = generateKeyPair(type, 'sallyport');
    const path = join(keys, `ssh_host_${type}_key`);
    writeFileSync(path, privateText, { flag: 'wx', mode: 0o600 });
    writeFileSync(`${path}.pub`, `${publicLine.trim()}\n`, { flag: 'wx', mode: 0o644 });
    chmodSync(`${path}.pub`, 0o644);
    prints.set(`${type} key`, fingerprint(parseAuthorizedKey(publicLine).blob));
  }
  return prints;
}

async function makeDatabase({ dir, database }: GateFolder, password?: Secret): Promise<void> {
  const db = await openDatabase({ path: database });
  try {
    if (!password) return;
    await applyInventory(db, adminDocument(password), {
      ...(await planTools(dir)),
      prune: false,
      author: 'init',
      message: 'the first administrator',
    });
  } finally {
    await db.close();
  }
}

function adminDocument(password: Secret): InventoryDocument {
  const at = { line: 1 };
  return {
    file: 'init',
    users: [{ name: ADMIN, ...at, password, groups: [{ name: ADMINS, ...at }] }],
    groups: [{ name: ADMINS, ...at }],
    targets: [],
    rules: [],
    acls: [],
  };
}

async function tellWhatIsThere(
  { dir, config, keys }: GateFolder,
  text: string,
  prints: ReadonlyMap<string, string>,
  hasAdmin: boolean,
  output: Output,
): Promise<void> {
  const { listen } = parseConfig(text, config);
  const lines = [
    `Made ${dir}: configuration, empty database, keys. Keep a copy of ${keys} apart from the rest.`,
    `  listens on      ${listen.ssh} (SSH)`,
    ...[...prints].map(([what, print]) => `  ${what.padEnd(14)}  ${print}`),
    ...(hasAdmin ? [`  administrator   ${ADMIN}, in group ${ADMINS}`] : []),
    'Next:',
    `  sallyport apply --dir ${dir} inventory.yaml     # users, targets, rules`,
    `  sallyport serve --dir ${dir}`,
  ];
  await output.write(`${lines.join('\n')}\n`);
}
