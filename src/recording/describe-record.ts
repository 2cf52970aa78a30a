/**
 * What is in a record, as fields that people and programs can read without knowing SSH. It is a view: the bytes stand
 * beside it in every export, and a payload that does not parse is told as such rather than guessed at. Byte strings
 * become text by `printable`, so nothing in a field can act on a terminal.
 */
import { ProtocolError } from '../base/errors.ts';
import { decodeRequestFields, printable } from '../wire/channel-request.ts';
import type { RequestFields } from '../wire/channel-request.ts';
import { Reader } from '../wire/buffer.ts';
import { toolOf } from '../wire/tool-command.ts';
import {
  addressText,
  decodeForwardOpen,
  decodeListenRequest,
  decodeX11Request,
  isForward,
  isListenType,
} from '../wire/forwarding.ts';
import type { ForwardAddress } from '../wire/forwarding.ts';
import {
  MSG,
  decodeChannelRequest,
  decodeGlobalRequest,
  decodeOpen,
  decodeOpenConfirmation,
  decodeOpenFailure,
} from '../wire/messages.ts';
import type { TrailRecord } from './block-decoder.ts';
import { CHECKPOINT_FIXED, SIGNATURE } from './checkpoint.ts';
import { KINDS } from './container.ts';
import { parseJson } from './header.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** Fields of a record; empty for data, `{undecoded: why}` for what does not parse. */
export function describeRecord(record: TrailRecord): Fields {
  try {
    return fieldsOf(record);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { undecoded: error.message };
  }
}

/** The channel request in a record, with its own fields; undefined for any other record, or if it does not parse. */
export function requestIn(record: TrailRecord): RequestFields | undefined {
  if (record.kind !== KINDS['forward-request'] && record.kind !== KINDS['reverse-request']) {
    return undefined;
  }
  try {
    const { type, data } = decodeChannelRequest(record.payload);
    return decodeRequestFields(type, data);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}

function fieldsOf({ kind, payload, code }: TrailRecord): Fields {
  switch (kind) {
    case KINDS['forward-request']:
    case KINDS['reverse-request']: {
      const { type, wantReply, data } = decodeChannelRequest(payload);
      return { type, wantReply, ...asText(type, data) };
    }
    case KINDS['forward-global-request']:
    case KINDS['reverse-global-request']: {
      const { type, wantReply, data } = decodeGlobalRequest(payload);
      if (!isListenType(type)) return { type, wantReply };
      return { type, wantReply, address: textOf(decodeListenRequest(type, data).at) };
    }
    case KINDS['forward-new-channel-request']:
    case KINDS['reverse-new-channel-request']: {
      const { type, window, maxPacket, data } = decodeOpen(payload);
      return { type, window, maxPacket, ...forwardFields(type, data) };
    }
    case KINDS['forward-new-channel-reply']:
    case KINDS['reverse-new-channel-reply']:
      return openReply(payload);
    case KINDS['forward-reply']:
    case KINDS['reverse-reply']:
    case KINDS['forward-global-reply']:
    case KINDS['reverse-global-reply']: {
      const number = new Reader(payload).uint8();
      return { success: number === MSG.channelSuccess || number === MSG.requestSuccess };
    }
    case KINDS.window: {
      const reader = new Reader(payload, 1);
      reader.uint32();
      return { bytes: reader.uint32() };
    }
    case KINDS['extended-data']: {
      const reader = new Reader(payload, 1);
      reader.uint32();
      return { code: reader.uint32(), bytes: reader.string().length };
    }
    case KINDS.other:
      return { message: new Reader(payload).uint8() };
    case KINDS.checkpoint:
      return {
        checkpoint: ['live', 'final', 'recovered'][code] ?? code,
        ...checkpointDetail(payload),
      };
    case KINDS.stdin:
    case KINDS.stdout:
    case KINDS.stderr:
    case KINDS.eof:
    case KINDS.close:
      return {};
    default:
      return jsonFields(payload);
  }
}

/** Where a channel that forwards leads, and where it comes from. */
function forwardFields(type: string, data: Buffer): Fields {
  if (!isForward(type)) return {};
  const { to, from } = decodeForwardOpen(type, data);
  return { ...(to && { to: textOf(to) }), ...(from && { from: textOf(from) }) };
}

function textOf(address: ForwardAddress): string {
  return printable(Buffer.from(addressText(address), 'latin1'));
}

/** The type-specific fields of a request, byte strings as text. */
function asText(type: string, data: Buffer): Fields {
  if (type === 'x11-req') {
    const { single, protocol, screen } = decodeX11Request(data);
    return { single, protocol: printable(protocol), screen };
  }
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(decodeRequestFields(type, data))) {
    if (name === 'type') continue;
    fields[name] = Buffer.isBuffer(value) ? printable(value) : (value as unknown);
    const tool = type === 'exec' && Buffer.isBuffer(value) ? toolOf(value) : undefined;
    if (tool) fields['tool'] = tool;
  }
  return fields;
}

function openReply(payload: Buffer): Fields {
  if (payload[0] === MSG.channelOpenConfirmation) {
    const { window, maxPacket } = decodeOpenConfirmation(payload);
    return { success: true, window, maxPacket };
  }
  const { reason, description } = decodeOpenFailure(payload);
  return { success: false, reason, description: printable(description) };
}

function checkpointDetail(payload: Buffer): Fields {
  const end = payload.length - SIGNATURE;
  return end < CHECKPOINT_FIXED ? {} : jsonFields(payload.subarray(CHECKPOINT_FIXED, end));
}

function jsonFields(payload: Buffer): Fields {
  const value = parseJson(payload);
  return typeof value === 'object' && value !== null ? { ...value } : { value };
}
