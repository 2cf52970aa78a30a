/**
 * Keys as the agent protocol carries them: public blobs and certificates, which get the name that `ssh-add -l` shows, and
 * the private keys of an `add`, which are stepped over. What is private never leaves this file: of a key that is added
 * only the public half is looked at.
 */
import { ProtocolError } from '../base/errors.ts';
import { Reader, Writer } from './buffer.ts';
import { printable } from './channel-request.ts';
import { fingerprint, keyTypeOf } from './publickey.ts';

export interface AgentKey {
  /** As the key says it, for instance `ssh-ed25519`. */
  readonly type: string;
  /** `SHA256:...`; of a certificate that of the key in it, as OpenSSH shows it. */
  readonly fingerprint: string;
}

/** Strings of a key: of its public half, of its private half, and behind its certificate. */
interface Shape {
  readonly publicFields: number;
  readonly privateFields: number;
  readonly behindCertificate: number;
  /** A key on a token: a byte of flags and two strings take the place of the private half. */
  readonly onToken?: true;
}

const SHAPES: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['ssh-ed25519', { publicFields: 1, privateFields: 1, behindCertificate: 2 }],
  ['ssh-rsa', { publicFields: 2, privateFields: 4, behindCertificate: 4 }],
  ['ssh-dss', { publicFields: 4, privateFields: 1, behindCertificate: 1 }],
  ['ecdsa-sha2-nistp256', { publicFields: 2, privateFields: 1, behindCertificate: 1 }],
  ['ecdsa-sha2-nistp384', { publicFields: 2, privateFields: 1, behindCertificate: 1 }],
  ['ecdsa-sha2-nistp521', { publicFields: 2, privateFields: 1, behindCertificate: 1 }],
  [
    'sk-ssh-ed25519@openssh.com',
    { publicFields: 2, privateFields: 0, behindCertificate: 1, onToken: true },
  ],
  [
    'sk-ecdsa-sha2-nistp256@openssh.com',
    { publicFields: 3, privateFields: 0, behindCertificate: 1, onToken: true },
  ],
]);

const CERTIFICATE = '-cert-v01@openssh.com';

/** The type of the key in a certificate (PROTOCOL.certkeys); undefined for what is no certificate. */
function certifiedType(type: string): string | undefined {
  if (!type.endsWith(CERTIFICATE)) return undefined;
  const plain = type.slice(0, -CERTIFICATE.length);
  return plain.startsWith('sk-') ? `${plain}@openssh.com` : plain;
}

/** Names a key by its blob; a blob that does not parse is named by the digest of its bytes. */
export function nameKey(blob: Buffer): AgentKey {
  const type = keyTypeOf(blob);
  return { type: printable(Buffer.from(type, 'latin1')), fingerprint: fingerprint(plainKey(blob)) };
}

/** Of a certificate, `string type, string nonce, fields of the key, ...`, the key alone; any other blob as it is. */
function plainKey(blob: Buffer): Buffer {
  const reader = new Reader(blob);
  const plain = certifiedType(reader.name());
  const shape = plain === undefined ? undefined : SHAPES.get(plain);
  if (plain === undefined || !shape) return blob;
  reader.string();
  const key = new Writer().string(plain);
  for (let i = 0; i < shape.publicFields; i++) key.string(reader.string());
  return key.done();
}

/**
 * Reads a key to be added (draft-ietf-sshm-ssh-agent, section 3.2) and leaves the reader behind it:
 *   string    key type
 *   ....      public and private fields of that type; of a certificate: string blob, private fields
 */
export function readAddedKey(reader: Reader): AgentKey {
  const type = reader.name();
  const certified = certifiedType(type);
  const shape = SHAPES.get(certified ?? type);
  if (!shape) throw new ProtocolError('a key of a type that is not known here');
  let key: AgentKey;
  if (certified === undefined) {
    const fields: Buffer[] = [];
    for (let i = 0; i < shape.publicFields; i++) fields.push(reader.string());
    // RSA alone stands the other way round here: modulus, exponent.
    if (type === 'ssh-rsa') fields.reverse();
    const blob = new Writer().string(type);
    for (const field of fields) blob.string(field);
    key = nameKey(blob.done());
  } else {
    key = nameKey(reader.string());
  }
  const rest = certified === undefined ? shape.privateFields : shape.behindCertificate;
  for (let i = 0; i < rest; i++) reader.string();
  if (shape.onToken) {
    reader.uint8();
    reader.string();
    reader.string();
  }
  return key;
}
