/**
 * What is in the messages of the agent protocol (draft-ietf-sshm-ssh-agent; OpenSSH's PROTOCOL.agent), as objects that
 * can be printed: which keys were listed, which one signed what for whom, what was added and removed. Texts of peers are
 * escaped and cut; private keys and pass phrases are stepped over and never in an object. A decoder gets one whole
 * message and throws nothing but ProtocolError.
 */
import { ProtocolError } from '../base/errors.ts';
import type { AgentKey } from './agent-key.ts';
import { nameKey, readAddedKey } from './agent-key.ts';
import { Reader } from './buffer.ts';
import { printable } from './channel-request.ts';
import { MSG } from './messages.ts';
import { decodeUserauthRequest } from './userauth.ts';

/** Message numbers: draft section 6.1. */
export const AGENT = {
  failure: 5,
  success: 6,
  requestIdentities: 11,
  identitiesAnswer: 12,
  signRequest: 13,
  signResponse: 14,
  addIdentity: 17,
  removeIdentity: 18,
  removeAll: 19,
  addToken: 20,
  removeToken: 21,
  lock: 22,
  unlock: 23,
  addConstrained: 25,
  addTokenConstrained: 26,
  extension: 27,
  extensionFailure: 28,
  extensionResponse: 29,
} as const;

/** OpenSSH's own client takes no more keys from an agent. */
const MAX_KEYS = 2048;
const MAX_CONSTRAINTS = 64;
const MAX_TEXT = 1024;
/** Of a session id: the longest digest of a key exchange. */
const MAX_SESSION = 64;

/** What a signature was asked for. */
export type SignPurpose =
  | {
      /** A login: the signed data is that of RFC 4252 section 7. */
      readonly purpose: 'login';
      readonly user: string;
      readonly service: string;
      readonly method: string;
      /** The session id of the connection that is logged in to, hexadecimal. */
      readonly session: string;
      /** Fingerprint of the host key that the login, or a bind before it, names. */
      readonly host?: string;
    }
  /** Data of a file, a commit or the like, signed by `ssh-keygen -Y` (PROTOCOL.sshsig). */
  | { readonly purpose: 'sshsig'; readonly namespace: string; readonly hash: string }
  | { readonly purpose: 'unknown'; readonly bytes: number };

export type AgentRequest =
  | { readonly request: 'list' | 'remove-all' | 'lock' | 'unlock' }
  | {
      readonly request: 'sign';
      readonly key: AgentKey;
      readonly flags: number;
      readonly signs: SignPurpose;
    }
  | {
      readonly request: 'add';
      readonly key: AgentKey;
      readonly comment: string;
      readonly constraints: readonly string[];
    }
  | { readonly request: 'remove'; readonly key: AgentKey }
  | {
      readonly request: 'add-token' | 'remove-token';
      readonly provider: string;
      readonly constraints: readonly string[];
    }
  | {
      /** Tells the agent which host a session id belongs to, and whether the agent is passed on to there. */
      readonly request: 'session-bind';
      readonly host: string;
      readonly session: string;
      readonly forwarded: boolean;
    }
  | { readonly request: 'extension'; readonly name: string; readonly bytes: number }
  | { readonly request: 'unknown'; readonly message: number; readonly bytes: number }
  | { readonly request: 'undecoded'; readonly message: number; readonly why: string };

export type AgentAnswer =
  | { readonly answer: 'success' | 'failure' | 'extension-failure' }
  | { readonly answer: 'keys'; readonly keys: readonly ListedKey[] }
  | { readonly answer: 'signature'; readonly algorithm: string }
  | { readonly answer: 'extension'; readonly bytes: number }
  | { readonly answer: 'unknown'; readonly message: number; readonly bytes: number }
  | { readonly answer: 'undecoded'; readonly message: number; readonly why: string };

export interface ListedKey extends AgentKey {
  readonly comment: string;
}

/** Text of a peer on one line, of bounded length. */
function text(bytes: Buffer): string {
  const short = printable(bytes.subarray(0, MAX_TEXT));
  return bytes.length > MAX_TEXT ? `${short}...` : short;
}

/** A message by its number; contents that do not parse are said to be so. */
export function decodeAgentRequest(message: Buffer): AgentRequest {
  const number = message.readUInt8(0);
  try {
    return requestOf(number, new Reader(message, 1));
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { request: 'undecoded', message: number, why: error.message };
  }
}

function requestOf(number: number, reader: Reader): AgentRequest {
  switch (number) {
    case AGENT.requestIdentities:
      return { request: 'list' };
    case AGENT.removeAll:
      return { request: 'remove-all' };
    case AGENT.lock:
      return { request: 'lock' };
    case AGENT.unlock:
      return { request: 'unlock' };
    case AGENT.signRequest: {
      // string key blob, string data, uint32 flags
      const key = nameKey(reader.string());
      const signs = purposeOf(reader.string());
      return { request: 'sign', key, flags: reader.uint32(), signs };
    }
    case AGENT.addIdentity:
    case AGENT.addConstrained: {
      // a key with its private half, string comment, constraints to the end
      const key = readAddedKey(reader);
      const comment = text(reader.string());
      return { request: 'add', key, comment, constraints: readConstraints(reader) };
    }
    case AGENT.removeIdentity:
      return { request: 'remove', key: nameKey(reader.string()) };
    case AGENT.addToken:
    case AGENT.addTokenConstrained:
    case AGENT.removeToken: {
      // string provider, string PIN, constraints to the end
      const provider = text(reader.string());
      reader.string();
      const request = number === AGENT.removeToken ? 'remove-token' : 'add-token';
      return { request, provider, constraints: readConstraints(reader) };
    }
    case AGENT.extension:
      return readExtension(reader);
    default:
      return { request: 'unknown', message: number, bytes: reader.left };
  }
}

/** string name, then what the extension wants. */
function readExtension(reader: Reader): AgentRequest {
  const name = reader.string();
  if (name.toString('latin1') !== 'session-bind@openssh.com') {
    return { request: 'extension', name: text(name), bytes: reader.left };
  }
  // PROTOCOL.agent section 1: string host key, string session id, string signature, bool is forwarding
  const host = nameKey(reader.string()).fingerprint;
  const session = sessionId(reader.string());
  reader.string();
  return { request: 'session-bind', host, session, forwarded: reader.boolean() };
}

function sessionId(bytes: Buffer): string {
  if (bytes.length === 0 || bytes.length > MAX_SESSION) {
    throw new ProtocolError(`a session id of ${bytes.length} bytes`);
  }
  return bytes.toString('hex');
}

/** Draft section 3.2.7: byte kind, then 1: uint32 seconds; 2: nothing; 3: uint32 count; 255: string name, its data. */
function readConstraints(reader: Reader): string[] {
  const found: string[] = [];
  while (reader.left > 0) {
    if (found.length === MAX_CONSTRAINTS) throw new ProtocolError('too many constraints of a key');
    const kind = reader.uint8();
    if (kind === 1) found.push(`lifetime ${reader.uint32()} s`);
    else if (kind === 2) found.push('confirm');
    else if (kind === 3) found.push(`signatures ${reader.uint32()}`);
    else if (kind === 255) {
      const name = reader.string();
      found.push(text(name));
      if (!skipConstraint(name.toString('latin1'), reader)) break;
    } else throw new ProtocolError(`a constraint of kind ${kind}`);
  }
  return found;
}

/** Steps over the data of an extension; false for one whose length nobody tells. */
function skipConstraint(name: string, reader: Reader): boolean {
  switch (name) {
    case 'restrict-destination-v00@openssh.com':
    case 'sk-provider@openssh.com':
      reader.string();
      return true;
    case 'associated-certs-v00@openssh.com':
      reader.boolean();
      reader.string();
      return true;
    default:
      return false;
  }
}

const SSHSIG = Buffer.from('SSHSIG');

/** What data to be signed is; data of any other form is counted and no more. */
function purposeOf(data: Buffer): SignPurpose {
  try {
    return data.subarray(0, SSHSIG.length).equals(SSHSIG) ? sshsig(data) : login(data);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { purpose: 'unknown', bytes: data.length };
  }
}

/** PROTOCOL.sshsig section 3: "SSHSIG", string namespace, string reserved, string hash algorithm, string digest. */
function sshsig(data: Buffer): SignPurpose {
  const reader = new Reader(data, SSHSIG.length);
  const namespace = text(reader.string());
  reader.string();
  const hash = text(reader.string());
  reader.string();
  reader.end();
  return { purpose: 'sshsig', namespace, hash };
}

/**
 * RFC 4252 section 7: string session id, then a publickey request up to its signature. The method
 * `publickey-hostbound-v00@openssh.com` has the host key as one more string.
 */
function login(data: Buffer): SignPurpose {
  const start = new Reader(data);
  const session = sessionId(start.string());
  const request = start.rest();
  if (request[0] !== MSG.userauthRequest) throw new ProtocolError('not the data of a login');
  const { user, service, method, fields } = decodeUserauthRequest(request);
  const hostBound = method === HOST_BOUND;
  if (!hostBound && method !== 'publickey') throw new ProtocolError('a login by another method');
  fields.boolean();
  fields.name();
  fields.string();
  const host = hostBound ? nameKey(fields.string()).fingerprint : undefined;
  fields.end();
  return {
    purpose: 'login',
    user: text(user),
    service: text(Buffer.from(service, 'latin1')),
    method,
    session,
    ...(host === undefined ? {} : { host }),
  };
}

const HOST_BOUND = 'publickey-hostbound-v00@openssh.com';

/** An answer by its number; contents that do not parse are said to be so. */
export function decodeAgentAnswer(message: Buffer): AgentAnswer {
  const number = message.readUInt8(0);
  try {
    return answerOf(number, new Reader(message, 1));
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { answer: 'undecoded', message: number, why: error.message };
  }
}

function answerOf(number: number, reader: Reader): AgentAnswer {
  switch (number) {
    case AGENT.success:
      return { answer: 'success' };
    case AGENT.failure:
      return { answer: 'failure' };
    case AGENT.extensionFailure:
      return { answer: 'extension-failure' };
    case AGENT.extensionResponse:
      return { answer: 'extension', bytes: reader.left };
    case AGENT.identitiesAnswer: {
      // uint32 count, then for each: string key blob, string comment
      const count = reader.uint32();
      if (count > MAX_KEYS) throw new ProtocolError(`${count} keys in an agent`);
      const keys: ListedKey[] = [];
      for (let i = 0; i < count; i++) {
        const key = nameKey(reader.string());
        keys.push({ ...key, comment: text(reader.string()) });
      }
      return { answer: 'keys', keys };
    }
    case AGENT.signResponse: {
      // string signature, in which: string algorithm, string bytes
      const signature = new Reader(reader.string());
      return { answer: 'signature', algorithm: text(signature.string()) };
    }
    default:
      return { answer: 'unknown', message: number, bytes: reader.left };
  }
}
