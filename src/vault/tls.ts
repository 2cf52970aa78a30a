/**
 * TLS of the console and API: which certificate and key the server shows. Without a word in the configuration they are
 * the gate's own, in `DIR/tls`:
 *
 *     ca.pem       the authority, for those who use the gate to trust, once in ten years
 *     ca-key.pem   its private key (0600); without it the gate goes on until the certificate ends
 *     cert.pem     the server's certificate and then the authority's
 *     key.pem      the server's private key (0600); it stays the same when the certificate is renewed
 *
 * The certificate is renewed at a start, or whenever `loadTls` is called again, when less than 30 days of it are left
 * or it lacks a name that it should have. Nothing else in the folder is ever replaced: what does not fit together is
 * refused with the remedy, since the other half may be in a backup. With `tls.cert` and `tls.key` those files are
 * taken, checked, and never written.
 */
import { constants, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';

import { AppError, reasonOf } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { splitAddress } from '../config/config.ts';
import type { Config } from '../config/config.ts';
import { endOf, newAuthority, newPrivateKey, newServerCertificate } from './tls-authority.ts';
import { readCertificates, readKey, writeWhole } from './tls-files.ts';
import type { CertificateFile, KeyFile, ReadOptions } from './tls-files.ts';

const DAY_MS = 86_400_000;
const RENEW_BEFORE_END_MS = 30 * DAY_MS;
/** A client that has not finished the handshake by then is gone. */
const HANDSHAKE_MS = 10_000;
const ALWAYS = ['localhost', '127.0.0.1', '::1'];
/** Underscores are in names of hosts, whatever the RFCs say, and clients accept them. */
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*$/;
/** Forward secrecy and authenticated ciphers alone; the first three are those of TLS 1.3. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];
const OWN: ReadOptions = { code: 'dir-invalid', links: false };
const GIVEN: ReadOptions = { code: 'config-invalid', links: true };

/** What the server shows. */
export interface Tls {
  /** PEM: the server's certificate first, then those that lead to its authority. */
  readonly certificate: string;
  readonly key: Secret;
  /** When the certificate ends, in milliseconds since 1970. */
  readonly endMs: number;
  /** SHA-256 of the gate's own authority, as `openssl x509 -fingerprint -sha256` has it; none for a given certificate. */
  readonly authority?: string;
  /** What was done to have it, for the log. */
  readonly done: 'loaded' | 'made' | 'renewed';
  /** What somebody should see to before it ends. */
  readonly warning?: string;
}

/** Where the files of a folder lie. */
function filesOf(folder: string) {
  return {
    ca: join(folder, 'ca.pem'),
    caKey: join(folder, 'ca-key.pem'),
    cert: join(folder, 'cert.pem'),
    key: join(folder, 'key.pem'),
  };
}

/** The names and addresses that the gate's own certificate is for. `hostName` is that of this machine. */
export function serverNames(config: Config, hostName: string): readonly string[] {
  const listened = splitAddress(config.listen.https)?.host ?? '';
  const own = [hostName, listened]
    .map((name) => name.toLowerCase().replace(/\.$/, ''))
    // Every interface is no name of one.
    .filter((name) => !['0.0.0.0', '::'].includes(canonicalAddress(name)))
    .filter((name) => isIP(name) !== 0 || HOST_NAME.test(name))
    .map((name) => (isIP(name) === 0 ? name : canonicalAddress(name)));
  return [...new Set([...ALWAYS, ...own])];
}

/** An IPv6 address as there is one way to write it; anything else as it is. */
function canonicalAddress(name: string): string {
  return isIP(name) === 6 ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name;
}

/**
 * Makes an authority and the certificate of the server in the folder, which is made where it
 * is not there and must hold none of it.
 * Returns the fingerprint of the authority (SHA-256).
 */
export async function createTls(
  folder: string,
  names: readonly string[],
  nowMs: number,
): Promise<string> {
  const files = filesOf(folder);
  const there = Object.values(files).find((path) => existsSync(path));
  if (there !== undefined) {
    throw new AppError('dir-invalid', `${there} is there; move it away for a new authority`);
  }
  const { certificate: text, key } = await newAuthority(nowMs);
  const certificate = new X509Certificate(text);
  const serverKey = newPrivateKey();
  const chain = (await newServerCertificate({ certificate, key }, serverKey, names, nowMs)) + text;
  try {
    if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    throw new AppError('dir-invalid', `cannot make ${folder}: ${reasonOf(cause)}`, { cause });
  }
  writeWhole(files.caKey, key.reveal(), 0o600);
  writeWhole(files.ca, text, 0o644);
  writeWhole(files.key, serverKey.reveal(), 0o600);
  writeWhole(files.cert, chain, 0o644);
  return certificate.fingerprint256;
}

/**
 * Certificate and key for serving: those that the configuration names, or the gate's own, which are made where there
 * are none and renewed where it is time. Call it while the lock on DIR is held; calling it again is how a gate that
 * runs for years stays served.
 */
export async function loadTls(
  dir: string,
  config: Config,
  hostName: string,
  nowMs: number,
): Promise<Tls> {
  const { cert, key } = config.tls;
  if (cert !== '') return loadGiven(resolve(dir, cert), resolve(dir, key), nowMs);
  const folder = join(dir, 'tls');
  const names = serverNames(config, hostName);
  if (Object.values(filesOf(folder)).some((path) => existsSync(path))) {
    return loadOwn(folder, names, nowMs);
  }
  await createTls(folder, names, nowMs);
  return { ...(await loadOwn(folder, names, nowMs)), done: 'made' };
}

/** Options of `node:https` for serving with it: TLS 1.2 and 1.3, and nothing that is old in either. */
export function secureOptions(tls: Pick<Tls, 'certificate' | 'key'>) {
  return {
    cert: tls.certificate,
    key: tls.key.reveal(),
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS.join(':'),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    handshakeTimeout: HANDSHAKE_MS,
    ALPNProtocols: ['http/1.1'],
  } as const satisfies ServerOptions;
}

function loadGiven(certPath: string, keyPath: string, nowMs: number): Tls {
  const cert = readCertificates(certPath, GIVEN);
  const key = readKey(keyPath, GIVEN);
  checkPair(cert, key, GIVEN, 'name the two that were issued together, the server first in cert');
  checkTime(cert, nowMs, GIVEN, 'put a new one there');
  return usable(cert, key, GIVEN, {
    done: 'loaded',
    ...(endOf(cert.first) - nowMs < RENEW_BEFORE_END_MS
      ? { warning: `${certPath} ends on ${dateOf(endOf(cert.first))}; renew it` }
      : {}),
  });
}

async function loadOwn(folder: string, names: readonly string[], nowMs: number): Promise<Tls> {
  const { ca: caPath, caKey: caKeyPath, cert: certPath, key: keyPath } = filesOf(folder);
  for (const path of [caPath, ...(existsSync(certPath) ? [keyPath] : [])]) {
    if (existsSync(path)) continue;
    const remedy = `restore it, or move ${folder} away for a new authority`;
    throw new AppError('dir-invalid', `${path} is missing, and the rest is there: ${remedy}`);
  }
  const ca = readCertificates(caPath, OWN);
  checkTime(ca, nowMs, OWN, `move ${folder} away for a new authority, to be trusted anew`);
  const caKey = existsSync(caKeyPath) ? readKey(caKeyPath, OWN) : undefined;
  if (caKey) checkPair(ca, caKey, OWN, 'restore the one that belongs to it');
  const old = existsSync(certPath) ? readCertificates(certPath, OWN) : undefined;
  const key = existsSync(keyPath) ? readKey(keyPath, OWN) : undefined;
  if (old && key) {
    checkPair(old, key, OWN, `restore the one that belongs to it, or remove both for new ones`);
    checkIssuer(old, ca);
  }
  const authority = ca.first.fingerprint256;
  const lack = old && key ? lackOf(old, ca, names, nowMs) : `${certPath} is missing`;
  if (lack === undefined && old && key) return usable(old, key, OWN, { authority, done: 'loaded' });
  if (!caKey) {
    const text = `${lack ?? ''}, and ${caKeyPath} is not there to sign a new one; restore it`;
    if (!old || !key || endOf(old.first) <= nowMs) throw new AppError('dir-invalid', text);
    return usable(old, key, OWN, { authority, done: 'loaded', warning: text });
  }
  const secret = key?.secret ?? newPrivateKey();
  if (!key) writeWhole(keyPath, secret.reveal(), 0o600);
  const issuer = { certificate: ca.first, key: caKey.secret };
  writeWhole(certPath, (await newServerCertificate(issuer, secret, names, nowMs)) + ca.text, 0o644);
  const renewed = readCertificates(certPath, OWN);
  return usable(renewed, readKey(keyPath, OWN), OWN, { authority, done: 'renewed' });
}

/** Why the certificate should be renewed, if it should. */
function lackOf(
  { path, first }: CertificateFile,
  ca: CertificateFile,
  names: readonly string[],
  nowMs: number,
): string | undefined {
  const end = endOf(first);
  // One that ends with its authority cannot get any longer.
  if (end - nowMs < RENEW_BEFORE_END_MS && end < endOf(ca.first)) {
    return `${path} ends on ${dateOf(end)}`;
  }
  const missing = names.find((name) =>
    isIP(name) === 0 ? first.checkHost(name) === undefined : first.checkIP(name) === undefined,
  );
  return missing === undefined ? undefined : `${path} is not for ${missing}`;
}

function checkPair(
  cert: CertificateFile,
  key: KeyFile,
  { code }: ReadOptions,
  remedy: string,
): void {
  if (cert.first.checkPrivateKey(key.key)) return;
  throw new AppError(code, `${key.path} is not the key of ${cert.path}; ${remedy}`);
}

function checkIssuer(cert: CertificateFile, ca: CertificateFile): void {
  if (cert.first.checkIssued(ca.first) && cert.first.verify(ca.first.publicKey)) return;
  throw new AppError(
    'dir-invalid',
    `${cert.path} was not issued by ${ca.path}; remove it and its key for new ones, ` +
      'and name certificates of others by tls.cert and tls.key',
  );
}

function checkTime(
  { path, first }: CertificateFile,
  nowMs: number,
  { code }: ReadOptions,
  remedy: string,
): void {
  if (nowMs >= endOf(first)) {
    throw new AppError(code, `${path} expired on ${dateOf(endOf(first))}; ${remedy}`);
  }
  const begin = first.validFromDate.getTime();
  if (nowMs >= begin) return;
  const text = `${path} is not valid before ${dateOf(begin)}; see that the clock is right`;
  throw new AppError(code, text);
}

/** What the TLS library will take; what it does not, as a key too short, is told now and not to the first client. */
function usable(
  cert: CertificateFile,
  key: KeyFile,
  { code }: ReadOptions,
  rest: Pick<Tls, 'authority' | 'done' | 'warning'>,
): Tls {
  const pair = { certificate: cert.text, key: key.secret };
  try {
    createSecureContext(secureOptions(pair));
  } catch (cause) {
    const text = `${cert.path} and ${key.path} cannot be served: ${reasonOf(cause)}`;
    throw new AppError(code, text, { cause });
  }
  return { ...pair, endMs: endOf(cert.first), ...rest };
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
