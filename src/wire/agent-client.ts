/**
 * The gate's own side of the agent protocol (draft-ietf-sshm-ssh-agent): the two questions it asks of a user's agent to
 * log in with a key there. Answers come from the user's machine: every count and length is checked, and what is of
 * another form is a `ProtocolError`.
 */
import { ProtocolError } from '../base/errors.ts';
import { AGENT } from './agent-messages.ts';
import { Reader, Writer } from './buffer.ts';
import { algorithmsOf, keyTypeOf } from './publickey.ts';

/** As OpenSSH has it: no message is longer. */
export const MAX_AGENT_MESSAGE = 256 * 1024;
/** Keys that are looked at; a target gives up after far fewer. */
const MAX_KEYS = 256;
/** A longer key fits in no login request. */
const MAX_BLOB = 16 * 1024;
/** Draft section 3.6.1: flags of a request to sign with an RSA key. */
const FLAGS = { 'rsa-sha2-256': 2, 'rsa-sha2-512': 4 } as const;
const CERTIFICATE = '-cert-v01@openssh.com';

function framed(message: Buffer): Buffer {
  return new Writer().string(message).done();
}

/** uint32 length, byte SSH_AGENTC_REQUEST_IDENTITIES. */
export function encodeListKeys(): Buffer {
  return framed(new Writer().uint8(AGENT.requestIdentities).done());
}

/** uint32 length, byte SSH_AGENTC_SIGN_REQUEST, string key blob, string data, uint32 flags. */
export function encodeSign(blob: Buffer, data: Buffer, algorithm: string): Buffer {
  const plain = signatureName(algorithm);
  const flags = plain === 'rsa-sha2-256' || plain === 'rsa-sha2-512' ? FLAGS[plain] : 0;
  return framed(
    new Writer().uint8(AGENT.signRequest).string(blob).string(data).uint32(flags).done(),
  );
}

/**
 * The keys that may be tried, in the agent's order:
 *   byte      SSH_AGENT_IDENTITIES_ANSWER
 *   uint32    number of keys
 *   string    key blob, string comment, repeated
 */
export function decodeKeys(message: Buffer): Buffer[] {
  const reader = new Reader(message);
  if (reader.uint8() !== AGENT.identitiesAnswer) return [];
  const count = Math.min(reader.uint32(), MAX_KEYS);
  const keys: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const blob = reader.string();
    reader.string();
    if (blob.length <= MAX_BLOB) keys.push(blob);
  }
  return keys;
}

/** The signature, of this algorithm; undefined where the agent will not sign. */
export function decodeSignature(message: Buffer, algorithm: string): Buffer | undefined {
  const reader = new Reader(message);
  if (reader.uint8() !== AGENT.signResponse) return undefined;
  const signature = reader.string();
  const name = new Reader(signature).name();
  if (name !== signatureName(algorithm)) {
    throw new ProtocolError(`the agent signed with ${JSON.stringify(name)}, not ${algorithm}`);
  }
  return signature;
}

/** What a signature of an algorithm of RFC 4252 names; that of a certificate is one of its key. */
function signatureName(algorithm: string): string {
  return algorithm.endsWith(CERTIFICATE)
    ? algorithm.slice(0, -CERTIFICATE.length).replace(/^(sk-.*)$/, '$1@openssh.com')
    : algorithm;
}

/** The algorithms that a key of an agent can sign with, best first; none for a type that is not known. */
export function agentAlgorithms(blob: Buffer): readonly string[] {
  const type = keyTypeOf(blob);
  const plain = algorithmsOf(type);
  if (plain.length > 0) return plain;
  if (type === `ssh-rsa${CERTIFICATE}`) {
    return [`rsa-sha2-512${CERTIFICATE}`, `rsa-sha2-256${CERTIFICATE}`];
  }
  return SIGNERS.has(type) ? [type] : [];
}

const SIGNERS: ReadonlySet<string> = new Set([
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
  ...['ssh-ed25519', 'sk-ssh-ed25519', 'sk-ecdsa-sha2-nistp256'].map((name) => name + CERTIFICATE),
  ...['256', '384', '521'].map((bits) => `ecdsa-sha2-nistp${bits}${CERTIFICATE}`),
]);
