/**
 * What we use of ssh2 1.17.0, whose internal modules carry no types. Only `ssh2.ts` imports them; the start-up self-test
 * there checks that the private fields named here are what they are.
 */
declare module 'ssh2/lib/protocol/Protocol.js' {
  import type kex from 'ssh2/lib/protocol/kex.js';
  import type { ParsedKey } from 'ssh2/lib/protocol/keyParser.js';

  export interface Negotiated {
    kex: string;
    serverHostKey: string;
    cs: { cipher: string; mac: string; compress: string };
    sc: { cipher: string; mac: string; compress: string };
  }
  export interface Cipher {
    outSeqno: number;
    allocPacket(payloadLength: number): Buffer;
    encrypt(packet: Buffer): void;
  }
  export interface Decipher {
    inSeqno: number;
    _packet: Uint8Array | null;
    /** Of chacha20 in native code; gives the length in an encrypted one. */
    _instance?: { decryptLen(length: Buffer, sequence: number): number };
    _onPayload: (payload: Buffer) => number | boolean | undefined;
  }
  export interface ProtocolOptions {
    server: boolean;
    hostKeys?: Record<string, ParsedKey>;
    ident: string;
    offer: InstanceType<typeof kex.KexInit>;
    hostVerifier?: (hostKey: Buffer) => boolean;
    onWrite: (data: Buffer) => void;
    onError: (error: Error) => void;
    onHandshakeComplete: (negotiated: Negotiated) => void;
    messageHandlers: Record<string, never>;
  }
  export default class Protocol {
    constructor(options: ProtocolOptions);
    start(): void;
    parse(chunk: Buffer, offset: number, end: number): void;
    rekey(): void;
    disconnect: (reason: number) => void;
    _destruct: () => void;
    cleanup(): void;
    _onPayload: (payload: Buffer) => number | boolean | undefined;
    _decipher: Decipher | undefined;
    _cipher: Cipher;
    _kexinit: Buffer | undefined;
    _queue: Buffer[] | undefined;
    _strictMode: boolean | undefined;
    _skipNextInboundPacket: boolean;
    _onHandshakeComplete: (negotiated: Negotiated) => void;
    _server: boolean;
    _offer: InstanceType<typeof kex.KexInit>;
    /** Undefined until the first KEXINIT of the peer. */
    _kex: KeyExchange;
  }
  /** One exchange of keys, the first or a later one. */
  export interface KeyExchange {
    sessionID: Buffer | undefined;
    remoteExtInfoEnabled: boolean;
    negotiated: Negotiated;
    type: string;
    _remoteKexinit: Buffer | undefined;
    generateKeys(): void;
    getPublicKey(): Buffer;
    convertPublicKey(share: Buffer): Buffer;
    computeSecret(share: Buffer): Buffer | Error;
  }
}

declare module 'ssh2/lib/protocol/kex.js' {
  export interface DirectionOffer {
    cipher: readonly string[];
    mac: readonly string[];
    compress: readonly string[];
    lang: readonly string[];
  }
  export interface Offer {
    kex: readonly string[];
    serverHostKey: readonly string[];
    cs: DirectionOffer;
    sc: DirectionOffer;
  }
  const kex: {
    KexInit: new (offer: Offer) => {
      totalSize: number;
      readonly lists: { readonly kex: { readonly array: readonly string[] } };
    };
  };
  export default kex;
}

declare module 'ssh2/lib/protocol/keyParser.js' {
  export interface ParsedKey {
    type: string;
    comment: string;
    getPublicSSH(): Buffer;
    getPrivatePEM(): string;
    isPrivateKey(): boolean;
    sign(data: Buffer, algorithm?: string): Buffer | Error;
  }
  export function parseKey(
    data: string | Buffer,
    passphrase?: string,
  ): ParsedKey | ParsedKey[] | Error;
}

declare module 'ssh2/lib/protocol/crypto.js' {
  export const bindingAvailable: boolean;
  export const init: Promise<void>;
  export const CIPHER_INFO: Record<string, { blockLen: number; authLen: number } | undefined>;
  export const MAC_INFO: Record<
    string,
    { len: number; actualLen: number; isETM: boolean } | undefined
  >;
}

declare module 'ssh2/lib/keygen.js' {
  const keygen: {
    generateKeyPairSync(
      type: 'ed25519' | 'rsa',
      options?: { bits?: number; comment?: string },
    ): { private: string; public: string };
  };
  export default keygen;
}
