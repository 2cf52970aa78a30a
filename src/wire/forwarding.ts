/**
 * The fields of what forwards: global requests, channel opens and the session request for X11 (RFC 4254 sections 6.3
 * and 7, OpenSSH's PROTOCOL sections 2.3 and 2.4). Each decoder takes the type-specific data alone, to its end, and throws
 * nothing but `ProtocolError`. Hosts and paths are latin-1, a character per byte, without control characters: a target in
 * C would take one with a NUL for what stands before it.
 */
import { ProtocolError } from '../base/errors.ts';
import { Reader } from './buffer.ts';

/** Where something listens or leads, as its peer will see it. */
export type ForwardAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** What an open of a channel that forwards says. */
export interface ForwardOpen {
  /** Undefined for X11 and the agent: there is only one place they lead to. */
  readonly to: ForwardAddress | undefined;
  /** Who connected, where the opener says so. */
  readonly from: ForwardAddress | undefined;
}

/** Hosts are names and addresses; sockets have paths of 107 bytes. */
const MAX_TEXT = 1024;
const MAX_PORT = 65_535;
const CONTROL = /[\x00-\x1f\x7f]/;

const FORWARD_TYPES: ReadonlySet<string> = new Set([
  'direct-tcpip',
  'forwarded-tcpip',
  'direct-streamlocal@openssh.com',
  'forwarded-streamlocal@openssh.com',
  'x11',
  'auth-agent@openssh.com',
  'tun@openssh.com',
]);

function textOf(reader: Reader): string {
  const bytes = reader.string();
  if (bytes.length > MAX_TEXT) throw new ProtocolError(`an address of ${bytes.length} bytes`);
  const text = bytes.toString('latin1');
  if (CONTROL.test(text)) throw new ProtocolError('an address with control characters');
  return text;
}

/** string host, uint32 port. */
function tcp(reader: Reader): ForwardAddress {
  const host = textOf(reader);
  const port = reader.uint32();
  // Some targets would take the lower 16 bits of it.
  if (port > MAX_PORT) throw new ProtocolError(`there is no port ${port}`);
  return { kind: 'tcp', host, port };
}

/** Who connected, for the record: nobody acts on it, so nothing in it is refused. */
function originator(reader: Reader): ForwardAddress {
  const host = reader.string().subarray(0, MAX_TEXT).toString('latin1');
  return { kind: 'tcp', host, port: reader.uint32() };
}

function unix(reader: Reader): ForwardAddress {
  return { kind: 'unix', path: textOf(reader) };
}

/**
 * Behind the fixed part of SSH_MSG_CHANNEL_OPEN:
 *   direct-tcpip, forwarded-tcpip            string host, uint32 port, string originator, uint32 originator's port
 *   direct-streamlocal@openssh.com           string path, string reserved, uint32 reserved
 *   forwarded-streamlocal@openssh.com        string path, string reserved
 *   x11                                      string originator, uint32 originator's port
 *   auth-agent@openssh.com                   nothing
 *   tun@openssh.com                          uint32 mode (1 layer 3, 2 layer 2), uint32 unit
 */
export function decodeForwardOpen(type: string, data: Buffer): ForwardOpen {
  const reader = new Reader(data);
  const fields = openFields(type, reader);
  reader.end();
  return fields;
}

/** Whether channels of this type forward, so that `decodeForwardOpen` knows their fields. */
export function isForward(type: string): boolean {
  return FORWARD_TYPES.has(type);
}

function openFields(type: string, reader: Reader): ForwardOpen {
  switch (type) {
    case 'direct-tcpip':
    case 'forwarded-tcpip':
      return { to: tcp(reader), from: originator(reader) };
    case 'direct-streamlocal@openssh.com': {
      const to = unix(reader);
      reader.string();
      reader.uint32();
      return { to, from: undefined };
    }
    case 'forwarded-streamlocal@openssh.com': {
      const to = unix(reader);
      reader.string();
      return { to, from: undefined };
    }
    case 'x11':
      return { to: undefined, from: originator(reader) };
    case 'auth-agent@openssh.com':
      return { to: undefined, from: undefined };
    case 'tun@openssh.com':
      reader.uint32();
      reader.uint32();
      return { to: undefined, from: undefined };
    default:
      throw new ProtocolError(`channels of type "${type}" do not forward`);
  }
}

/** A request to listen, or to listen no more. */
export interface ListenRequest {
  readonly cancel: boolean;
  readonly at: ForwardAddress;
}

const LISTEN_TYPES = [
  'tcpip-forward',
  'cancel-tcpip-forward',
  'streamlocal-forward@openssh.com',
  'cancel-streamlocal-forward@openssh.com',
] as const;
export type ListenType = (typeof LISTEN_TYPES)[number];

/** Whether a global request asks to listen at the target, or to end that. */
export function isListenType(type: string): type is ListenType {
  return LISTEN_TYPES.some((one) => one === type);
}

/**
 * The data of a global request:
 *   tcpip-forward, cancel-tcpip-forward                                     string address, uint32 port
 *   streamlocal-forward@openssh.com, cancel-streamlocal-forward@openssh.com string path
 */
export function decodeListenRequest(type: ListenType, data: Buffer): ListenRequest {
  const reader = new Reader(data);
  const at = type.includes('tcpip') ? tcp(reader) : unix(reader);
  reader.end();
  return { cancel: type.startsWith('cancel-'), at };
}

/** The port that a target chose: behind the message number of SSH_MSG_REQUEST_SUCCESS (RFC 4254 section 7.1). */
export function decodeChosenPort(payload: Buffer): number {
  const port = new Reader(payload, 1).uint32();
  if (port < 1 || port > MAX_PORT) throw new ProtocolError(`there is no port ${port}`);
  return port;
}

/**
 * The data of `x11-req` (RFC 4254 section 6.3.1):
 *   boolean   single connection
 *   string    x11 authentication protocol
 *   string    x11 authentication cookie
 *   uint32    x11 screen number
 */
export interface X11Request {
  readonly single: boolean;
  readonly protocol: Buffer;
  readonly screen: number;
}

export function decodeX11Request(data: Buffer): X11Request {
  const reader = new Reader(data);
  const single = reader.boolean();
  const protocol = reader.string();
  reader.string();
  const screen = reader.uint32();
  reader.end();
  return { single, protocol, screen };
}

/** An address as one text: `host:port`, `[v6]:port`, or the path; not yet escaped. */
export function addressText(address: ForwardAddress): string {
  if (address.kind === 'unix') return address.path;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
