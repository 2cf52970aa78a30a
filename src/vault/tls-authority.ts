/**
 * The certificates that the gate makes for its console and API: a small authority of its own, which people who use the
 * gate trust once, and a certificate for the server signed by it, which is renewed without anybody noticing. Keys are
 * ECDSA on P-256, the one kind that every TLS client of the last ten years takes. Text in, text out: where they lie and
 * when they are made is for `tls.ts`.
 *
 *     authority   critical basicConstraints CA, pathlen 0; critical keyUsage keyCertSign, cRLSign; subjectKeyIdentifier
 *     server      critical basicConstraints; critical keyUsage digitalSignature; extendedKeyUsage serverAuth;
 *                 subjectAltName; subjectKeyIdentifier and authorityKeyIdentifier
 */
// It must stand before the library, which otherwise refuses to load.
import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as ParsedCertificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

import { Secret } from '../base/secret.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Clocks of users may be behind. */
const VALID_BEFORE_NOW_MS = HOUR_MS;
/** Ten years, leap days counted. */
const AUTHORITY_MS = 3653 * DAY_MS;
/** The longest that browsers accept of a server's certificate is 398 days. */
const SERVER_MS = 397 * DAY_MS;
const SIGNATURE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** An authority as it is stored. */
export interface Authority {
  readonly certificate: string;
  readonly key: Secret;
}

/** Makes a private key, as PEM (PKCS #8). */
export function newPrivateKey(): Secret {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: SIGNATURE.namedCurve });
  return new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

/** Makes an authority with a name of its own, so that those of two gates can be told apart where they are trusted. */
export async function newAuthority(nowMs: number): Promise<Authority> {
  const key = newPrivateKey();
  const { signingKey, publicKey } = keysOf(key);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=Sallyport CA ${randomBytes(4).toString('hex')}`,
    serialNumber: randomBytes(16).toString('hex'),
    keys: { privateKey: signingKey, publicKey },
    signingAlgorithm: SIGNATURE,
    notBefore: new Date(nowMs - VALID_BEFORE_NOW_MS),
    notAfter: new Date(nowMs - VALID_BEFORE_NOW_MS + AUTHORITY_MS),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return { certificate: pem(certificate.toString('pem')), key };
}

/**
 * Makes the certificate of a server with this private key, for these names and addresses. It never outlives its
 * authority.
 */
export async function newServerCertificate(
  authority: { readonly certificate: X509Certificate; readonly key: Secret },
  key: Secret,
  names: readonly string[],
  nowMs: number,
): Promise<string> {
  const issuer = keysOf(authority.key);
  const { publicKey } = keysOf(key);
  const notBefore = nowMs - VALID_BEFORE_NOW_MS;
  const certificate = await X509CertificateGenerator.create({
    subject: 'CN=Sallyport',
    // As it is encoded there, not as text: clients compare the bytes.
    issuer: new ParsedCertificate(authority.certificate.raw).subjectName,
    serialNumber: randomBytes(16).toString('hex'),
    publicKey,
    signingKey: issuer.signingKey,
    signingAlgorithm: SIGNATURE,
    notBefore: new Date(notBefore),
    notAfter: new Date(Math.min(notBefore + SERVER_MS, endOf(authority.certificate))),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
      ),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return pem(certificate.toString('pem'));
}

/** When a certificate stops being valid, in milliseconds since 1970. */
export function endOf(certificate: X509Certificate): number {
  return certificate.validToDate.getTime();
}

function keysOf(key: Secret) {
  const privateKey: KeyObject = createPrivateKey(key.reveal());
  return {
    signingKey: privateKey.toCryptoKey(SIGNATURE, false, ['sign']),
    publicKey: createPublicKey(privateKey).toCryptoKey(SIGNATURE, true, ['verify']),
  };
}

function pem(text: string): string {
  return `${text.trim()}\n`;
}
