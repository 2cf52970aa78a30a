/** A folder at a test's target, which is on this machine: made by the login there, whose it is, and removed with the scope. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';
import { ssh } from './ssh-client.ts';
import type { Endpoint } from './ssh-client.ts';

/** Makes the folder under a name that it makes up itself, and returns its path. */
export async function remoteDir(scope: Scope, to: Endpoint): Promise<string> {
  const { stdout, stderr } = await ssh(to, 'mktemp -d /tmp/sp-remote-XXXXXXXX');
  const path = stdout.toString().trim();
  assert.match(path, /^\/tmp\/sp-remote-\w+$/, stderr.toString());
  defer(scope, () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}
