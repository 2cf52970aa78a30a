/** ssh2's `Protocol` for one leg: what it offers (RFC 4253 section 7.1), without compression, with strict key exchange. */
import { KexInit, Protocol } from '../wire/ssh2.ts';
import type { Offer } from '../wire/ssh2.ts';
import type { Role } from './filter.ts';
import type { AlgorithmOffer, TransportOptions } from './transport-options.ts';

/** The offer of a leg in ssh2's form; many legs may share one. */
export function makeOffer(role: Role, algorithms: AlgorithmOffer): Offer {
  const { kex, hostKey, cipher, mac } = algorithms;
  const direction = { cipher, mac, compress: ['none'], lang: [] };
  const marks =
    role === 'downstream'
      ? ['kex-strict-s-v00@openssh.com']
      : ['ext-info-c', 'kex-strict-c-v00@openssh.com'];
  return new KexInit({
    kex: [...kex, ...marks],
    serverHostKey: hostKey,
    cs: direction,
    sc: direction,
  });
}

/** Makes the protocol; it sends its ident line when started, and nothing reaches its message handlers. */
export function makeProtocol(
  options: TransportOptions,
  onWrite: (data: Buffer) => void,
  onError: (cause: Error) => void,
): Protocol {
  const protocol = new Protocol({
    server: options.role === 'downstream',
    ...(options.hostKeys && { hostKeys: options.hostKeys }),
    ...(options.verifyHostKey && { hostVerifier: options.verifyHostKey }),
    ident: options.ident,
    offer: options.offer,
    onWrite,
    onError,
    onHandshakeComplete: () => undefined,
    messageHandlers: {},
  });
  // On an error ssh2 would send a DISCONNECT without a text and throw its cipher away before telling us.
  protocol.disconnect = () => undefined;
  protocol._destruct = () => undefined;
  return protocol;
}
