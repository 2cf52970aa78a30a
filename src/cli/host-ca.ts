/**
 * `sallyport host-ca`: the line for a user's known_hosts that makes `ssh -J` through this gate trust every target's host
 * key. It reads `keys/host_ca` alone, so it works beside a running gate.
 */
import { AppError } from '../base/errors.ts';
import { createHostAuthority, loadHostAuthority } from '../vault/host-ca.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';

export interface HostCaOptions {
  readonly dir: string;
  readonly hosts: string;
}

/** Prints one line; the patterns also cover hosts on another port than 22, which known_hosts writes `[host]:port`. */
export async function printHostCa({ dir, hosts }: HostCaOptions, output: Output): Promise<void> {
  const { keys } = openGateFolder(dir);
  const patterns = hosts.split(',');
  const bad = patterns.find((pattern) => !/^!?[\p{L}\p{N}._:*?-]+$/u.test(pattern));
  if (bad !== undefined) {
    const text = `--hosts: ${JSON.stringify(bad)} is no pattern of host names, as db*,10.0.*`;
    throw new AppError('usage', text);
  }
  const everywhere = patterns.includes('*');
  const written = everywhere
    ? patterns
    : patterns.flatMap((pattern) => [pattern, pattern.replace(/^(!?)(.*)$/, '$1[$2]:*')]);
  const authority = loadHostAuthority(keys) ?? createHostAuthority(keys);
  await output.line(
    `@cert-authority ${written.join(',')} ${authority.publicLine} sallyport host CA`,
  );
}
