/**
 * Takes the bytes of one direction of SFTP apart into packets, in any split. A small packet is handed over whole; of one
 * that carries file content only its head is kept, and the content passes by as views. So memory is one small packet,
 * whatever a peer announces.
 *
 *   draft-ietf-secsh-filexfer-02 section 3     SSH_FXP_WRITE (6.4)        SSH_FXP_DATA (7)      SSH_FXP_NAME (7)
 *     uint32  length of what follows           ... id                     ... id                ... id
 *     byte    type                             string  handle             string data           uint32 count
 *     uint32  id (INIT, VERSION: the version)  uint64  offset                                   entries, passed over
 *     ...                                      string  data
 */
import { ProtocolError } from '../base/errors.ts';

/** SSH_FXP_* of version 3. */
export const FXP = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

/** Beyond this an offset is taken for no place: no file reaches it, and a number holds all below it exactly. */
export const FAR = 2 ** 52;

export interface PacketHandler {
  /** A whole packet: what follows its id. The bytes are a view that is good until this returns. */
  packet(type: number, id: number, body: Buffer): void;
  /** Content of a write begins; `length` bytes of it come. */
  writeBegins(id: number, handle: string, offset: number, length: number): void;
  /** Content of an answer to a read begins. */
  dataBegins(id: number, length: number): void;
  /** Some content; `streamOffset` is where it stands in the stream. */
  content(bytes: Buffer, streamOffset: number): void;
  contentEnds(): void;
  /** Entries of a folder, which nobody wants. */
  names(id: number, count: number): void;
}

/** OpenSSH's SFTP_MAX_MSG_LENGTH; no packet without content is longer in practice. */
const MAX_PACKET = 256 * 1024;
/** Content is not kept, so this only tells SFTP from what is none. */
const MAX_CONTENT = 16 * 1024 * 1024;
/** Draft section 6.3: a handle must not be longer. */
export const MAX_HANDLE = 256;
const FIRST = 5;
const HEAD = 13;
const ROOM = 1024;

export class PacketReader {
  readonly #handler: PacketHandler;
  #kept = Buffer.allocUnsafe(ROOM);
  #have = 0;
  /** Bytes from the beginning of the packet that the next step needs. */
  #need = FIRST;
  #contentLeft = 0;
  #inContent = false;
  /** Bytes of the packet behind what is wanted. */
  #skip = 0;

  constructor(handler: PacketHandler) {
    this.#handler = handler;
  }

  /** Takes bytes; throws ProtocolError for what is not SFTP, and is of no more use then. */
  push(bytes: Buffer, streamOffset: number): void {
    let at = 0;
    while (at < bytes.length || (this.#inContent && this.#contentLeft === 0)) {
      if (this.#inContent) {
        at = this.#content(bytes, at, streamOffset);
      } else if (this.#skip > 0) {
        const count = Math.min(this.#skip, bytes.length - at);
        this.#skip -= count;
        at += count;
      } else {
        at = this.#head(bytes, at);
      }
    }
  }

  #content(bytes: Buffer, at: number, streamOffset: number): number {
    const count = Math.min(this.#contentLeft, bytes.length - at);
    if (count > 0) this.#handler.content(bytes.subarray(at, at + count), streamOffset + at);
    this.#contentLeft -= count;
    if (this.#contentLeft === 0) {
      this.#inContent = false;
      this.#handler.contentEnds();
    }
    return at + count;
  }

  /** Goes on with the head of a packet; returns where the next byte stands. */
  #head(bytes: Buffer, at: number): number {
    if (this.#have === 0 && bytes.length - at >= this.#need) {
      const need = this.#need;
      if (!this.#step(bytes.subarray(at, at + need))) return at;
      this.#need = FIRST;
      return at + need;
    }
    const count = Math.min(this.#need - this.#have, bytes.length - at);
    bytes.copy(this.#room(count), this.#have, at, at + count);
    this.#have += count;
    if (this.#have === this.#need && this.#step(this.#kept.subarray(0, this.#have))) {
      this.#have = 0;
      this.#need = FIRST;
      if (this.#kept.length > ROOM) this.#kept = Buffer.allocUnsafe(ROOM);
    }
    return at + count;
  }

  #room(count: number): Buffer {
    const wanted = this.#have + count;
    if (this.#kept.length < wanted) {
      // Grows with what has come, not with what was announced.
      const size = Math.min(this.#need, wanted * 2);
      const larger = Buffer.allocUnsafe(size);
      this.#kept.copy(larger, 0, 0, this.#have);
      this.#kept = larger;
    }
    return this.#kept;
  }

  /** Looks at the first `#need` bytes of a packet; false when it needs more. */
  #step(head: Buffer): boolean {
    const length = head.readUInt32BE(0);
    const type = head.readUInt8(4);
    const carries = type === FXP.write || type === FXP.data || type === FXP.name;
    if (length < FIRST || length > (carries ? MAX_CONTENT : MAX_PACKET)) {
      throw new ProtocolError(`SFTP packet of type ${type} and ${length} bytes`);
    }
    const end = 4 + length;
    if (!carries) return head.length < end ? this.#more(end) : this.#whole(type, head);
    if (end < HEAD) throw new ProtocolError('SFTP packet is too short for its type');
    if (head.length < HEAD) return this.#more(HEAD);
    const id = head.readUInt32BE(5);
    const count = head.readUInt32BE(9);
    if (type === FXP.name) {
      this.#handler.names(id, count);
      this.#skip = end - HEAD;
      return true;
    }
    if (type === FXP.data) {
      this.#begin(count, end - HEAD);
      this.#handler.dataBegins(id, count);
      return true;
    }
    if (count > MAX_HANDLE) throw new ProtocolError(`SFTP handle of ${count} bytes`);
    const dataAt = HEAD + count + 12;
    if (dataAt > end) throw new ProtocolError('SFTP write is too short');
    if (head.length < dataAt) return this.#more(dataAt);
    const size = head.readUInt32BE(dataAt - 4);
    this.#begin(size, end - dataAt);
    const handle = head.toString('latin1', HEAD, HEAD + count);
    this.#handler.writeBegins(id, handle, farUint64(head, HEAD + count), size);
    return true;
  }

  #more(need: number): false {
    this.#need = need;
    return false;
  }

  #whole(type: number, head: Buffer): true {
    this.#handler.packet(type, head.readUInt32BE(5), head.subarray(9));
    return true;
  }

  #begin(length: number, room: number): void {
    if (length > room) throw new ProtocolError(`SFTP content of ${length} bytes in ${room}`);
    this.#contentLeft = length;
    this.#inContent = true;
    this.#skip = room - length;
  }
}

/** A uint64 as a number; FAR for all that lies beyond. */
export function farUint64(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  return Math.min(value, FAR);
}
