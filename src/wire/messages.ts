/**
 * The messages of the SSH connection protocol (RFC 4254) and of OpenSSH's PROTOCOL file, with their layout in wire
 * order. Decoders take a whole payload, from the message number on, and throw nothing but `ProtocolError`.
 */
import { Reader, Writer } from './buffer.ts';

/** Message numbers: RFC 4250 section 4.1, and OpenSSH's two for ping. */
export const MSG = {
  disconnect: 1,
  ignore: 2,
  unimplemented: 3,
  debug: 4,
  serviceRequest: 5,
  serviceAccept: 6,
  extInfo: 7,
  kexinit: 20,
  newkeys: 21,
  userauthRequest: 50,
  userauthFailure: 51,
  userauthSuccess: 52,
  userauthBanner: 53,
  userauthInfoRequest: 60,
  userauthPkOk: 60,
  userauthInfoResponse: 61,
  globalRequest: 80,
  requestSuccess: 81,
  requestFailure: 82,
  channelOpen: 90,
  channelOpenConfirmation: 91,
  channelOpenFailure: 92,
  channelWindowAdjust: 93,
  channelData: 94,
  channelExtendedData: 95,
  channelEof: 96,
  channelClose: 97,
  channelRequest: 98,
  channelSuccess: 99,
  channelFailure: 100,
  ping: 192,
  pong: 193,
} as const;

/** RFC 4254 section 5.1: reasons of SSH_MSG_CHANNEL_OPEN_FAILURE. */
export const OPEN_FAILURE = {
  administrativelyProhibited: 1,
  connectFailed: 2,
  unknownChannelType: 3,
  resourceShortage: 4,
} as const;

/**
 * RFC 4254 section 5.1:
 *   byte      SSH_MSG_CHANNEL_OPEN
 *   string    channel type in US-ASCII only
 *   uint32    sender channel
 *   uint32    initial window size
 *   uint32    maximum packet size
 *   ....      channel type specific data follows
 */
export interface ChannelOpen {
  readonly type: string;
  readonly sender: number;
  readonly window: number;
  readonly maxPacket: number;
  /** Where `sender` lies in the payload; window and maximum packet follow it. */
  readonly senderAt: number;
  readonly data: Buffer;
}

export function decodeOpen(payload: Buffer): ChannelOpen {
  const reader = new Reader(payload, 1);
  const type = reader.name();
  const senderAt = reader.position;
  return {
    type,
    senderAt,
    sender: reader.uint32(),
    window: reader.uint32(),
    maxPacket: reader.uint32(),
    data: reader.rest(),
  };
}

/**
 * RFC 4254 section 5.1:
 *   byte      SSH_MSG_CHANNEL_OPEN_CONFIRMATION
 *   uint32    recipient channel
 *   uint32    sender channel
 *   uint32    initial window size
 *   uint32    maximum packet size
 *   ....      channel type specific data follows
 */
export interface OpenConfirmation {
  readonly recipient: number;
  readonly sender: number;
  readonly window: number;
  readonly maxPacket: number;
}

export function decodeOpenConfirmation(payload: Buffer): OpenConfirmation {
  const reader = new Reader(payload, 1);
  return {
    recipient: reader.uint32(),
    sender: reader.uint32(),
    window: reader.uint32(),
    maxPacket: reader.uint32(),
  };
}

export function encodeOpenConfirmation(fields: OpenConfirmation): Buffer {
  const { recipient, sender, window, maxPacket } = fields;
  return new Writer()
    .uint8(MSG.channelOpenConfirmation)
    .uint32(recipient)
    .uint32(sender)
    .uint32(window)
    .uint32(maxPacket)
    .done();
}

/** RFC 4254 section 5.2: byte, uint32 recipient channel, uint32 bytes to add. */
export function encodeAdjust(recipient: number, amount: number): Buffer {
  return new Writer().uint8(MSG.channelWindowAdjust).uint32(recipient).uint32(amount).done();
}

/** RFC 4254 section 5.2: byte, uint32 recipient channel, string data. */
export function encodeData(recipient: number, data: Buffer): Buffer {
  const payload = Buffer.allocUnsafe(9 + data.length);
  payload[0] = MSG.channelData;
  payload.writeUInt32BE(recipient, 1);
  payload.writeUInt32BE(data.length, 5);
  data.copy(payload, 9);
  return payload;
}

/** RFC 4254 section 5.2: byte, uint32 recipient channel, uint32 data type code 1 (stderr), string data. */
export function encodeExtendedData(recipient: number, data: Buffer): Buffer {
  return new Writer()
    .uint8(MSG.channelExtendedData)
    .uint32(recipient)
    .uint32(1)
    .string(data)
    .done();
}

/** RFC 4254 section 6.1: a session. */
export function encodeSessionOpen(sender: number, window: number, maxPacket: number): Buffer {
  return new Writer()
    .uint8(MSG.channelOpen)
    .string('session')
    .uint32(sender)
    .uint32(window)
    .uint32(maxPacket)
    .done();
}

/** RFC 4254 section 6.10: a request `exit-status` without a reply. */
export function encodeExit(recipient: number, status: number): Buffer {
  return new Writer()
    .uint8(MSG.channelRequest)
    .uint32(recipient)
    .string('exit-status')
    .boolean(false)
    .uint32(status)
    .done();
}

/**
 * RFC 4254 section 5.1:
 *   byte      SSH_MSG_CHANNEL_OPEN_FAILURE
 *   uint32    recipient channel
 *   uint32    reason code
 *   string    description in ISO-10646 UTF-8 encoding
 *   string    language tag
 */
export interface OpenFailure {
  readonly recipient: number;
  readonly reason: number;
  readonly description: Buffer;
}

export function decodeOpenFailure(payload: Buffer): OpenFailure {
  const reader = new Reader(payload, 1);
  return { recipient: reader.uint32(), reason: reader.uint32(), description: reader.string() };
}

export function encodeOpenFailure(recipient: number, reason: number, description: string): Buffer {
  return new Writer()
    .uint8(MSG.channelOpenFailure)
    .uint32(recipient)
    .uint32(reason)
    .string(description)
    .string('')
    .done();
}

/**
 * RFC 4254 section 5.4:
 *   byte      SSH_MSG_CHANNEL_REQUEST
 *   uint32    recipient channel
 *   string    request type in US-ASCII characters only
 *   boolean   want reply
 *   ....      type-specific data follows
 */
export interface ChannelRequest {
  readonly recipient: number;
  readonly type: string;
  readonly wantReply: boolean;
  readonly data: Buffer;
}

export function decodeChannelRequest(payload: Buffer): ChannelRequest {
  const reader = new Reader(payload, 1);
  return {
    recipient: reader.uint32(),
    type: reader.name(),
    wantReply: reader.boolean(),
    data: reader.rest(),
  };
}

/**
 * RFC 4254 section 4:
 *   byte      SSH_MSG_GLOBAL_REQUEST
 *   string    request name in US-ASCII only
 *   boolean   want reply
 *   ....      request-specific data follows
 */
export interface GlobalRequest {
  readonly type: string;
  readonly wantReply: boolean;
  readonly data: Buffer;
}

export function decodeGlobalRequest(payload: Buffer): GlobalRequest {
  const reader = new Reader(payload, 1);
  return { type: reader.name(), wantReply: reader.boolean(), data: reader.rest() };
}

export function encodeGlobalRequest(type: string, wantReply: boolean): Buffer {
  return new Writer().uint8(MSG.globalRequest).string(type).boolean(wantReply).done();
}

/** A message that carries nothing but its recipient channel: EOF, CLOSE, SUCCESS, FAILURE. */
export function encodeChannelMessage(type: number, recipient: number): Buffer {
  const payload = Buffer.allocUnsafe(5);
  payload[0] = type;
  payload.writeUInt32BE(recipient, 1);
  return payload;
}

/**
 * RFC 4253 section 11.1:
 *   byte      SSH_MSG_DISCONNECT
 *   uint32    reason code
 *   string    description in ISO-10646 UTF-8 encoding
 *   string    language tag
 */
export function encodeDisconnect(reason: number, description: string): Buffer {
  return new Writer().uint8(MSG.disconnect).uint32(reason).string(description).string('').done();
}

/** RFC 4253 section 11.4: byte, uint32 sequence number of the message that was not understood. */
export function encodeUnimplemented(sequence: number): Buffer {
  return new Writer()
    .uint8(MSG.unimplemented)
    .uint32(sequence >>> 0)
    .done();
}

/** Reason and description of a DISCONNECT; many peers send less than the RFC asks for. */
export function decodeDisconnect(payload: Buffer): { reason: number; description: string } {
  const reader = new Reader(payload, 1);
  const reason = reader.left >= 4 ? reader.uint32() : 0;
  const description = reader.left >= 4 ? reader.string().toString('utf8') : '';
  return { reason, description };
}

/**
 * RFC 8308 section 2.3:
 *   byte      SSH_MSG_EXT_INFO
 *   uint32    nr-extensions
 *   repeat    string name, string value
 */
export function encodeExtInfo(extensions: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(extensions);
  const writer = new Writer().uint8(MSG.extInfo).uint32(entries.length);
  for (const [name, value] of entries) writer.string(name).string(value);
  return writer.done();
}

/** The extensions of an EXT_INFO; at most 32 are read. */
export function decodeExtInfo(payload: Buffer): Map<string, Buffer> {
  const reader = new Reader(payload, 1);
  const count = Math.min(reader.uint32(), 32);
  const extensions = new Map<string, Buffer>();
  for (let i = 0; i < count; i++) extensions.set(reader.name(), reader.string());
  return extensions;
}
