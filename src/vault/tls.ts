/**
 * The certificate that the API is served with, in `DIR/tls`: a small authority of the gate's own (`ca.pem`, its key in
 * `ca-key.pem`) and a leaf (`cert.pem` with the chain, `key.pem`), made at `init`, or at the start of a folder from
 * before there was an API. A leaf that soon ends, or lacks a name, is made anew. A given certificate is used as it is.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { AppError, reasonOf } from '../base/errors.ts';
import { splitAddress } from '../config/config.ts';
import type { Config } from '../config/config.ts';
import { makeAuthority, makeLeaf } from './certificates.ts';
import type { CertifiedKey } from './certificates.ts';

const RENEW_MS = 30 * 86_400_000;
const CA = 'ca.pem';
const CA_KEY = 'ca-key.pem';
const LEAF = 'cert.pem';
const LEAF_KEY = 'key.pem';

/** What a server of `node:https` is given. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** The names and addresses that a client on this machine, or of the address that is listened on, may use. */
export function tlsNames(https: string): readonly [string, ...string[]] {
  const host = splitAddress(https)?.host;
  const isAll = host === undefined || host === '0.0.0.0' || host === '::';
  const given = isAll ? [] : [host];
  const own = /^[A-Za-z0-9.-]{1,253}$/.test(hostname()) ? [hostname()] : [];
  return [
    'localhost',
    ...new Set(['127.0.0.1', '::1', ...own, ...given].filter((name) => name !== 'localhost')),
  ];
}

/** Makes authority and leaf in a folder where neither is; resolves to the authority's fingerprint, SHA-256. */
export async function createTls(
  folder: string,
  names: readonly [string, ...string[]],
  nowMs: number,
): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const authority = await makeAuthority(nowMs);
  await write(join(folder, CA_KEY), authority.key, 0o600, 'wx');
  await write(join(folder, CA), authority.certificate, 0o644, 'wx');
  await renewLeaf(folder, authority, names, nowMs);
  return new X509Certificate(authority.certificate).fingerprint256;
}

/** The certificate to serve with, made or renewed where that is needed. */
export async function loadTls(
  dir: string,
  config: Pick<Config, 'tls' | 'listen'>,
  nowMs: number,
): Promise<ServerCertificate> {
  const { cert, key } = config.tls;
  if (cert !== '' || key !== '') {
    if (cert === '' || key === '') {
      throw new AppError(
        'config-invalid',
        'tls.cert and tls.key belong together: give both or none',
      );
    }
    return checked(resolve(dir, cert), resolve(dir, key), nowMs);
  }
  const folder = join(dir, 'tls');
  const names = tlsNames(config.listen.https);
  const authority = await ownAuthority(folder);
  if (!authority) await createTls(folder, names, nowMs);
  else if (!(await isGood(folder, names, nowMs))) await renewLeaf(folder, authority, names, nowMs);
  return checked(join(folder, LEAF), join(folder, LEAF_KEY), nowMs);
}

async function ownAuthority(folder: string): Promise<CertifiedKey | undefined> {
  const certificate = await textOf(join(folder, CA));
  const key = await textOf(join(folder, CA_KEY));
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate !== undefined && key !== undefined) return { certificate, key };
  const missing = certificate === undefined ? CA : CA_KEY;
  const text = `${join(folder, missing)} is missing; restore it, or remove all of ${folder} for a new authority`;
  throw new AppError('secret-unreadable', text);
}

/** Whether the leaf that is there has all names, and time left. */
async function isGood(folder: string, names: readonly string[], nowMs: number): Promise<boolean> {
  const text = await textOf(join(folder, LEAF));
  if (text === undefined || (await textOf(join(folder, LEAF_KEY))) === undefined) return false;
  try {
    const leaf = new X509Certificate(text);
    const has = (name: string): boolean =>
      (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined;
    return leaf.validToDate.getTime() - nowMs > RENEW_MS && names.every(has);
  } catch {
    return false;
  }
}

async function renewLeaf(
  folder: string,
  authority: CertifiedKey,
  names: readonly [string, ...string[]],
  nowMs: number,
): Promise<void> {
  const leaf = await makeLeaf(authority, names, nowMs);
  await write(join(folder, LEAF_KEY), leaf.key, 0o600);
  await write(join(folder, LEAF), `${leaf.certificate}${authority.certificate}`, 0o644);
}

/** Reads a pair, and says what is wrong with it before a client would have to. */
async function checked(cert: string, key: string, nowMs: number): Promise<ServerCertificate> {
  const wrong = (text: string, cause?: unknown): AppError =>
    new AppError('config-invalid', text, { cause });
  let certificate: X509Certificate;
  let pem: string;
  let keyPem: string;
  try {
    pem = await readFile(cert, 'utf8');
    certificate = new X509Certificate(pem);
  } catch (error) {
    throw wrong(`cannot use the certificate ${cert}: ${reasonOf(error)}`, error);
  }
  try {
    if (((await stat(key)).mode & 0o077) !== 0)
      throw new Error(`others may use it; chmod 600 ${key}`);
    keyPem = await readFile(key, 'utf8');
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) {
      throw new Error(`it is not the key of ${cert}`);
    }
  } catch (error) {
    throw wrong(`cannot use the key ${key}: ${reasonOf(error)}`, error);
  }
  if (certificate.validToDate.getTime() <= nowMs) {
    throw wrong(`the certificate ${cert} ended on ${certificate.validTo}; put a new one there`);
  }
  return { cert: pem, key: keyPem };
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new AppError('secret-unreadable', `${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Writes a file as a whole: whoever reads it meanwhile has the old one or the new one. */
async function write(path: string, text: string, mode: number, flag = 'w'): Promise<void> {
  if (flag === 'wx') {
    await writeFile(path, text, { flag, mode });
    return;
  }
  const fresh = `${path}.new`;
  await writeFile(fresh, text, { mode });
  await rename(fresh, path);
}
