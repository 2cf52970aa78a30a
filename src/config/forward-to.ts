/**
 * Where forwards may lead: one entry of a rule's `forward_to`. An entry is `HOST:PORT` or `unix:PATH`. HOST is a name as
 * clients send it, an address, a network such as `10.0.0.0/8`, or `*`; an IPv6 one stands in brackets. PORT is a number or
 * `*`. `access/forward-target.ts` judges by what is parsed here.
 */
import { isIP } from 'node:net';

/** What an entry lets through. */
export type ForwardEntry =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly host:
        | { readonly kind: 'any' }
        | { readonly kind: 'name'; readonly name: string }
        | { readonly kind: 'network'; readonly network: string };
      /** Undefined: any. */
      readonly port: number | undefined;
    };

/** The path of a Unix socket, `sun_path` of Linux. */
const MAX_PATH = 107;
const MAPPED = /^::ffff:/i;

/** Parses an entry; undefined for what is none. */
export function parseForwardEntry(text: string): ForwardEntry | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    const fits = /^\/[^\p{Cc}]+$/u.test(path) && Buffer.byteLength(path) <= MAX_PATH;
    return fits ? { kind: 'unix', path } : undefined;
  }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5}|\*)$/.exec(text);
  const [, bracketed, plain, portText] = match ?? [];
  if (portText === undefined) return undefined;
  const port = portText === '*' ? undefined : Number(portText);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  const host = bracketed === undefined ? plainHost(plain ?? '') : network(bracketed, 6);
  return host && { kind: 'tcp', host, port };
}

type Host = Extract<ForwardEntry, { kind: 'tcp' }>['host'];

function plainHost(text: string): Host | undefined {
  if (text === '*') return { kind: 'any' };
  if (/^[\d.]+(\/\d+)?$/.test(text)) return network(text, 4);
  const name = text.toLowerCase();
  return /^[a-z0-9_.-]{1,255}$/.test(name) ? { kind: 'name', name } : undefined;
}

/** An address or a network; IPv4 inside IPv6 is written as IPv4. */
function network(text: string, family: 4 | 6): Host | undefined {
  const [address = '', bits, ...more] = text.split('/');
  if (more.length > 0 || isIP(address) !== family || /%/.test(address)) return undefined;
  if (MAPPED.test(address)) return undefined;
  const most = family === 4 ? 32 : 128;
  if (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > most)) return undefined;
  return { kind: 'network', network: text };
}
