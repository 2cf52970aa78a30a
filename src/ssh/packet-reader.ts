/**
 * The way in of one transport: the ident line, then whole packets. ssh2 decrypts a packet where it lies if it lies there
 * whole, and otherwise allocates one to put it together, which costs more in collecting than the decryption. So a
 * packet that is not complete waits, and stands before the next chunk when that comes.
 *
 * Where the length of a packet cannot be read without decrypting it (MAC and not encrypt-then-MAC), chunks are handed
 * on as they come.
 */
import { ProtocolError } from '../base/errors.ts';
import { packetShape, nativeCiphers } from '../wire/ssh2.ts';
import type { Protocol } from '../wire/ssh2.ts';
import type { Role } from './filter.ts';
import { IdentReader } from './ident.ts';
import type { ReadBuffer } from './leg-socket.ts';

/** What ssh2 takes; RFC 4253 section 6.1 asks for 35,000. */
const MAX_PACKET = 35_000;
/** Padding length, four bytes of padding, and no payload. */
const MIN_PACKET = 5;
const UNKNOWN = -1;

/** How the length of the next packet is found. */
type Framing = 'clear' | 'chacha20' | 'none';

export class PacketReader {
  readonly ident: IdentReader;
  readonly #protocol: Protocol;
  readonly #shared: ReadBuffer;
  readonly #length = Buffer.alloc(4);
  #framing: Framing = 'clear';
  /** Bytes of tag or MAC behind a packet. */
  #trailer = 0;
  /** What a packet is a multiple of, and how many of the four bytes of its length count in that. */
  #block = 8;
  #counted = 4;
  #kept: Buffer | undefined;
  #keptLength = 0;
  #stopped = false;

  constructor(protocol: Protocol, role: Role, shared: ReadBuffer) {
    this.#protocol = protocol;
    this.#shared = shared;
    this.ident = new IdentReader(role);
  }

  /** New keys are in use. Once packets cannot be told apart they are not again: ssh2 may be inside of one. */
  use(cipher: string, mac: string): void {
    const shape = packetShape(cipher, mac);
    if (this.#framing === 'none') return;
    if (!nativeCiphers || shape?.uncounted !== 4) this.#framing = 'none';
    else this.#framing = cipher.startsWith('chacha20-') ? 'chacha20' : 'clear';
    this.#trailer = shape?.trailer ?? 0;
    this.#block = shape?.block ?? 1;
    this.#counted = 0;
  }

  /** Nothing is taken any more, not even from the chunk at hand. */
  stop(): void {
    this.#stopped = true;
    if (this.#kept) this.#shared.give(this.#kept);
    this.#kept = undefined;
    this.#keptLength = 0;
  }

  /** Takes a chunk of the shared buffer; `onIdent` is called behind the ident line. */
  take(chunk: Buffer, onIdent: (line: Buffer) => void): void {
    const { bytes } = this.#shared;
    let start = chunk.byteOffset - bytes.byteOffset;
    const end = start + chunk.length;
    if (!this.ident.done) {
      start += this.ident.take(chunk);
      const { line } = this.ident;
      if (line.length === 0) return;
      onIdent(line);
    }
    if (this.#kept) {
      start -= this.#keptLength;
      this.#kept.copy(bytes, start, 0, this.#keptLength);
      this.#shared.give(this.#kept);
      this.#kept = undefined;
    }
    start = this.#parse(bytes, start, end);
    if (start < end && !this.#stopped) this.#keep(bytes, start, end);
  }

  #parse(bytes: Buffer, from: number, end: number): number {
    let start = from;
    while (start < end && !this.#stopped) {
      if (this.#framing === 'none') {
        this.#protocol.parse(bytes, start, end);
        this.#keepPartialPacket(bytes);
        return end;
      }
      const size = this.#sizeAt(bytes, start, end);
      if (size === UNKNOWN || start + size > end) break;
      this.#protocol.parse(bytes, start, start + size);
      start += size;
    }
    return start;
  }

  #sizeAt(bytes: Buffer, start: number, end: number): number {
    if (end - start < 4) return UNKNOWN;
    const decipher = this.#protocol._decipher;
    let length: number;
    if (this.#framing === 'chacha20' && decipher?._instance) {
      bytes.copy(this.#length, 0, start, start + 4);
      length = decipher._instance.decryptLen(this.#length, decipher.inSeqno);
    } else {
      length = bytes.readUInt32BE(start);
    }
    // At once: nobody waits for the rest of a packet that cannot be one.
    const uneven = (length + this.#counted) % this.#block !== 0;
    if (length > MAX_PACKET || length < MIN_PACKET || uneven) {
      throw new ProtocolError('bad packet length');
    }
    return 4 + length + this.#trailer;
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const kept = this.#shared.take(length);
    bytes.copy(kept, 0, start, end);
    this.#kept = kept;
    this.#keptLength = length;
  }

  /** ssh2 may hold a view of a packet whose MAC has yet to come; the chunk is about to be overwritten. */
  #keepPartialPacket(bytes: Buffer): void {
    const decipher = this.#protocol._decipher;
    const partial = decipher?._packet;
    if (decipher && partial?.buffer === bytes.buffer) decipher._packet = Buffer.from(partial);
  }
}
