/**
 * Checkpoints: the signed records that vouch for all that stands before them. The layout is in `container.ts`.
 * Every byte of one is either signed, the signature, or equal to a field of its heads; `readCheckpoint` is where
 * that equality is checked, so nothing may use a checkpoint that did not come through it.
 */
import { ProtocolError } from '../base/errors.ts';
import { uuidBytes, uuidFromBytes } from '../base/ids.ts';
import type { BlockHead, RecordHead } from './container.ts';
import { FATE, KINDS, MAX_PAYLOAD, getUint64, setUint64 } from './container.ts';
import { parseJson } from './header.ts';
import type { PublicKeys, SigningKey } from './seal.ts';

export const FLAG = { live: 0, final: 1, recovered: 2 } as const;
/** Payload of a checkpoint without its detail. */
export const CHECKPOINT_FIXED = 172;
export const SIGNATURE = 64;
/** The detail of a checkpoint may be this long. */
export const MAX_DETAIL = MAX_PAYLOAD - CHECKPOINT_FIXED - SIGNATURE;
const DOMAIN = Buffer.from('sallyport checkpoint v1\0');

/** What a checkpoint says. */
export interface Checkpoint {
  readonly chain: string;
  readonly records: number;
  readonly us: number;
  readonly wallUs: number;
  readonly flag: number;
  readonly keyId: string;
  readonly instance: string;
  readonly headerDigest: Buffer;
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
  readonly detail: unknown;
}

/** The signed payload of a checkpoint; `detail` is JSON in UTF-8. */
export function encodeCheckpoint(
  fields: Omit<Checkpoint, 'detail' | 'keyId'>,
  detail: Buffer,
  key: SigningKey,
): Buffer {
  const length = CHECKPOINT_FIXED + detail.length;
  const message = Buffer.alloc(DOMAIN.length + length + SIGNATURE);
  DOMAIN.copy(message);
  const payload = message.subarray(DOMAIN.length);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  payload.write(fields.chain, 0, 32, 'hex');
  setUint64(view, 32, fields.records);
  setUint64(view, 40, fields.us);
  setUint64(view, 48, fields.wallUs);
  payload[56] = fields.flag;
  payload.write(key.id, 64, 32, 'hex');
  uuidBytes(fields.instance).copy(payload, 96);
  fields.headerDigest.copy(payload, 112);
  setUint64(view, 144, fields.stdin);
  setUint64(view, 152, fields.stdout);
  setUint64(view, 160, fields.stderr);
  view.setUint32(168, detail.length);
  detail.copy(payload, CHECKPOINT_FIXED);
  key.sign(message.subarray(0, DOMAIN.length + length)).copy(payload, length);
  return payload;
}

/** What stands around a checkpoint in its file, which it must agree with. */
export interface CheckpointPlace {
  readonly head: BlockHead;
  readonly record: RecordHead;
  readonly salt: Buffer;
  /** The chain value before its block. */
  readonly chain: string;
  readonly headerDigest: Buffer;
}

/** Parses a checkpoint, checks it against its place in the file and its signature against a known key. */
export function readCheckpoint(
  payload: Buffer,
  place: CheckpointPlace,
  keys: PublicKeys,
): Checkpoint {
  const { head, record } = place;
  if (payload.length < CHECKPOINT_FIXED + SIGNATURE) throw new ProtocolError('checkpoint is cut');
  const detailLength = payload.readUInt32BE(168);
  if (CHECKPOINT_FIXED + detailLength + SIGNATURE !== payload.length) {
    throw new ProtocolError('length of a checkpoint is wrong');
  }
  const end = CHECKPOINT_FIXED + detailLength;
  const checkpoint = {
    chain: payload.toString('hex', 0, 32),
    records: getUint64(payload, 32),
    us: getUint64(payload, 40),
    wallUs: getUint64(payload, 48),
    flag: payload.readUInt8(56),
    keyId: payload.subarray(64, 96).toString('hex'),
    instance: uuidFromBytes(payload.subarray(96, 112)),
    headerDigest: payload.subarray(112, 144),
    stdin: getUint64(payload, 144),
    stdout: getUint64(payload, 152),
    stderr: getUint64(payload, 160),
  };
  const agrees =
    head.count === 1 &&
    record.kind === KINDS.checkpoint &&
    record.direction === 0 &&
    record.fate === FATE.made &&
    record.code === checkpoint.flag &&
    checkpoint.flag <= FLAG.recovered &&
    place.salt.every((byte) => byte === 0) &&
    payload.subarray(57, 64).every((byte) => byte === 0) &&
    checkpoint.chain === place.chain &&
    checkpoint.headerDigest.equals(place.headerDigest) &&
    checkpoint.records === head.firstOrdinal &&
    checkpoint.us === record.us &&
    checkpoint.stdin === head.stdin &&
    checkpoint.stdout === head.stdout &&
    checkpoint.stderr === head.stderr;
  if (!agrees) throw new ProtocolError(`checkpoint at ${head.position} does not fit its file`);
  const signed = Buffer.concat([DOMAIN, payload.subarray(0, end)]);
  if (!keys.has(checkpoint.keyId)) {
    throw new ProtocolError(`checkpoint at ${head.position} is signed by an unknown key`);
  }
  if (!keys.verify(checkpoint.keyId, signed, payload.subarray(end))) {
    throw new ProtocolError(`signature of the checkpoint at ${head.position} is wrong`);
  }
  return { ...checkpoint, detail: parseJson(payload.subarray(CHECKPOINT_FIXED, end)) };
}
