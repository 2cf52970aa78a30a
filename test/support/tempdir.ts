/** A folder of a test's own, removed with all that is in it when the test ends. Never a fixed name. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';

/** Makes the folder (mode 0700) and returns its path. Short, since the names of sockets may have 107 bytes. */
export function tempDir(scope: Scope): string {
  const path = mkdtempSync(join(tmpdir(), 'sp-'));
  defer(scope, () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}
