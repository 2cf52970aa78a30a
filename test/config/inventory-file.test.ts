/** A broken inventory file names file, line and reason, changes nothing, and never repeats a secret. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { AppError } from '../../src/base/errors.ts';
import { parseInventory } from '../../src/config/inventory-file.ts';
import { readInventory } from '../../src/store/inventory.ts';
import { TOOLS, sampleInventory, testGate } from '../store/setup.ts';

const SECRET = 'hunter2hunter2';

/** What is wrong, the file, and the line and reason that must be said. `KEY` stands for a valid key. */
const BROKEN: readonly (readonly [string, string, number, RegExp])[] = [
  ['no YAML', 'users:\n  - { name: a\n', 3, /./],
  ['not an object', '- a\n', 1, /expected object/],
  ['two documents', 'users: []\n---\nusers: []\n', 2, /more than one document/],
  ['the same key twice', 'users: []\ngroups: []\nusers: []\n', 3, /unique/],
  ['a tag', 'users: !!js/function x\n', 1, /tag/],
  ['an unknown section', 'users: []\npeople: []\n', 2, /unknown key "people"/],
  ['a section of the wrong kind', '\nusers: alice\n', 2, /users: .*expected array/],
  [
    'an unknown key',
    `users:\n  - name: a\n    pasword: ${SECRET}\n`,
    3,
    /user "a": unknown key "pasword"/,
  ],
  [
    'an unknown key of an account',
    'targets:\n  - name: t\n    accounts:\n      - { name: r,\n          key: x }\n',
    5,
    /account "r" of target "t": unknown key "key"/,
  ],
  ['no name', 'users:\n  - { disabled: true }\n', 2, /user 1: name: /],
  ['an empty name', 'users:\n  - { name: "" }\n', 2, /not empty/],
  ['an @ in a name', 'users:\n  - { name: "a@b" }\n', 2, /a name holds no "@"/],
  ['a % in a name', 'groups:\n  - { name: "a%b" }\n', 2, /a name holds no/],
  ['a : in a name', 'targets:\n  - { name: "a:b" }\n', 2, /a name holds no/],
  [
    'a / in a name',
    'rules:\n  - { name: "a/b", groups: [], targets: [], accounts: [], channels: [] }\n',
    2,
    /a name holds no/,
  ],
  ['white space in a name', 'users:\n  - { name: "a b" }\n', 2, /a name holds no/],
  [
    'a control character in a name',
    'users:\n  - { name: "a\\u0007" }\n',
    2,
    /user "a\\u0007": name: a name holds no/,
  ],
  ['a hidden direction mark in a name', 'users:\n  - { name: "a\\u202e" }\n', 2, /a name holds no/],
  ['a name in another Unicode form', 'users:\n  - { name: "u\\u0308" }\n', 2, /NFC/],
  ['a name of 65 characters', `users:\n  - { name: ${'a'.repeat(65)} }\n`, 2, /at most 64/],
  ['a name that is a number', 'users:\n  - { name: 12 }\n', 2, /user 1: name: .*expected string/],
  [
    'a user twice',
    'users:\n  - { name: a }\n  - { name: a }\n',
    3,
    /user "a" occurs twice, first on line 2/,
  ],
  [
    'an account twice',
    'targets:\n  - name: t\n    accounts:\n      - { name: r, ask: true }\n      - { name: r, ask: true }\n',
    5,
    /account "r" occurs twice/,
  ],
  [
    'an acl twice',
    'groups: [{ name: g }]\nacls:\n  - { group: g, objects: [], permission: read }\n  - { group: g, objects: [], permission: read }\n',
    4,
    /twice/,
  ],
  [
    'a password that is a number',
    'users:\n  - { name: a, password: 123456 }\n',
    2,
    /write it in quotes/,
  ],
  ['an empty password', 'users:\n  - { name: a, password: "" }\n', 2, /not empty/],
  [
    'a password of 1,025 bytes',
    `users:\n  - { name: a, password: ${'é'.repeat(512)}x }\n`,
    2,
    /at most 1024 bytes/,
  ],
  [
    'a bad key',
    'users:\n  - name: a\n    keys:\n      - KEY\n      - ssh-ed25519 AAAA\n',
    5,
    /user "a": keys 2: /,
  ],
  [
    'a key of an unknown type',
    'users:\n  - { name: a, keys: [ssh-dss AAAAB3NzaC1kc3MAAAA=] }\n',
    2,
    /user "a": keys 1: /,
  ],
  ['a key with a line break', 'users:\n  - { name: a, keys: ["KEY\\nssh-rsa"] }\n', 2, /one line/],
  ['a key twice', 'users:\n  - { name: a, keys: [KEY, KEY] }\n', 2, /occurs twice/],
  [
    'a bad host key',
    'targets:\n  - name: t\n    address: a\n    host_keys:\n      - nonsense\n',
    5,
    /target "t": host_keys 1: /,
  ],
  [
    'no address',
    'targets:\n  - { name: t, host_key_policy: accept-new }\n',
    2,
    /target "t" has no address/,
  ],
  [
    'an address with a space',
    'targets:\n  - { name: t, address: "a b" }\n',
    2,
    /address: an address is/,
  ],
  ['port 0', 'targets:\n  - name: t\n    port: 0\n', 3, /target "t": port: /],
  ['port 65536', 'targets:\n  - name: t\n    port: 65536\n', 3, /target "t": port: /],
  [
    'a port that is no whole number',
    'targets:\n  - name: t\n    port: 22.5\n',
    3,
    /target "t": port: /,
  ],
  [
    'neither host key nor accept-new',
    'targets:\n  - { name: t, address: a }\n',
    2,
    /neither host_keys nor host_key_policy: accept-new/,
  ],
  [
    'an unknown host key policy',
    'targets:\n  - { name: t, host_key_policy: any }\n',
    2,
    /host_key_policy/,
  ],
  [
    'an unknown algorithm',
    'targets:\n  - name: t\n    algorithms:\n      cipher: [rot13]\n',
    4,
    /algorithms: not a cipher algorithm/,
  ],
  [
    'no way to log in',
    'targets:\n  - name: t\n    address: a\n    host_keys: [KEY]\n    accounts:\n      - { name: r }\n',
    6,
    /account "r" of target "t" has no way to log in/,
  ],
  [
    'two ways to log in',
    `targets:\n  - name: t\n    accounts:\n      - { name: r, agent: true, password: ${SECRET} }\n`,
    4,
    /password and agent exclude each other/,
  ],
  [
    'agent: false',
    'targets:\n  - name: t\n    accounts:\n      - { name: r, agent: false }\n',
    4,
    /account "r" of target "t": agent: /,
  ],
  [
    'a key file that is not there',
    'targets:\n  - name: t\n    accounts:\n      - name: r\n        private_key_file: ./nowhere\n',
    5,
    /account "r" of target "t": private_key_file: .*ENOENT/,
  ],
  [
    'a public key for a private one',
    'targets:\n  - name: t\n    accounts:\n      - { name: r, private_key_file: ./id_ed25519.pub }\n',
    4,
    /private_key_file: /,
  ],
  [
    'a private key that is none',
    `targets:\n  - name: t\n    accounts:\n      - name: r\n        private_key: |\n          ${SECRET}\n`,
    5,
    /private_key: /,
  ],
  [
    'a user in an unknown group',
    'users:\n  - name: a\n    groups:\n      - ops\n',
    4,
    /user "a" names the unknown group "ops"/,
  ],
  [
    'a rule for an unknown group',
    'rules:\n  - { name: r, groups: [ops], targets: [], accounts: [], channels: [] }\n',
    2,
    /rule "r" names the unknown group "ops"/,
  ],
  [
    'a rule for an unknown target',
    'rules:\n  - name: ops-db\n    groups: []\n    targets: [db2]\n    accounts: []\n    channels: [shell]\n',
    4,
    /rule "ops-db" names the unknown target "db2"/,
  ],
  [
    'a rule for an unknown account',
    'targets:\n  - { name: t, address: a, host_keys: [KEY], accounts: [{ name: r, ask: true }] }\nrules:\n  - name: x\n    groups: []\n    targets: [t]\n    accounts: [r,\n      admin]\n    channels: [shell]\n',
    8,
    /rule "x" names the account "admin", which none of its targets has/,
  ],
  [
    'a rule without channels',
    'rules:\n  - { name: r, groups: [], targets: [], accounts: [] }\n',
    2,
    /rule "r": channels: /,
  ],
  [
    'an unknown kind of channel',
    'rules:\n  - name: r\n    groups: []\n    targets: []\n    accounts: []\n    channels:\n      - shell\n      - shel\n',
    8,
    /rule "r": channels: not a kind of channel/,
  ],
  [
    'an acl for an unknown group',
    'acls:\n  - { group: g, objects: [/x], permission: read }\n',
    2,
    /an acl names the unknown group "g"/,
  ],
  [
    'an unknown permission',
    'groups: [{ name: g }]\nacls:\n  - { group: g, objects: [/x], permission: own }\n',
    3,
    /acl 1: permission: /,
  ],
  [
    'an object that is no path',
    'acls:\n  - { group: g, objects: [x], permission: read }\n',
    2,
    /an object is a path/,
  ],
];

test('every broken file names file, line and reason, and changes nothing', async (t) => {
  const gate = await testGate(t);
  for (const [what, text, line, reason] of BROKEN) {
    await assert.rejects(
      gate.apply(text.replaceAll('KEY', gate.key)),
      (error) => {
        assert.ok(error instanceof AppError && error.code === 'inventory-invalid', what);
        const match = /^.*inventory\.yaml:(\d+): (.*)$/s.exec(error.message);
        assert.equal(Number(match?.[1]), line, `${what}: ${error.message}`);
        assert.match(match?.[2] ?? '', reason, what);
        assert.ok(!error.message.includes(SECRET), what);
        assert.ok(!error.message.includes('\n'), what);
        return true;
      },
      what,
    );
  }
  const { commit, users, groups, targets } = await readInventory(gate.db);
  assert.deepEqual([commit, users, groups, targets], [0, [], [], []]);
});

test('with prune a reference to what only the database has is unknown', async (t) => {
  const gate = await testGate(t);
  await gate.apply('groups: [{ name: ops }]');
  const text = 'users: [{ name: a, groups: [ops] }]';
  await assert.rejects(gate.apply(text, { prune: true }), /:1: user "a" names the unknown group/);
  assert.equal((await gate.apply(text)).commit, 2);
});

test('an empty file is an inventory that names nothing', async (t) => {
  const gate = await testGate(t);
  for (const text of ['', '# nothing\n', 'users:\ngroups:\n', '{}']) {
    assert.deepEqual(await gate.apply(text), { commit: null }, text);
  }
});

test('a private key file is found beside the inventory, not in the working folder', () => {
  const seen: string[] = [];
  const readFile = (path: string) => {
    seen.push(path);
    throw new Error('enough');
  };
  const text = 'targets: [{ name: t, accounts: [{ name: r, private_key_file: keys/id }] }]';
  assert.throws(() => parseInventory(text, '/etc/gate/inv.yaml', { ...TOOLS, readFile }), /enough/);
  assert.throws(
    () => parseInventory(text, 'sub/inv.yaml', { ...TOOLS, readFile }),
    /^AppError: sub\/inv.yaml:1: account "r" of target "t"/,
  );
  assert.deepEqual(seen, ['/etc/gate/keys/id', join(process.cwd(), 'sub/keys/id')]);
});

test('no text makes the parser throw anything but an error of the file', async (t) => {
  const { key } = await testGate(t);
  const sample = sampleInventory(key).replace('./id_ed25519', '/nowhere');
  const parse = (text: string) => {
    try {
      parseInventory(text, 'f', TOOLS);
    } catch (error) {
      assert.ok(error instanceof AppError && error.code === 'inventory-invalid', String(error));
      assert.match(error.message, /^f:\d+: ./);
    }
  };
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), parse), { numRuns: 300 });
  fc.assert(
    fc.property(fc.jsonValue(), (value) => parse(JSON.stringify(value))),
    { numRuns: 300 },
  );
  const position = fc.nat({ max: sample.length });
  fc.assert(
    fc.property(position, position, fc.string({ maxLength: 4 }), (a, b, insert) =>
      parse(sample.slice(0, Math.min(a, b)) + insert + sample.slice(Math.max(a, b))),
    ),
    { numRuns: 300 },
  );
});
