/** A configuration that is wrong is refused with file, line, key and reason. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AppError } from '../../src/base/errors.ts';
import { loadConfig, parseConfig } from '../../src/config/config.ts';
import { tempDir } from '../support/tempdir.ts';

/** Text, line and what the message must say. */
const WRONG: readonly (readonly [string, number, RegExp])[] = [
  ['logn: 1', 1, /logn: unknown key/],
  ['# a\nlogin:\n  grace_s: 3\n  grace: 3\n', 4, /login\.grace: unknown key/],
  ['login:\n  grace_s: 0\n', 2, /login\.grace_s: Too small/],
  ['login:\n  grace_s: .inf\n', 2, /login\.grace_s/],
  ['login:\n  grace_s: 1e9\n', 2, /login\.grace_s: Too big/],
  ['login:\n  max_tries: 1.5\n', 2, /login\.max_tries/],
  ['login:\n  methods: []\n', 2, /login\.methods/],
  [
    'login:\n  methods:\n    - password\n    - password\n',
    3,
    /login\.methods: the same name twice/,
  ],
  ['login:\n  methods:\n    - password\n    - hostbased\n', 4, /login\.methods\.1/],
  ['\nworkers: 2', 2, /workers: only 0 for now/],
  ['ident: "a b"', 1, /ident: expected 1 to 200 printable/],
  [`ident: ${'x'.repeat(201)}`, 1, /ident/],
  ['ident: "x\\r\\ny"', 1, /ident/],
  ['banner: "\\e[31m"', 1, /banner: control characters/],
  ['listen:\n  ssh: 2222', 2, /listen\.ssh/],
  ['listen:\n  ssh: localhost', 2, /listen\.ssh: expected HOST:PORT/],
  ['startups:\n  begin: 20\n  full: 10\n', 2, /startups: "begin" is above "full"/],
  ['penalties:\n  min_s: 700\n', 2, /penalties: "min_s" is above "max_s"/],
  ['penalties:\n  exempt:\n    - 10.0.0.0/33\n', 3, /penalties\.exempt\.0/],
  ['algorithms:\n  kex: [diffie-hellman-group1-sha1]', 2, /algorithms\.kex\.0/],
  ['algorithms:\n  kex: [diffie-hellman-group-exchange-sha256]', 2, /algorithms\.kex\.0/],
  ['algorithms:\n  host_key: [ssh-rsa]', 2, /algorithms\.host_key\.0/],
  ['upstream:\n  cipher: [aes128-cbc]', 2, /upstream\.cipher\.0/],
  ['log: info', 1, /log: /],
  ['- a list', 1, /expected object/],
  ['just text', 1, /expected object/],
  ['workers: 0\nworkers: 0', 2, /unique/],
  ['a: [', 1, /./],
];

for (const [text, line, reason] of WRONG) {
  test(`refused with its line: ${JSON.stringify(text).slice(0, 60)}`, () => {
    assert.throws(
      () => parseConfig(text, '/etc/x/sallyport.yaml'),
      (error) => {
        assert.ok(error instanceof AppError);
        assert.equal(error.code, 'config-invalid');
        assert.ok(error.message.startsWith(`/etc/x/sallyport.yaml:${line}: `), error.message);
        assert.match(error.message, reason);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}

test('a file that is there but cannot be read is refused, not taken for empty', (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, 'sallyport.yaml'));
  assert.throws(() => loadConfig(dir), { code: 'config-invalid', message: /sallyport\.yaml: / });
});
