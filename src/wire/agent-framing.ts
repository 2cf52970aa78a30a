/**
 * Messages of the agent protocol out of a stream in any split (draft-ietf-sshm-ssh-agent section 3):
 *   uint32    length of what follows
 *   byte      message number
 *   byte[]    contents
 * It holds one message at most; a length is checked before anything is kept for it.
 */
import { ProtocolError } from '../base/errors.ts';

/** OpenSSH's AGENT_MAX_LEN. */
const MAX_MESSAGE = 256 * 1024;
const LENGTH = 4;
const FIRST_ROOM = 4096;

export class AgentFraming {
  #held: Buffer = Buffer.alloc(0);
  #length = 0;

  /** The messages that are whole with these bytes; each is good until the next is asked for. */
  *push(bytes: Buffer): Generator<Buffer> {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#length === 0) {
        const end = endOf(rest, rest.length);
        if (end <= rest.length) {
          yield rest.subarray(LENGTH, end);
          rest = rest.subarray(end);
          continue;
        }
      }
      // To the end of the length first, which tells the end of the message.
      const wanted = this.#length < LENGTH ? LENGTH : endOf(this.#held, this.#length);
      const taken = Math.min(wanted - this.#length, rest.length);
      this.#keep(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (this.#length !== endOf(this.#held, this.#length)) continue;
      this.#length = 0;
      yield this.#held.subarray(LENGTH, wanted);
    }
  }

  /** Whether the stream ends within a message. */
  get isPartial(): boolean {
    return this.#length > 0;
  }

  /** Room grows with what came, never by what a peer said will come. */
  #keep(bytes: Buffer): void {
    const end = this.#length + bytes.length;
    if (end > this.#held.length) {
      const room = Buffer.allocUnsafe(Math.max(FIRST_ROOM, this.#held.length * 2, end));
      this.#held.copy(room, 0, 0, this.#length);
      this.#held = room;
    }
    bytes.copy(this.#held, this.#length);
    this.#length = end;
  }
}

/** Where the message that begins at 0 ends; Infinity while its length is not there. */
function endOf(bytes: Buffer, length: number): number {
  if (length < LENGTH) return Infinity;
  const size = bytes.readUInt32BE(0);
  if (size === 0 || size > MAX_MESSAGE) {
    throw new ProtocolError(`a message of ${size} bytes to or from an agent`);
  }
  return LENGTH + size;
}
