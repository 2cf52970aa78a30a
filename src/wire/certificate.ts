/**
 * OpenSSH certificates of hosts (its PROTOCOL.certkeys), for Ed25519 keys signed by an Ed25519 authority: made, taken
 * apart, and judged. A certificate vouches for a key and nothing else; one that anything about is unknown, missing or
 * out of place is refused, an authority that is itself a certificate among them.
 */
import { randomBytes } from 'node:crypto';

import { ProtocolError } from '../base/errors.ts';
import { Reader, Writer } from './buffer.ts';
import { keyTypeOf, verifySignature } from './publickey.ts';
import type { PrivateKey } from './publickey.ts';

/** The type that such a certificate names first, and the signature algorithm that a client asks for to get it. */
export const HOST_CERTIFICATE = 'ssh-ed25519-cert-v01@openssh.com';

const KEY = 'ssh-ed25519';
const HOST = 2;
const NONCE = 32;
/** OpenSSH's own limit. */
const MAX_PRINCIPALS = 256;

/**
 *   string    "ssh-ed25519-cert-v01@openssh.com"
 *   string    nonce
 *   string    public key: 32 bytes
 *   uint64    serial
 *   uint32    type: 1 user, 2 host
 *   string    key id
 *   string    valid principals: strings, one behind the other
 *   uint64    valid after, in seconds since 1970
 *   uint64    valid before
 *   string    critical options; none is defined for hosts
 *   string    extensions; none is defined for hosts
 *   string    reserved
 *   string    signature key
 *   string    signature over all that stands before it
 */
export interface Certificate {
  /** The key that is vouched for, as a plain public key. */
  readonly key: Buffer;
  readonly type: number;
  readonly keyId: string;
  readonly principals: readonly string[];
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly criticalOptions: Buffer;
  /** The key that signed, as a plain public key. */
  readonly authority: Buffer;
  readonly signature: Buffer;
  /** How much of the certificate is signed. */
  readonly signedEnd: number;
}

/** What a new certificate says. Times are seconds since 1970. */
export interface HostClaim {
  /** Public key of the host. */
  readonly key: Buffer;
  readonly keyId: string;
  /** Names that users may know the host by; an empty list would mean any. */
  readonly principals: readonly string[];
  readonly validAfter: number;
  readonly validBefore: number;
}

/** Makes a certificate for a host's Ed25519 key, signed by `authority`. */
export function issueHostCertificate(claim: HostClaim, authority: PrivateKey): Buffer {
  const { key, keyId, principals, validAfter, validBefore } = claim;
  if (principals.length === 0 || principals.length > MAX_PRINCIPALS) {
    throw new ProtocolError('a host certificate is for 1 to 256 names');
  }
  const names = new Writer();
  for (const name of principals) names.string(name);
  const unsigned = new Writer()
    .string(HOST_CERTIFICATE)
    .string(randomBytes(NONCE))
    .string(rawKey(key))
    .uint64(0n)
    .uint32(HOST)
    .string(keyId)
    .string(names.done())
    .uint64(BigInt(Math.floor(validAfter)))
    .uint64(BigInt(Math.floor(validBefore)))
    .string('')
    .string('')
    .string('')
    .string(authority.blob)
    .done();
  return new Writer().bytes(unsigned).string(authority.sign(unsigned, KEY)).done();
}

/** The 32 bytes of an Ed25519 public key. */
function rawKey(blob: Buffer): Buffer {
  const reader = new Reader(blob);
  const type = reader.name();
  const raw = reader.string();
  reader.end();
  if (type !== KEY || raw.length !== NONCE) throw new ProtocolError('not an Ed25519 key');
  return raw;
}

/** Takes a certificate apart; nothing in it is believed by that. */
export function decodeCertificate(blob: Buffer): Certificate {
  const reader = new Reader(blob);
  const name = reader.name();
  if (name !== HOST_CERTIFICATE) throw new ProtocolError('not an Ed25519 certificate');
  reader.string();
  const raw = reader.string();
  if (raw.length !== NONCE) throw new ProtocolError('a certificate for a key of a wrong size');
  reader.uint64();
  const type = reader.uint32();
  const keyId = reader.text();
  const principals = decodePrincipals(reader.string());
  const validAfter = reader.uint64();
  const validBefore = reader.uint64();
  const criticalOptions = reader.string();
  reader.string();
  reader.string();
  const authority = reader.string();
  const signedEnd = reader.position;
  const signature = reader.string();
  reader.end();
  const key = new Writer().string(KEY).string(raw).done();
  return {
    key,
    type,
    keyId,
    principals,
    validAfter,
    validBefore,
    criticalOptions,
    authority,
    signature,
    signedEnd,
  };
}

function decodePrincipals(packed: Buffer): string[] {
  const reader = new Reader(packed);
  const principals: string[] = [];
  while (reader.left > 0) {
    if (principals.length === MAX_PRINCIPALS) {
      throw new ProtocolError('a certificate for more than 256 names');
    }
    principals.push(reader.text());
  }
  return principals;
}

/** What a certificate must be good for. */
export interface HostExpectation {
  /** Public key of the one authority that is believed. */
  readonly authority: Buffer;
  readonly host: string;
  /** Seconds since 1970. */
  readonly now: number;
}

/** Why a certificate does not vouch for the host; undefined where it does. Never throws for what is in it. */
export function refusalOfHostCertificate(
  blob: Buffer,
  expected: HostExpectation,
): string | undefined {
  let certificate: Certificate;
  try {
    certificate = decodeCertificate(blob);
    if (keyTypeOf(certificate.authority) !== KEY) return 'its authority is no plain Ed25519 key';
  } catch (error) {
    if (error instanceof ProtocolError) return error.message;
    throw error;
  }
  const { authority, signature, signedEnd } = certificate;
  if (!authority.equals(expected.authority)) return 'another authority has signed it';
  if (!verifySignature(authority, KEY, blob.subarray(0, signedEnd), signature)) {
    return 'its signature is wrong';
  }
  if (certificate.type !== HOST) return 'it is no certificate of a host';
  if (certificate.criticalOptions.length > 0) return 'it has critical options that are not known';
  if (!certificate.principals.includes(expected.host)) return 'it is for another name';
  const now = BigInt(Math.floor(expected.now));
  if (now < certificate.validAfter) return 'it is not valid yet';
  if (now >= certificate.validBefore) return 'it has expired';
  return undefined;
}
