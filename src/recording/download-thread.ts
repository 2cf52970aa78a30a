/**
 * The thread that reads trails for whoever downloads them: containers, archives, exports and files, a piece each time
 * one is asked for. The event loop that relays sessions neither reads nor formats any of it, and memory is flat however
 * large a download is or how slowly it is taken.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { BoundedQueue } from '../base/async.ts';
import { AppError, reasonOf } from '../base/errors.ts';
import { DOWNLOAD_THREAD } from './download-messages.ts';
import type {
  AskedRange,
  ByteRange,
  ContainerPlace,
  FromDownloads,
  ToDownloads,
  Wanted,
} from './download-messages.ts';
import { exportTrail } from './export.ts';
import { ContentReader } from './file-content.ts';
import { checkContent, contentLength, contentPieces } from './file-pieces.ts';
import { TrailFile } from './reader.ts';
import { tarEnd, tarHead, tarLength, tarPadding } from './tar.ts';
import { lengthOf, trailBytes } from './trail-bytes.ts';
import { trailFiles } from './trail-files.ts';

/** Small pieces, as lines of an export, are sent together. */
const PIECE = 128 * 1024;

/** A file is looked for through its whole trail, a MiB and its blocks at a time: so many at once, the rest in turn. */
const searches = new BoundedQueue('searches for a file', 4, 1_000);

interface Source {
  readonly size: number | undefined;
  /** Of the bytes that were asked for. */
  readonly range?: ByteRange;
  readonly pieces: AsyncGenerator<Buffer, unknown>;
  close(): Promise<void>;
}

async function openSource(wanted: Wanted): Promise<Source> {
  switch (wanted.what) {
    case 'container':
      return containerSource(wanted.place);
    case 'archive':
      return archiveSource(wanted.places);
    case 'export':
      return exportSource(wanted.path, wanted.format);
    case 'file':
      return searches.run(() => fileSource(wanted));
  }
}

async function containerSource({ path, live }: ContainerPlace): Promise<Source> {
  const file = await TrailFile.open(path);
  const size = await lengthOf(file, live);
  return { size, pieces: trailBytes(file, size), close: () => file.close() };
}

async function archiveSource(places: readonly ContainerPlace[]): Promise<Source> {
  const members: { readonly name: string; readonly path: string; readonly size: number }[] = [];
  for (const { name, path, live } of places) {
    const file = await TrailFile.open(path);
    try {
      members.push({ name, path, size: await lengthOf(file, live) });
    } finally {
      await file.close();
    }
  }
  return {
    size: tarLength(members.map(({ size }) => size)),
    pieces: archive(members),
    close: () => Promise.resolve(),
  };
}

async function* archive(
  members: readonly { readonly name: string; readonly path: string; readonly size: number }[],
): AsyncGenerator<Buffer> {
  for (const { name, path, size } of members) {
    const file = await TrailFile.open(path);
    try {
      const { wallUs } = await file.header();
      yield tarHead(name, size, Math.floor(wallUs / 1_000_000));
      yield* trailBytes(file, size);
      yield tarPadding(size);
    } finally {
      await file.close();
    }
  }
  yield tarEnd();
}

async function exportSource(path: string, format: string): Promise<Source> {
  const file = await TrailFile.open(path);
  return { size: undefined, pieces: exportTrail(file, format), close: () => file.close() };
}

async function fileSource(wanted: Wanted & { readonly what: 'file' }): Promise<Source> {
  const { path, connection, channel, live, range, holes } = wanted;
  for await (const known of trailFiles({ path, connection, channel, live })) {
    if (!('file' in known) || known.file !== wanted.file) continue;
    checkContent(known, holes);
    const size = contentLength(known);
    const { from, to } = range ? rangeIn(range, size) : { from: 0, to: size };
    const content = new ContentReader(path);
    async function* pieces(): AsyncGenerator<Buffer> {
      if (!('file' in known)) return;
      // Given back to the loop between pieces, so that other downloads get on.
      for (const piece of contentPieces(known, content, from, to))
        yield await Promise.resolve(piece);
    }
    const close = (): Promise<void> => {
      content.close();
      return Promise.resolve();
    };
    return { size, ...(range && { range: { from, to } }), pieces: pieces(), close };
  }
  throw new AppError('not-found', `there is no file ${wanted.file}`);
}

/** The part of an asked range that is there. */
function rangeIn(asked: AskedRange, size: number): ByteRange {
  const from = 'suffix' in asked ? Math.max(0, size - asked.suffix) : Math.min(asked.first, size);
  const last = 'suffix' in asked ? undefined : asked.last;
  return { from, to: last === undefined ? size : Math.max(from, Math.min(last + 1, size)) };
}

class Download {
  readonly #key: number;
  readonly #tell: (message: FromDownloads) => void;
  #source: Source | undefined;
  #dropped = false;

  constructor(key: number, tell: (message: FromDownloads) => void) {
    this.#key = key;
    this.#tell = tell;
  }

  begin(wanted: Wanted): Promise<void> {
    return this.#try(async () => {
      this.#source = await openSource(wanted);
      const { size, range } = this.#source;
      if (this.#dropped) await this.drop();
      else this.#tell({ is: 'ready', key: this.#key, size, range });
    });
  }

  next(): Promise<void> {
    return this.#try(async () => {
      const source = this.#source;
      if (!source) return;
      const parts: Buffer[] = [];
      let size = 0;
      while (size < PIECE) {
        const step = await source.pieces.next();
        if (step.done === true) break;
        // The source goes on in the same buffer.
        parts.push(Buffer.from(step.value));
        size += step.value.length;
      }
      if (size > 0) {
        this.#tell({ is: 'piece', key: this.#key, bytes: Buffer.concat(parts) });
      } else {
        this.#tell({ is: 'end', key: this.#key });
        await this.drop();
      }
    });
  }

  async drop(): Promise<void> {
    this.#dropped = true;
    const source = this.#source;
    this.#source = undefined;
    await source?.pieces.return(undefined);
    await source?.close();
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const code = error instanceof AppError ? error.code : 'internal';
      this.#tell({ is: 'failed', key: this.#key, code, text: reasonOf(error) });
      await this.drop().catch(() => undefined);
    }
  }
}

if (!isMainThread && workerData === DOWNLOAD_THREAD) {
  const port = parentPort;
  const downloads = new Map<number, Download>();
  port?.on('message', (message: ToDownloads) => {
    const { key } = message;
    if (message.do === 'begin') {
      const download = new Download(key, (told) => {
        if (told.is === 'end' || told.is === 'failed') downloads.delete(key);
        port.postMessage(told);
      });
      downloads.set(key, download);
      void download.begin(message.wanted);
    } else if (message.do === 'next') {
      void downloads.get(key)?.next();
    } else {
      void downloads.get(key)?.drop();
      downloads.delete(key);
    }
  });
}
