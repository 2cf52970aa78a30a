/**
 * mlkem768x25519-sha256 on ssh2's `Protocol`, which does not know it. Where both sides' KEXINITs choose it, ssh2 is
 * shown a KEXINIT, and an offer of its own, that choose curve25519-sha256: a method with the same two messages
 * (SSH_MSG_KEX_ECDH_INIT and _REPLY have the numbers of KEX_HYBRID_INIT and _REPLY), the same hash and the same place
 * for the shares. The exchange that ssh2 makes for it is given the hybrid's shares and secret and the true KEXINIT
 * before it has sent or hashed anything; nothing of curve25519's own is left. Where they choose another method, nothing
 * is touched.
 */
import { Reader, Writer } from '../wire/buffer.ts';
import { HybridClient, answerHybrid } from '../wire/hybrid-kem.ts';
import type { KeyExchange, Protocol } from '../wire/ssh2.ts';

export const HYBRID = 'mlkem768x25519-sha256';
const STAND_IN = 'curve25519-sha256';
const COOKIE_END = 17;

/** The method that RFC 4253 section 7.1 chooses: the first of the client's that the server has too. */
function chosenMethod(protocol: Protocol, server: boolean, theirs: string[]): string | undefined {
  const ours = protocol._offer.lists.kex.array;
  const [client, other] = server ? [theirs, ours] : [ours, theirs];
  return client.find((name) => other.includes(name));
}

/** Hands a KEXINIT of the peer's to ssh2, `payload` being ours to keep; the result is what ssh2 says. */
export function takeKexinit(
  protocol: Protocol,
  keyExchange: Protocol['_onPayload'],
  payload: Buffer,
): ReturnType<Protocol['_onPayload']> {
  const reader = new Reader(payload, COOKIE_END);
  const names = reader.nameList();
  const server = protocol._server;
  if (chosenMethod(protocol, server, names) !== HYBRID) return keyExchange(payload);
  // What marks a peer's abilities in this list is left in: strict key exchange, EXT_INFO.
  const marks = names.filter((name) => /^(ext-info|kex-strict)-/.test(name));
  const shown = new Writer()
    .bytes(payload.subarray(0, COOKIE_END))
    .nameList([STAND_IN, ...marks])
    .bytes(payload.subarray(reader.position))
    .done();
  return withStandIn(
    protocol,
    () => keyExchange(shown),
    (exchange) => {
      makeHybrid(exchange, server);
      exchange._remoteKexinit = payload;
    },
  );
}

/**
 * While `action` runs, the offer seems to have the stand-in as its only method, and whatever exchange is made goes
 * through `morph`. Our own KEXINIT, which may leave meanwhile, is copied from the true offer's bytes.
 */
function withStandIn<T>(
  protocol: Protocol,
  action: () => T,
  morph: (exchange: KeyExchange) => void,
): T {
  const offer = protocol._offer;
  const { lists } = offer;
  const kex = { ...lists.kex, array: [STAND_IN] };
  let current = protocol._kex;
  protocol._offer = Object.create(offer, { lists: { value: { ...lists, kex } } }) as typeof offer;
  Object.defineProperty(protocol, '_kex', {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (made: KeyExchange) => {
      morph(made);
      current = made;
    },
  });
  try {
    return action();
  } finally {
    protocol._offer = offer;
    Object.defineProperty(protocol, '_kex', {
      configurable: true,
      enumerable: true,
      writable: true,
      value: current,
    });
  }
}

/**
 * Gives an exchange the hybrid's methods. ssh2 takes what `getPublicKey` says as our share and hashes both shares and
 * the secret as strings, as the draft wants all three; on the server's side it asks for the secret first.
 */
function makeHybrid(exchange: KeyExchange, server: boolean): void {
  exchange.negotiated.kex = HYBRID;
  exchange.type = HYBRID;
  exchange.generateKeys = () => undefined;
  exchange.convertPublicKey = (share) => share;
  if (server) {
    let ours: Buffer = Buffer.alloc(0);
    exchange.computeSecret = (share) => {
      const { reply, secret } = answerHybrid(share);
      ours = reply;
      return secret;
    };
    exchange.getPublicKey = () => ours;
  } else {
    const client = new HybridClient();
    exchange.getPublicKey = () => client.share;
    exchange.computeSecret = (reply) => client.secret(reply);
  }
}
