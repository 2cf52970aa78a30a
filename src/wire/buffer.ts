/**
 * Reading and writing of the SSH data types (RFC 4251 section 5). Every length comes from a peer: it is compared with
 * what is there before it is used, and nothing is allocated by it. Strings are views, not copies.
 */
import { ProtocolError } from '../base/errors.ts';

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

export class Reader {
  readonly #data: Buffer;
  #position: number;

  constructor(data: Buffer, position = 0) {
    this.#data = data;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#data.length - this.#position;
  }

  #need(count: number): void {
    if (count > this.#data.length - this.#position) {
      throw new ProtocolError(`message ends ${count - this.left} bytes too early`);
    }
  }

  uint8(): number {
    this.#need(1);
    return this.#data.readUInt8(this.#position++);
  }

  boolean(): boolean {
    return this.uint8() !== 0;
  }

  uint32(): number {
    this.#need(4);
    const value = this.#data.readUInt32BE(this.#position);
    this.#position += 4;
    return value;
  }

  uint64(): bigint {
    this.#need(8);
    const value = this.#data.readBigUInt64BE(this.#position);
    this.#position += 8;
    return value;
  }

  bytes(count: number): Buffer {
    this.#need(count);
    const view = this.#data.subarray(this.#position, this.#position + count);
    this.#position += count;
    return view;
  }

  /** A `string`: a view of its bytes. */
  string(): Buffer {
    return this.bytes(this.uint32());
  }

  /** A `string` that the protocol says is text; bytes that are not UTF-8 are refused. */
  text(): string {
    const bytes = this.string();
    try {
      return strictUtf8.decode(bytes);
    } catch (cause) {
      throw new ProtocolError('a text is not UTF-8', { cause });
    }
  }

  /** A `string` that names something: US-ASCII, at most 64 characters in RFC 4251 section 6, 255 here. */
  name(): string {
    const bytes = this.string();
    if (bytes.length > 255) throw new ProtocolError(`a name of ${bytes.length} bytes`);
    return bytes.toString('latin1');
  }

  /** A `name-list`. */
  nameList(): string[] {
    const bytes = this.string();
    return bytes.length === 0 ? [] : bytes.toString('latin1').split(',');
  }

  /** All that is left. */
  rest(): Buffer {
    return this.bytes(this.left);
  }

  /** Refuses bytes behind the last field. */
  end(): void {
    if (this.left !== 0) throw new ProtocolError(`${this.left} bytes behind the end of a message`);
  }
}

/** Builds one message; meant for those that are few, not for channel data. */
export class Writer {
  readonly #parts: Buffer[] = [];

  uint8(value: number): this {
    this.#parts.push(Buffer.from([value]));
    return this;
  }

  boolean(value: boolean): this {
    return this.uint8(value ? 1 : 0);
  }

  uint32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32BE(value);
    this.#parts.push(part);
    return this;
  }

  uint64(value: bigint): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigUInt64BE(value);
    this.#parts.push(part);
    return this;
  }

  bytes(value: Buffer): this {
    this.#parts.push(value);
    return this;
  }

  /** A `string`, from bytes or from text as UTF-8. */
  string(value: Buffer | string): this {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
    return this.uint32(bytes.length).bytes(bytes);
  }

  nameList(names: readonly string[]): this {
    return this.string(names.join(','));
  }

  /** An `mpint` of a number that is not negative, from its bytes, most significant first. */
  mpint(value: Buffer): this {
    let start = 0;
    while (start < value.length && value[start] === 0) start++;
    const digits = value.subarray(start);
    const first = digits[0];
    if (first !== undefined && first & 0x80) {
      return this.uint32(digits.length + 1)
        .uint8(0)
        .bytes(digits);
    }
    return this.string(digits);
  }

  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
