/**
 * The messages of the authentication protocol (RFC 4252, RFC 4256), both directions. Decoders take whole payloads and
 * throw nothing but `ProtocolError`; counts are limited before anything is made of them.
 */
import { ProtocolError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { Reader, Writer } from './buffer.ts';
import { MSG } from './messages.ts';

const MAX_PROMPTS = 16;
const CONNECTION_SERVICE = 'ssh-connection';

/**
 * RFC 4252 section 5:
 *   byte      SSH_MSG_USERAUTH_REQUEST
 *   string    user name
 *   string    service name
 *   string    method name
 *   ....      method specific fields
 */
export interface UserauthRequest {
  readonly user: Buffer;
  readonly service: string;
  readonly method: string;
  readonly fields: Reader;
}

export function decodeUserauthRequest(payload: Buffer): UserauthRequest {
  const reader = new Reader(payload, 1);
  return {
    user: reader.string(),
    service: reader.name(),
    method: reader.name(),
    fields: reader,
  };
}

/**
 * RFC 4252 section 7, behind the method name `publickey`:
 *   boolean   whether a signature follows
 *   string    public key algorithm name
 *   string    public key blob
 *   string    signature, if announced
 */
export interface PublickeyFields {
  readonly algorithm: string;
  readonly blob: Buffer;
  readonly signature: Buffer | undefined;
  /** How much of the payload is signed, behind the session id. */
  readonly signedEnd: number;
}

export function decodePublickey(fields: Reader): PublickeyFields {
  const signed = fields.boolean();
  const algorithm = fields.name();
  const blob = fields.string();
  const signedEnd = fields.position;
  const signature = signed ? fields.string() : undefined;
  fields.end();
  return { algorithm, blob, signature, signedEnd };
}

/** What is signed (RFC 4252 section 7): the session id as a string, and the request up to the signature. */
export function signedData(sessionId: Buffer, payload: Buffer, signedEnd: number): Buffer {
  return new Writer().string(sessionId).bytes(payload.subarray(0, signedEnd)).done();
}

/**
 * RFC 4252 section 8, behind the method name `password`:
 *   boolean   whether this is a change of password
 *   string    password in UTF-8
 */
export function decodePassword(fields: Reader): Secret | undefined {
  const change = fields.boolean();
  const password = new Secret(Buffer.from(fields.string()));
  return change ? undefined : password;
}

/**
 * RFC 4256 section 3.4:
 *   byte      SSH_MSG_USERAUTH_INFO_RESPONSE
 *   int       num-responses
 *   string    response, repeated
 */
export function decodeInfoResponse(payload: Buffer): Secret[] {
  const reader = new Reader(payload, 1);
  const count = reader.uint32();
  if (count > MAX_PROMPTS) throw new ProtocolError(`${count} answers to one question`);
  const answers: Secret[] = [];
  for (let i = 0; i < count; i++) answers.push(new Secret(Buffer.from(reader.string())));
  reader.end();
  return answers;
}

export interface Prompt {
  readonly text: string;
  readonly echo: boolean;
}

/**
 * RFC 4256 section 3.2:
 *   byte      SSH_MSG_USERAUTH_INFO_REQUEST
 *   string    name
 *   string    instruction
 *   string    language tag
 *   int       num-prompts
 *   string    prompt, boolean echo, repeated
 */
export function encodeInfoRequest(instruction: string, prompts: readonly Prompt[]): Buffer {
  const writer = new Writer()
    .uint8(MSG.userauthInfoRequest)
    .string('')
    .string(instruction)
    .string('')
    .uint32(prompts.length);
  for (const { text, echo } of prompts) writer.string(text).boolean(echo);
  return writer.done();
}

export function decodeInfoRequest(payload: Buffer): Prompt[] {
  const reader = new Reader(payload, 1);
  reader.string();
  reader.string();
  reader.string();
  const count = reader.uint32();
  if (count > MAX_PROMPTS) throw new ProtocolError(`${count} questions at once`);
  const prompts: Prompt[] = [];
  for (let i = 0; i < count; i++) {
    prompts.push({ text: reader.string().toString('utf8'), echo: reader.boolean() });
  }
  return prompts;
}

export function encodeInfoResponse(answers: readonly Secret[]): Buffer {
  const writer = new Writer().uint8(MSG.userauthInfoResponse).uint32(answers.length);
  for (const answer of answers) writer.string(answer.reveal());
  return writer.done();
}

/** RFC 4252 section 5.1: byte, name-list of methods that can continue, boolean partial success. */
export function encodeFailure(methods: readonly string[], partial: boolean): Buffer {
  return new Writer().uint8(MSG.userauthFailure).nameList(methods).boolean(partial).done();
}

export function decodeFailure(payload: Buffer): { methods: string[]; partial: boolean } {
  const reader = new Reader(payload, 1);
  return { methods: reader.nameList(), partial: reader.boolean() };
}

/** RFC 4252 section 7: byte, string algorithm name from the request, string blob from the request. */
export function encodePkOk(algorithm: string, blob: Buffer): Buffer {
  return new Writer().uint8(MSG.userauthPkOk).string(algorithm).string(blob).done();
}

/** RFC 4252 section 5.4: byte, string message, string language tag. */
export function encodeBanner(text: string): Buffer {
  return new Writer().uint8(MSG.userauthBanner).string(text).string('').done();
}

function request(user: string, method: string): Writer {
  return new Writer()
    .uint8(MSG.userauthRequest)
    .string(user)
    .string(CONNECTION_SERVICE)
    .string(method);
}

export function encodePasswordRequest(user: string, password: Secret): Buffer {
  return request(user, 'password').boolean(false).string(password.reveal()).done();
}

export function encodeKeyboardInteractiveRequest(user: string): Buffer {
  return request(user, 'keyboard-interactive').string('').string('').done();
}

/** Asks whether a key would do, without a signature (RFC 4252 section 7). */
export function encodePublickeyQuery(user: string, algorithm: string, blob: Buffer): Buffer {
  return request(user, 'publickey').boolean(false).string(algorithm).string(blob).done();
}

/** A `publickey` request before its signature, and what RFC 4252 section 7 says is signed. */
export function publickeyToSign(
  user: string,
  algorithm: string,
  blob: Buffer,
  sessionId: Buffer,
): { readonly unsigned: Buffer; readonly data: Buffer } {
  const unsigned = request(user, 'publickey').boolean(true).string(algorithm).string(blob).done();
  return { unsigned, data: signedData(sessionId, unsigned, unsigned.length) };
}

/** The request with the signature that it is to have. */
export function withSignature(unsigned: Buffer, signature: Buffer): Buffer {
  return new Writer().bytes(unsigned).string(signature).done();
}

/** A signed `publickey` request; `sign` gets what RFC 4252 section 7 says is signed. */
export function encodePublickeyRequest(
  user: string,
  algorithm: string,
  blob: Buffer,
  sessionId: Buffer,
  sign: (data: Buffer) => Buffer,
): Buffer {
  const { unsigned, data } = publickeyToSign(user, algorithm, blob, sessionId);
  return withSignature(unsigned, sign(data));
}

/** RFC 4253 section 10: byte, string service name. */
export function encodeService(type: number, name: string): Buffer {
  return new Writer().uint8(type).string(name).done();
}

export function decodeServiceRequest(payload: Buffer): string {
  return new Reader(payload, 1).name();
}
