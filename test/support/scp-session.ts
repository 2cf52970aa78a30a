/** Real `scp -O` sessions as they passed, and a sink that keeps what a decoder tells of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  OpenFlags,
  Piece,
  TransferDirection,
  TransferOperation,
  TransferSink,
  TransferStatus,
} from '../../src/wire/transfer.ts';
import { scpDecoder } from '../../src/wire/scp.ts';
import { run } from './process.ts';
import type { Outcome } from './process.ts';

const PYTHON = '/usr/bin/python3';
const TAP = join(import.meta.dirname, 'scp-tap.py');

export interface Passed {
  readonly stream: 'stdin' | 'stdout';
  readonly bytes: Buffer;
}

export interface ScpSession {
  readonly command: Buffer;
  readonly passed: readonly Passed[];
  readonly outcome: Outcome;
}

/** Runs `scp -O` with these words in a folder; the host `h` is this machine. */
export async function scpSession(folder: string, words: readonly string[]): Promise<ScpSession> {
  const tap = join(folder, '.tap');
  const env = { ...process.env, TAP: tap };
  // scp gives the program it runs options of its own, so the tap is named by a program without any.
  const outcome = await run(['scp', '-O', '-S', join(folder, '.ssh'), ...words], {
    cwd: folder,
    env,
  });
  const lines = readFileSync(tap, 'utf8').trim().split('\n');
  const [first, ...rest] = lines.map((line) => JSON.parse(line) as [string, string]);
  return {
    command: Buffer.from(first?.[1] ?? '', 'base64'),
    passed: rest.map(([stream, data]) => ({
      stream: stream === 'stdin' ? 'stdin' : 'stdout',
      bytes: Buffer.from(data, 'base64'),
    })),
    outcome,
  };
}

/** The text of a program that is the tap. */
export const TAP_PROGRAM = `#!/bin/sh\nexec ${PYTHON} '${TAP}' "$@"\n`;

export interface ToldFile {
  readonly path: string;
  readonly flags: OpenFlags;
  size: number;
  /** Bytes that passed, whether they count or not. */
  passing: number;
  moved: readonly Piece[];
  direction: TransferDirection | undefined;
  lost: number;
  status: TransferStatus | undefined;
}

/** Keeps what is told; paths as latin1, so that every byte is a character. */
export class TellingSink implements TransferSink {
  readonly files: ToldFile[] = [];
  readonly operations: (TransferOperation & { readonly path: string })[] = [];
  readonly undecodeds: string[] = [];

  opened(file: number, path: Buffer, flags: OpenFlags): void {
    this.files[file] = {
      path: path.toString('latin1'),
      flags,
      size: -1,
      passing: 0,
      moved: [],
      direction: undefined,
      lost: 0,
      status: undefined,
    };
  }

  passing(file: number, direction: TransferDirection, offset: number, bytes: Buffer): void {
    const told = this.#file(file);
    if (offset !== told.passing) throw new Error(`at ${offset} after ${told.passing} bytes`);
    told.direction = direction;
    told.passing += bytes.length;
  }

  moved(file: number, _direction: string, offset: number, pieces: readonly Piece[]): void {
    if (offset !== 0) throw new Error('an scp begins at 0');
    this.#file(file).moved = pieces;
  }

  lost(file: number, _offset: number, length: number): void {
    this.#file(file).lost = length;
  }

  resized(): void {
    throw new Error('nothing is resized in an scp');
  }

  ended(): void {
    throw new Error('nothing is read to its end in an scp');
  }

  sized(file: number, size: number): void {
    this.#file(file).size = size;
  }

  closed(file: number, status: TransferStatus): void {
    const told = this.#file(file);
    if (told.status) throw new Error('closed twice');
    told.status = status;
  }

  operation(operation: TransferOperation): void {
    const path = operation.paths.map((one) => one.toString('latin1')).join(' ');
    this.operations.push({ ...operation, path });
  }

  undecoded(why: string): void {
    this.undecodeds.push(why);
  }

  #file(file: number): ToldFile {
    const told = this.files[file];
    if (!told) throw new Error(`file ${file} was never opened`);
    return told;
  }
}

/** All that the decoder tells of a session, its pieces cut to at most `length` bytes. */
export function toldOf(
  command: Buffer,
  passed: readonly Passed[],
  length = Number.MAX_SAFE_INTEGER,
): TellingSink {
  const sink = new TellingSink();
  const decoder = scpDecoder(command, sink);
  if (!decoder) throw new Error(`no scp: ${command.toString()}`);
  const offsets = { stdin: 0, stdout: 0 };
  let us = 0;
  for (const { stream, bytes } of passed) {
    for (let at = 0; at < bytes.length; at += length) {
      const piece = bytes.subarray(at, at + length);
      decoder.push(stream, piece, offsets[stream], us++);
      offsets[stream] += piece.length;
    }
  }
  decoder.end(us);
  return sink;
}

/** The bytes of a file, read back from the stream by its pieces. */
export function contentOf(passed: readonly Passed[], file: ToldFile): Buffer {
  const name = file.direction === 'download' ? 'stdout' : 'stdin';
  const stream = Buffer.concat(
    passed.filter((one) => one.stream === name).map(({ bytes }) => bytes),
  );
  return Buffer.concat(
    file.moved.map(({ streamOffset, length }) =>
      stream.subarray(streamOffset, streamOffset + length),
    ),
  );
}
