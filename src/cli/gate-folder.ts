/**
 * The folder of a gate: where each thing lies in it, and whether it is one. The names are fixed (DESIGN part 8); the
 * gate itself builds the same ones.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';

export interface GateFolder {
  readonly dir: string;
  readonly config: string;
  readonly data: string;
  readonly database: string;
  readonly recordings: string;
  readonly keys: string;
  readonly tls: string;
  readonly run: string;
}

/** The places in DIR, whether they exist or not. */
export function gateFolder(dir: string): GateFolder {
  return {
    dir,
    config: join(dir, 'sallyport.yaml'),
    data: join(dir, 'data'),
    database: join(dir, 'data', 'sallyport.db'),
    recordings: join(dir, 'recordings'),
    keys: join(dir, 'keys'),
    tls: join(dir, 'tls'),
    run: join(dir, 'run'),
  };
}

/** The places in a DIR that `init` has made; anything else is refused with the remedy. */
export function openGateFolder(dir: string): GateFolder {
  const folder = gateFolder(dir);
  requireFolder(dir, dir);
  requireFolder(dir, folder.keys);
  return folder;
}

function requireFolder(dir: string, path: string): void {
  let found: boolean;
  try {
    found = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch (cause) {
    throw new AppError('dir-invalid', `cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
  if (found) return;
  const what = path === dir ? 'there is no folder' : 'no gate was made in';
  throw new AppError('dir-invalid', `${what} ${dir}: run sallyport init --dir ${dir}`);
}
