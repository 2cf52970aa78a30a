/**
 * Where a command writes: standard output with back-pressure, so that an export holds nothing in memory, and standard
 * error for its one line. A reader that goes away (`| head`) ends the command quietly: `write` then throws
 * `OutputClosed`, which is no failure.
 */
import { once } from 'node:events';
import { Writable } from 'node:stream';

/** Nobody reads the output any more. */
export class OutputClosed extends Error {
  constructor() {
    super('nobody reads the output');
    this.name = 'OutputClosed';
  }
}

export class Output {
  readonly #stdout: Writable;
  readonly #stderr: Writable & { readonly isTTY?: boolean };
  #closed = false;
  #failure: Error | undefined;

  constructor(stdout: Writable, stderr: Writable & { readonly isTTY?: boolean }) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    stdout.on('error', (error: Error) => {
      this.#closed = true;
      if (!('code' in error && error.code === 'EPIPE')) this.#failure = error;
    });
    // Whether anybody reads what is told beside the output is nothing to fail for.
    stderr.on('error', () => undefined);
  }

  /** Whether a person is watching, so that progress is worth telling. */
  get isWatched(): boolean {
    return this.#stderr.isTTY === true;
  }

  /** Writes to standard output; settles when there is room for more. */
  async write(data: string | Buffer): Promise<void> {
    this.#check();
    if (data.length === 0 || this.#stdout.write(data)) return;
    await once(this.#stdout, 'drain').catch(() => undefined);
    this.#check();
  }

  /** Writes one line to standard output. */
  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** Writes to standard error. */
  tell(text: string): void {
    this.#stderr.write(text);
  }

  /** Settles when all that was written has left the process. */
  async flushed(): Promise<void> {
    this.#check();
    await new Promise<void>((resolve) => {
      this.#stdout.write('', () => resolve());
    });
    this.#check();
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed) throw new OutputClosed();
  }
}

/** An output that nobody reads: for a command that is a step of another. */
export function quietOutput(): Output {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  return new Output(nowhere, nowhere);
}
