/** What tests of rows share: a real SQLite file, real keys, real hashing (cheap parameters) and sealing. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Passwords } from '../../src/access/password.ts';
import { Secret } from '../../src/base/secret.ts';
import { parseInventory } from '../../src/config/inventory-file.ts';
import type { InventoryDocument, InventoryTools } from '../../src/config/inventory-file.ts';
import { applyInventory } from '../../src/store/apply.ts';
import type { ApplyOptions } from '../../src/store/apply.ts';
import { openDatabase } from '../../src/store/database.ts';
import type { Database, DatabaseOptions } from '../../src/store/database.ts';
import { Secrets } from '../../src/vault/secrets.ts';
import { parseAuthorizedKey } from '../../src/wire/publickey.ts';
import { parsePrivateKey } from '../../src/wire/ssh2.ts';
import { makeKey } from '../support/keys.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

/** A new database in a folder of the test's own. */
export async function testDatabase(
  scope: Scope,
  options: Partial<DatabaseOptions> = {},
): Promise<{ db: Database; path: string }> {
  const path = options.path ?? join(tempDir(scope), 'sallyport.db');
  const db = await openDatabase({ ...options, path });
  defer(scope, () => db.close());
  return { db, path };
}

export const TOOLS: InventoryTools = {
  publicKey: parseAuthorizedKey,
  privateKey: parsePrivateKey,
  readFile: (path) => readFileSync(path, 'utf8'),
};

/** Options of `apply` with real secrets and a clock that stands. */
export async function applyOptions(): Promise<ApplyOptions> {
  const settings = { memory_kib: 64, passes: 1, lanes: 1, concurrent: 2, queue: 32 };
  const passwords = await Passwords.create(settings);
  const secrets = new Secrets(new Secret(randomBytes(32)));
  return {
    author: 'root',
    message: 'test',
    prune: false,
    hashPassword: (plain) => passwords.hash(plain),
    verifyPassword: (hash, plain) => passwords.verify(hash, plain),
    seal: (plain, context) => secrets.seal(plain, context),
    open: (sealed, context) => secrets.open(sealed, context),
    now: () => 1_800_000_000_000,
  };
}

export interface Gate {
  readonly db: Database;
  readonly path: string;
  readonly options: ApplyOptions;
  /** A public key line that is valid. */
  readonly key: string;
  readonly privateKey: string;
  read(text: string): InventoryDocument;
  readonly apply: (text: string, more?: Partial<ApplyOptions>) => ReturnType<typeof applyInventory>;
}

/** A database and all that `apply` needs; inventory files lie beside a private key `id`. */
export async function testGate(scope: Scope): Promise<Gate> {
  const { db, path } = await testDatabase(scope);
  const options = await applyOptions();
  const pair = await makeKey(scope);
  const file = join(pair.path, '..', 'inventory.yaml');
  const read = (text: string) => parseInventory(text, file, TOOLS);
  return {
    db,
    path,
    options,
    key: pair.publicLine,
    privateKey: pair.privateText,
    read,
    apply: async (text, more = {}) => await applyInventory(db, read(text), { ...options, ...more }),
  };
}

/** The inventory of DESIGN part 8, with real keys. */
export function sampleInventory(key: string): string {
  const [type = '', base64 = ''] = key.split(' ');
  return `users:
  - { name: alice, password: "s3cret", keys: ["${key}"], groups: [ops] }
  - { name: bob, disabled: true }
groups:
  - { name: ops }
targets:
  - name: db1
    address: 127.0.0.1
    port: 2200
    host_keys: ["${type} ${base64} a comment"]
    accounts:
      - { name: root, private_key_file: ./id_ed25519 }
      - { name: app, password: "t0psecret" }
      - { name: me, agent: true }
  - name: web
    address: "::1"
    host_key_policy: accept-new
    algorithms: { kex: [diffie-hellman-group14-sha1], host_key: [ssh-rsa] }
    accounts:
      - { name: root, ask: true }
rules:
  - { name: ops-db, groups: [ops], targets: [db1, web], accounts: [root, app], channels: [shell, exec, "subsystem:netconf"] }
acls:
  - { group: ops, objects: ["/special/active_sessions"], permission: write }
`;
}
