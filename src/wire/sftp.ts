/**
 * Follows one SFTP channel (draft-ietf-secsh-filexfer-02, version 3, with OpenSSH's extensions) from a copy of its two
 * streams: requests on stdin, answers on stdout, matched by id. It keeps what is outstanding and what is open, never
 * content: of that it says where in the stream it stands. A write counts once the target has said OK, a read by what
 * came back.
 *
 * A peer decides what comes here, so everything is bounded: handles, requests, and the bytes of paths in both. Beyond
 * that, or on what is not SFTP, it says "undecoded" once and nothing more.
 */
import { ProtocolError } from '../base/errors.ts';
import { Reader } from './buffer.ts';
import { newEffect, OpenFiles } from './sftp-files.ts';
import type { Effect, OpenFile } from './sftp-files.ts';
import { SftpOperations } from './sftp-operations.ts';
import { FAR, FXP, MAX_HANDLE, PacketReader } from './sftp-packets.ts';
import { decodeSftpRequest, operation, readAttrs } from './sftp-requests.ts';
import type { SftpOperation, SftpRequest } from './sftp-requests.ts';
import { STRAY, about, costOf } from './sftp-waiting.ts';
import type { ReadWaiting, Waiting, WriteWaiting } from './sftp-waiting.ts';
import { PathSizes } from './sftp-sizes.ts';
import { OK, UNANSWERED, decodeStatus, isEnd } from './sftp-status.ts';
import { AT_END } from './transfer.ts';
import type { Piece, TransferDecoder, TransferSink, TransferStatus } from './transfer.ts';

const VERSION = 3;
const MAX_HANDLES = 1_024;
const MAX_OUTSTANDING = 10_000;
/** Bytes of paths in what is outstanding or open. */
const MAX_KEPT = 2 * 1024 * 1024;
/** S_IFMT and S_IFREG: only a regular file has the size that its attributes tell. */
const TYPE_BITS = 0o170000;
const REGULAR = 0o100000;

const FROM_NOWHERE = 'an SFTP handle from nowhere is in use';
const AMONG_REQUESTS = 'an answer among the requests';

export class SftpDecoder implements TransferDecoder {
  readonly #sink: TransferSink;
  readonly #files: OpenFiles;
  readonly #operations: SftpOperations;
  readonly #waiting = new Map<number, Waiting>();
  readonly #sizes = new PathSizes();
  readonly #requests: PacketReader;
  readonly #answers: PacketReader;
  #us = 0;
  #kept = 0;
  #lost = false;
  #versionSeen = false;
  /** The write or answer whose content is passing. */
  #writing: WriteWaiting | undefined;
  #written = 0;
  #reading: ReadWaiting | undefined;
  #read = 0;
  #readPieces: Piece[] = [];

  constructor(sink: TransferSink) {
    this.#sink = sink;
    this.#files = new OpenFiles(sink);
    this.#operations = new SftpOperations(sink, this.#files, this.#sizes);
    this.#requests = new PacketReader({
      packet: (type, id, body) => this.#request(type, id, body),
      writeBegins: (id, handle, offset, length) => this.#writeBegins(id, handle, offset, length),
      dataBegins: () => unexpected(AMONG_REQUESTS),
      names: () => unexpected(AMONG_REQUESTS),
      content: (bytes, streamOffset) => this.#onWritten(bytes, streamOffset),
      contentEnds: () => {
        this.#writing = undefined;
      },
    });
    this.#answers = new PacketReader({
      packet: (type, id, body) => this.#answer(type, id, body),
      writeBegins: () => unexpected('a request among the answers'),
      dataBegins: (id) => this.#dataBegins(id),
      names: (id, count) => this.#names(id, count),
      content: (bytes, streamOffset) => this.#onRead(bytes, streamOffset),
      contentEnds: () => this.#onReadEnd(),
    });
  }

  push(stream: 'stdin' | 'stdout', bytes: Buffer, streamOffset: number, us: number): void {
    if (this.#lost) return;
    this.#us = us;
    try {
      (stream === 'stdin' ? this.#requests : this.#answers).push(bytes, streamOffset);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#lost = true;
      this.#sink.undecoded(error.message, us);
    }
  }

  end(us: number): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#us = us;
    for (const waiting of this.#waiting.values()) {
      if (waiting.is === 'about') this.#operations.told(waiting.request, UNANSWERED, us);
    }
    this.#files.abandon(us);
  }

  // Requests

  #await(id: number, waiting: Waiting): void {
    if (this.#waiting.has(id)) throw new ProtocolError('an SFTP request id is in use');
    if (this.#waiting.size >= MAX_OUTSTANDING) {
      throw new ProtocolError(`more than ${MAX_OUTSTANDING} SFTP requests are outstanding`);
    }
    this.#kept += costOf(waiting);
    if (this.#kept + this.#files.bytes > MAX_KEPT) {
      throw new ProtocolError('SFTP paths are too long to be kept');
    }
    this.#waiting.set(id, waiting);
  }

  #request(type: number, id: number, body: Buffer): void {
    if (type === FXP.init) {
      if (this.#versionSeen) throw new ProtocolError('SFTP begins again');
      return;
    }
    const answers = type === FXP.version || type === FXP.extendedReply;
    if (answers || (type >= FXP.status && type <= FXP.attrs)) unexpected(AMONG_REQUESTS);
    const request = decodeSftpRequest(type, body);
    switch (request.is) {
      case 'open':
      case 'opendir':
      case 'readdir':
      case 'stat':
      case 'fstat':
        this.#await(id, about(request));
        return;
      case 'read': {
        const { handle, offset } = request;
        const file = this.#files.file(handle);
        this.#await(id, file ? { is: 'read', file, offset } : STRAY);
        if (file) file.reads++;
        return;
      }
      case 'fsetstat':
        this.#setByHandle(id, request);
        return;
      case 'copy-data': {
        const file = this.#files.file(request.to);
        if (file) this.#line(id, file, newEffect('copy', request.offset, request.length));
        else this.#await(id, STRAY);
        return;
      }
      case 'close': {
        const given = this.#files.giveUp(request.handle);
        if (given === undefined) this.#await(id, STRAY);
        else if ('line' in given) this.#line(id, given, newEffect('close', 0, 0));
        else this.#await(id, { is: 'folder-closed', path: given.folder, entries: given.entries });
        return;
      }
      case 'operation': {
        // A size set by path, of a file that is open, takes its place among what is done by handle.
        const { size, paths } = request;
        const key = paths[0]?.toString('latin1') ?? '';
        const file = size === undefined ? undefined : this.#files.at(key)[0];
        if (file) this.#line(id, file, newEffect('resize', size ?? 0, 0), request);
        else this.#await(id, about(request));
      }
    }
  }

  #setByHandle(id: number, request: Extract<SftpRequest, { is: 'fsetstat' }>): void {
    const { handle, attrs } = request;
    const found = this.#files.get(handle);
    if (found === undefined) {
      this.#await(id, STRAY);
      return;
    }
    const path = 'line' in found ? found.opened : found.folder;
    const told = operation('fsetstat', [path], { detail: attrs.words });
    if (attrs.size === undefined || !('line' in found)) this.#await(id, about(told));
    else this.#line(id, found, newEffect('resize', attrs.size, 0), told);
  }

  #line(id: number, file: OpenFile, effect: Effect, told?: SftpOperation): void {
    this.#await(id, { is: 'effect', file, effect, told });
    file.line.push(effect);
  }

  #writeBegins(id: number, handle: string, offset: number, length: number): void {
    const file = this.#files.file(handle);
    if (!file) {
      this.#await(id, STRAY);
      return;
    }
    const effect = newEffect('write', placeOf(file, offset, length), length);
    const writing: WriteWaiting = { is: 'write', file, effect };
    this.#await(id, writing);
    file.line.push(effect);
    this.#writing = writing;
    this.#written = 0;
  }

  #onWritten(bytes: Buffer, streamOffset: number): void {
    if (!this.#writing) return;
    const { effect, file } = this.#writing;
    const at = effect.offset === AT_END ? AT_END : effect.offset + this.#written;
    this.#written += bytes.length;
    addPiece(effect.pieces, streamOffset, bytes.length);
    this.#sink.passing(file.number, 'upload', at, bytes);
  }

  // Answers

  #take(id: number): Waiting {
    const waiting = this.#waiting.get(id);
    if (!waiting) throw new ProtocolError('an SFTP answer to no request');
    this.#waiting.delete(id);
    this.#kept -= costOf(waiting);
    return waiting;
  }

  #answer(type: number, id: number, body: Buffer): void {
    if (type === FXP.version) {
      if (this.#versionSeen) throw new ProtocolError('SFTP begins again');
      this.#versionSeen = true;
      // The place of an id holds the version here.
      if (id !== VERSION) throw new ProtocolError(`SFTP version ${id} is not decoded`);
      return;
    }
    const waiting = this.#take(id);
    switch (type) {
      case FXP.status:
        this.#status(waiting, decodeStatus(body));
        return;
      case FXP.handle:
        this.#opened(waiting, new Reader(body).string());
        return;
      case FXP.attrs:
        this.#attrs(waiting, body);
        return;
      default:
        // Answers of extensions have types of their own.
        if (waiting.is === 'about') this.#operations.told(waiting.request, OK, this.#us);
        else if (waiting.is !== 'stray') unexpected('an answer of another type');
    }
  }

  #status(waiting: Waiting, status: TransferStatus): void {
    switch (waiting.is) {
      case 'stray':
        if (status.ok) throw new ProtocolError(FROM_NOWHERE);
        return;
      case 'read':
        this.#readFailed(waiting, status);
        return;
      case 'effect':
      case 'write':
        if (waiting === this.#writing) unexpected('an answer to half a write');
        waiting.effect.status = status;
        this.#files.advance(waiting.file, this.#us);
        if (waiting.is === 'effect' && waiting.told)
          this.#operations.told(waiting.told, status, this.#us);
        return;
      case 'folder-closed':
        this.#operations.listed(waiting.path, waiting.entries, status, this.#us);
        return;
      case 'about':
        this.#operations.told(waiting.request, status, this.#us);
    }
  }

  #readFailed({ file, offset }: ReadWaiting, status: TransferStatus): void {
    if (isEnd(status)) this.#sink.ended(file.number, offset, this.#us);
    else if (!status.ok && !file.flags.write) file.failure ??= status;
    this.#readAnswered(file);
  }

  #readAnswered(file: OpenFile): void {
    file.reads--;
    this.#files.advance(file, this.#us);
  }

  #opened(waiting: Waiting, handle: Buffer): void {
    if (waiting.is !== 'about') unexpected('a handle that nobody asked for');
    const { request } = waiting;
    const key = handle.toString('latin1');
    if (handle.length > MAX_HANDLE || this.#files.get(key) !== undefined) {
      throw new ProtocolError('an SFTP handle that is in use, or too long');
    }
    if (this.#files.count >= MAX_HANDLES) {
      throw new ProtocolError(`more than ${MAX_HANDLES} SFTP handles are open`);
    }
    if (request.is === 'opendir') {
      this.#files.addFolder(key, request.path);
    } else if (request.is === 'open') {
      const { path, flags } = request;
      const file = this.#files.addFile(key, path, flags, this.#us);
      const size = this.#sizes.get(path.toString('latin1'));
      if (!flags.truncate) file.appendAt = size;
      if (flags.write) this.#sizes.forget(path.toString('latin1'));
      if (size !== undefined && !flags.write) this.#sink.sized(file.number, size, this.#us);
    } else if (request.is !== 'operation' || request.name !== 'extended') {
      unexpected('a handle that nobody asked for');
    }
  }

  #attrs(waiting: Waiting, body: Buffer): void {
    if (waiting.is === 'stray') return;
    if (waiting.is !== 'about') unexpected('attributes that nobody asked for');
    const { request } = waiting;
    const { size, permissions } = readAttrs(new Reader(body));
    const regular = permissions === undefined || (permissions & TYPE_BITS) === REGULAR;
    if (size === undefined || size >= FAR || !regular) return;
    if (request.is === 'fstat') {
      const file = this.#files.file(request.handle);
      if (file) this.#sink.sized(file.number, size, this.#us);
    } else if (request.is === 'stat') {
      this.#sizes.set(request.path.toString('latin1'), size);
    }
  }

  #names(id: number, count: number): void {
    const waiting = this.#take(id);
    if (waiting.is !== 'about') {
      if (waiting.is !== 'stray') unexpected('names that nobody asked for');
      return;
    }
    if (waiting.request.is !== 'readdir') return;
    const folder = this.#files.get(waiting.request.handle);
    if (folder && 'folder' in folder) folder.entries += count;
  }

  #dataBegins(id: number): void {
    const waiting = this.#take(id);
    if (waiting.is === 'stray') throw new ProtocolError(FROM_NOWHERE);
    if (waiting.is !== 'read') unexpected('data that nobody asked for');
    this.#reading = waiting;
    this.#readPieces = [];
    this.#read = 0;
  }

  #onRead(bytes: Buffer, streamOffset: number): void {
    if (!this.#reading) return;
    const at = this.#reading.offset + this.#read;
    this.#read += bytes.length;
    addPiece(this.#readPieces, streamOffset, bytes.length);
    this.#sink.passing(this.#reading.file.number, 'download', at, bytes);
  }

  #onReadEnd(): void {
    if (!this.#reading) return;
    const { file, offset } = this.#reading;
    this.#reading = undefined;
    if (this.#read > 0) {
      this.#sink.moved(file.number, 'download', offset, this.#readPieces, this.#us);
    }
    this.#readPieces = [];
    this.#readAnswered(file);
  }
}

/**
 * Where a write goes. An appending handle ignores the offset; but a client that resumes has asked for the size and counts
 * on from there, and if it does, the offset is true.
 */
function placeOf(file: OpenFile, offset: number, length: number): number {
  if (!file.flags.append) return offset;
  if (file.appendAt !== offset) file.appendAt = undefined;
  if (file.appendAt === undefined) return AT_END;
  file.appendAt += length;
  return offset;
}

function unexpected(what: string): never {
  throw new ProtocolError(`SFTP: ${what}`);
}

function addPiece(pieces: Piece[], streamOffset: number, length: number): void {
  const last = pieces.at(-1);
  if (last && last.streamOffset + last.length === streamOffset) {
    pieces[pieces.length - 1] = { streamOffset: last.streamOffset, length: last.length + length };
  } else {
    pieces.push({ streamOffset, length });
  }
}
