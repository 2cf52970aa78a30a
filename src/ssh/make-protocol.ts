/** ssh2's `Protocol` for one leg: what it offers (RFC 4253 section 7.1), without compression, with strict key exchange. */
import { HOST_CERTIFICATE } from '../wire/certificate.ts';
import { KexInit, Protocol } from '../wire/ssh2.ts';
import type { Offer, ParsedKey } from '../wire/ssh2.ts';
import type { Role } from './filter.ts';
import type { AlgorithmOffer, TransportOptions } from './transport-options.ts';

const PLAIN = 'ssh-ed25519';

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
  const hostKeys = { ...options.hostKeys };
  const protocol = new Protocol({
    server: options.role === 'downstream',
    ...(options.hostKeys && { hostKeys }),
    ...(options.verifyHostKey && { hostVerifier: options.verifyHostKey }),
    ident: options.ident,
    offer: options.offer,
    onWrite,
    onError,
    onHandshakeComplete: () => undefined,
    messageHandlers: {},
  });
  const plain = hostKeys[PLAIN];
  if (options.hostCertificate && plain) {
    hostKeys[HOST_CERTIFICATE] = certified(protocol, plain, options.hostCertificate);
  }
  // On an error ssh2 would send a DISCONNECT without a text and throw its cipher away before telling us.
  protocol.disconnect = () => undefined;
  protocol._destruct = () => undefined;
  return protocol;
}

/**
 * The host key that ssh2 shows where the certificate was negotiated: the certificate's bytes, signed for by the plain
 * key. OpenSSH wants the plain key's type in the signature; ssh2 takes it from what was negotiated, and reads that after
 * it has signed.
 */
function certified(protocol: Protocol, key: ParsedKey, certificate: Buffer): ParsedKey {
  return {
    type: HOST_CERTIFICATE,
    comment: key.comment,
    isPrivateKey: () => true,
    getPrivatePEM: () => key.getPrivatePEM(),
    getPublicSSH: () => certificate,
    sign: (data, algorithm) => {
      protocol._kex.negotiated.serverHostKey = PLAIN;
      return key.sign(data, algorithm);
    },
  };
}
