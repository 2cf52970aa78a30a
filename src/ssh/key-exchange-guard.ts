/** The filter in front of ssh2's own dispatch of a key exchange, which replaces the decipher's handler each time. */
import { AppError, ProtocolError } from '../base/errors.ts';
import { MSG } from '../wire/messages.ts';
import type { Negotiated, Protocol } from '../wire/ssh2.ts';
import { verdictInKeyExchange } from './filter.ts';
import { takeKexinit } from './hybrid-exchange.ts';
import { isWrongGuess } from './key-guess.ts';

export interface KeyExchangeEvents {
  onDisconnect(payload: Buffer): void;
  /** A message without meaning. */
  onIdle(): void;
}

/** To be called behind the ident line and behind every KEXINIT; `first` until the first exchange is over. */
export function guardKeyExchange(
  protocol: Protocol,
  first: boolean,
  events: KeyExchangeEvents,
): void {
  const decipher = protocol._decipher;
  if (!decipher) return;
  const keyExchange = decipher._onPayload;
  // The exchange is over already: the transport's own handler is in place.
  if (keyExchange === protocol._onPayload) return;
  decipher._onPayload = (payload) => {
    const type = payload[0];
    if (type === undefined) throw new ProtocolError('an empty message');
    switch (verdictInKeyExchange(first, type)) {
      case 'own':
        events.onDisconnect(payload);
        return undefined;
      case 'drop':
        events.onIdle();
        return undefined;
      case 'pass':
        if (type < MSG.kexinit) events.onIdle();
        return takeKeyExchange(protocol, keyExchange, payload);
      case 'fatal':
      case 'unimplemented':
        throw new ProtocolError(`message ${type} during a key exchange`);
    }
  };
}

/** Gives a message of a key exchange to ssh2, and puts right what ssh2 makes of a guess. */
export function takeKeyExchange(
  protocol: Protocol,
  keyExchange: Protocol['_onPayload'],
  payload: Buffer,
): ReturnType<Protocol['_onPayload']> {
  // ssh2 keeps parts of these until the exchange is over.
  const kept = Buffer.from(payload);
  if (kept[0] !== MSG.kexinit) return keyExchange(kept);
  const result = takeKexinit(protocol, keyExchange, kept);
  const ours = protocol._kexinit;
  if (ours) protocol._skipNextInboundPacket = isWrongGuess(ours, kept);
  return result;
}

/** Without strict key exchange, chacha20 lets a man in the middle cut messages off a handshake unseen. */
export function refusePrefixTruncation(negotiated: Negotiated, strict: boolean): void {
  const ciphers = negotiated.cs.cipher + negotiated.sc.cipher;
  if (!strict && ciphers.includes('chacha20-')) {
    throw new AppError(
      'key-exchange',
      'the target offers chacha20-poly1305 without strict key exchange; enable AES-GCM or AES-CTR there',
    );
  }
}
