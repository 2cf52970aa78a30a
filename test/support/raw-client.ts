/** A raw SSH client: dials, and logs in step by step or at once. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Secret } from '../../src/base/secret.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { algorithmsOf } from '../../src/wire/publickey.ts';
import { parsePrivateKey } from '../../src/wire/ssh2.ts';
import {
  encodePasswordRequest,
  encodePublickeyRequest,
  encodeService,
} from '../../src/wire/userauth.ts';
import { RawPeer, rawReady } from './raw-peer.ts';
import type { RawOptions } from './raw-peer.ts';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';
import type { Endpoint } from './ssh-client.ts';

/** Connects; nothing is sent before `start`. Keeps its half open when the other side ends. */
export async function dialRaw(
  scope: Scope,
  to: { readonly host: string; readonly port: number },
  options: RawOptions = {},
): Promise<RawPeer> {
  await rawReady();
  const socket = connect({ host: to.host, port: to.port, allowHalfOpen: true });
  defer(scope, () => {
    socket.destroy();
  });
  const peer = new RawPeer(socket, options);
  await once(socket, 'connect');
  return peer;
}

/** Up to the end of the key exchange. */
export async function exchangeRaw(
  scope: Scope,
  to: { readonly host: string; readonly port: number },
  options: RawOptions = {},
): Promise<RawPeer> {
  const peer = await dialRaw(scope, to, options);
  return peer.start().ready();
}

/** Asks for the login service. */
export async function askService(peer: RawPeer): Promise<void> {
  peer.send(encodeService(MSG.serviceRequest, 'ssh-userauth'));
  await peer.next(MSG.serviceAccept);
}

/** A signed request to log in with a key. */
export function keyRequest(
  peer: Pick<RawPeer, 'sessionId'>,
  user: string,
  keyPath: string,
): Buffer {
  const key = parsePrivateKey(readFileSync(keyPath, 'utf8'));
  const [algorithm = ''] = algorithmsOf(key.type);
  return encodePublickeyRequest(user, algorithm, key.blob, peer.sessionId, (data) =>
    key.sign(data, algorithm),
  );
}

export function passwordRequest(user: string, password: string): Buffer {
  return encodePasswordRequest(user, new Secret(password));
}

/** All the way in, with the key of the endpoint. */
export async function loginRaw(
  scope: Scope,
  to: Endpoint,
  options: RawOptions = {},
): Promise<RawPeer> {
  const peer = await exchangeRaw(scope, to, options);
  await askService(peer);
  peer.send(keyRequest(peer, to.user, to.key ?? ''));
  await peer.next(MSG.userauthSuccess);
  return peer;
}

export interface OpenFields {
  readonly type?: string;
  readonly sender?: number;
  readonly window?: number;
  readonly maxPacket?: number;
  readonly data?: Buffer;
}

/** SSH_MSG_CHANNEL_OPEN. */
export function openMessage(fields: OpenFields = {}): Buffer {
  const { type = 'session', sender = 0, window = 2 ** 21, maxPacket = 32_768, data } = fields;
  return new Writer()
    .uint8(MSG.channelOpen)
    .string(type)
    .uint32(sender)
    .uint32(window)
    .uint32(maxPacket)
    .bytes(data ?? Buffer.alloc(0))
    .done();
}

/** SSH_MSG_CHANNEL_OPEN_CONFIRMATION. */
export function confirmMessage(
  recipient: number,
  { sender = 0, window = 2 ** 21, maxPacket = 32_768 }: Omit<OpenFields, 'type' | 'data'> = {},
): Buffer {
  return new Writer()
    .uint8(MSG.channelOpenConfirmation)
    .uint32(recipient)
    .uint32(sender)
    .uint32(window)
    .uint32(maxPacket)
    .done();
}

/** SSH_MSG_CHANNEL_REQUEST. */
export function requestMessage(
  recipient: number,
  type: string,
  wantReply: boolean,
  data: Buffer = Buffer.alloc(0),
): Buffer {
  return new Writer()
    .uint8(MSG.channelRequest)
    .uint32(recipient)
    .string(type)
    .boolean(wantReply)
    .bytes(data)
    .done();
}

/** SSH_MSG_GLOBAL_REQUEST. */
export function globalMessage(
  type: string,
  wantReply: boolean,
  data: Buffer = Buffer.alloc(0),
): Buffer {
  return new Writer().uint8(MSG.globalRequest).string(type).boolean(wantReply).bytes(data).done();
}

/** A message of nothing but its number and one channel. */
export function channelMessage(type: number, recipient: number): Buffer {
  return new Writer().uint8(type).uint32(recipient).done();
}

export function adjustMessage(recipient: number, amount: number): Buffer {
  return new Writer().uint8(MSG.channelWindowAdjust).uint32(recipient).uint32(amount).done();
}

/** SSH_MSG_CHANNEL_DATA, or SSH_MSG_CHANNEL_EXTENDED_DATA with a code. */
export function dataMessage(recipient: number, data: Buffer | string, code?: number): Buffer {
  const writer = new Writer()
    .uint8(code === undefined ? MSG.channelData : MSG.channelExtendedData)
    .uint32(recipient);
  if (code !== undefined) writer.uint32(code);
  return writer.string(data).done();
}

/** An `exec` request. */
export function execMessage(recipient: number, command: string | Buffer, wantReply = true): Buffer {
  return requestMessage(recipient, 'exec', wantReply, new Writer().string(command).done());
}

/** Opens a session and waits for it; the channel number of the other side. */
export async function openRaw(peer: RawPeer, fields: OpenFields = {}): Promise<number> {
  peer.send(openMessage(fields));
  const answer = await peer.next(MSG.channelOpenConfirmation, MSG.channelOpenFailure);
  if (answer[0] !== MSG.channelOpenConfirmation) throw new Error('the channel was refused');
  return answer.readUInt32BE(5);
}

/** Opens a session, runs a command in it, and waits for the word that it runs. */
export async function execRaw(
  peer: RawPeer,
  command: string,
  fields: OpenFields = {},
): Promise<number> {
  const channel = await openRaw(peer, fields);
  peer.send(execMessage(channel, command));
  const answer = await peer.next(MSG.channelSuccess, MSG.channelFailure);
  if (answer[0] !== MSG.channelSuccess) throw new Error('the command was refused');
  return channel;
}
