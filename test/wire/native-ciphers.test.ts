/**
 * The native ciphers outlive the collector. Built with the headers of Node 24.19 and later as they are, they abort the
 * process when their memory is collected outside of any call, which every gate comes to; `etc/setup` builds them with
 * headers that are mended. When the collector does that cannot be told, so the test looks for what makes it fatal.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nativeCiphers } from '../../src/wire/ssh2.ts';
import { ROOT } from '../support/source-tree.ts';

test('ciphers that are collected do not end the process', () => {
  assert.ok(nativeCiphers, 'the binding is not built; run: make setup');
  const path = 'node_modules/ssh2/lib/protocol/crypto/build/Release/sshcrypto.node';
  const hooks = readFileSync(join(ROOT, path)).includes('EnvironmentCleanupHook');
  assert.ok(!hooks, 'the binding was built with headers as they are; run: make setup');
});
