/**
 * An SFTP client that does what no friendly client does, on a real `sftp-server`, and a tap on both directions: bytes
 * are told in the order in which they crossed, as a gate would have recorded them.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writer } from '../../src/wire/buffer.ts';
import { defer } from './scope.ts';
import type { Scope } from './scope.ts';

export const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

export interface Answer {
  readonly type: number;
  readonly body: Buffer;
}

export type Tap = (stream: 'stdin' | 'stdout', bytes: Buffer) => void;

export class SftpSession {
  readonly #child: ChildProcess;
  readonly #tap: Tap;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #rest: Buffer = Buffer.alloc(0);
  #id = 0;
  #version: { readonly promise: Promise<void>; readonly resolve: () => void } =
    Promise.withResolvers();

  constructor(scope: Scope, folder: string, tap: Tap) {
    this.#tap = tap;
    this.#child = spawn(SFTP_SERVER, ['-d', folder], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#child.stdout?.on('data', (bytes: Buffer) => this.#onData(bytes));
    defer(scope, () => {
      this.#child.kill('SIGKILL');
    });
  }

  async start(): Promise<void> {
    this.#send(new Writer().uint32(5).uint8(1).uint32(3).done());
    await this.#version.promise;
  }

  /** Sends a request; settles with its answer. */
  request(type: number, body: Buffer): Promise<Answer> {
    const id = this.#id++;
    const packet = new Writer()
      .uint32(5 + body.length)
      .uint8(type)
      .uint32(id)
      .bytes(body)
      .done();
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#send(packet);
    return answered;
  }

  /** Ends the server as a connection that is lost does. */
  async end(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await exited;
  }

  #send(bytes: Buffer): void {
    this.#tap('stdin', bytes);
    this.#child.stdin?.write(bytes);
  }

  #onData(bytes: Buffer): void {
    this.#tap('stdout', bytes);
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUInt32BE(0);
      if (this.#rest.length < 4 + length) return;
      const type = this.#rest.readUInt8(4);
      const id = this.#rest.readUInt32BE(5);
      const body = Buffer.from(this.#rest.subarray(9, 4 + length));
      this.#rest = this.#rest.subarray(4 + length);
      if (type === 2) {
        this.#version.resolve();
        continue;
      }
      this.#waiting.get(id)?.({ type, body });
      this.#waiting.delete(id);
    }
  }
}

/** The body of requests. */
export function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
