/**
 * The fields of the channel requests that people read in a trail (RFC 4254 section 6): terminal, environment, command,
 * signals, exit. A request of a type not listed here has no fields; its bytes are in the trail all the same.
 */
import { Reader } from './buffer.ts';

export type RequestFields =
  | {
      readonly type: 'pty-req';
      readonly term: Buffer;
      readonly columns: number;
      readonly rows: number;
      readonly width: number;
      readonly height: number;
      readonly modes: Buffer;
    }
  | {
      readonly type: 'window-change';
      readonly columns: number;
      readonly rows: number;
      readonly width: number;
      readonly height: number;
    }
  | { readonly type: 'env'; readonly name: Buffer; readonly value: Buffer }
  | { readonly type: 'shell' }
  | { readonly type: 'exec'; readonly command: Buffer }
  | { readonly type: 'subsystem'; readonly name: Buffer }
  | { readonly type: 'signal'; readonly name: Buffer }
  | { readonly type: 'exit-status'; readonly status: number }
  | {
      readonly type: 'exit-signal';
      readonly name: Buffer;
      readonly coreDumped: boolean;
      readonly message: Buffer;
    }
  | { readonly type: 'unknown' };

/** Decodes the type-specific data of a channel request; `data` is what follows `want reply`. */
export function decodeRequestFields(type: string, data: Buffer): RequestFields {
  const reader = new Reader(data);
  switch (type) {
    case 'pty-req':
      return {
        type,
        term: reader.string(),
        columns: reader.uint32(),
        rows: reader.uint32(),
        width: reader.uint32(),
        height: reader.uint32(),
        modes: reader.string(),
      };
    case 'window-change':
      return {
        type,
        columns: reader.uint32(),
        rows: reader.uint32(),
        width: reader.uint32(),
        height: reader.uint32(),
      };
    case 'env':
      return { type, name: reader.string(), value: reader.string() };
    case 'shell':
      return { type };
    case 'exec':
      return { type, command: reader.string() };
    case 'subsystem':
      return { type, name: reader.string() };
    case 'signal':
      return { type, name: reader.string() };
    case 'exit-status':
      return { type, status: reader.uint32() };
    case 'exit-signal':
      return {
        type,
        name: reader.string(),
        coreDumped: reader.boolean(),
        message: reader.string(),
      };
    default:
      return { type: 'unknown' };
  }
}

/** Bytes as one printable line: UTF-8 text as it is, everything else as `\xNN`. */
export function printable(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = utf8Length(bytes, at);
    if (length === 0) {
      text += `\\x${bytes.toString('hex', at, at + 1)}`;
      at += 1;
      continue;
    }
    const piece = bytes.toString('utf8', at, at + length);
    text += CONTROL.test(piece) ? escapeBytes(bytes.subarray(at, at + length)) : piece;
    at += length;
  }
  return text;
}

/** The bytes that `printable` made a text from. */
export function printedBytes(text: string): Buffer {
  const parts = text.split(/(\\\\|\\x[0-9a-f]{2})/);
  return Buffer.concat(
    parts.map((part, at) => {
      if (at % 2 === 0) return Buffer.from(part);
      return part === '\\\\' ? Buffer.from('\\') : Buffer.from(part.slice(2), 'hex');
    }),
  );
}

// Control characters, the line separators that logs break at, and the marks that reorder text.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\\/;

function escapeBytes(bytes: Buffer): string {
  if (bytes.length === 1 && bytes[0] === 0x5c) return '\\\\';
  let text = '';
  for (const byte of bytes) text += `\\x${byte.toString(16).padStart(2, '0')}`;
  return text;
}

/** Length of the UTF-8 sequence at a place, or 0 where there is none. */
function utf8Length(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length =
    first < 0x80
      ? 1
      : first < 0xc2
        ? 0
        : first < 0xe0
          ? 2
          : first < 0xf0
            ? 3
            : first < 0xf5
              ? 4
              : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  const piece = bytes.subarray(at, at + length);
  return Buffer.from(piece.toString('utf8'), 'utf8').equals(piece) ? length : 0;
}
