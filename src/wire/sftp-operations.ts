/**
 * Tells what moved no data on an SFTP channel: one event each, once it is answered. Questions that went well (what a
 * path is, how large, what the server can do) are not worth one; what was refused is.
 */
import type { OpenFiles } from './sftp-files.ts';
import type { SftpOperation, SftpRequest } from './sftp-requests.ts';
import type { PathSizes } from './sftp-sizes.ts';
import { isEnd, UNANSWERED } from './sftp-status.ts';
import type { TransferSink, TransferStatus } from './transfer.ts';

export class SftpOperations {
  readonly #sink: TransferSink;
  readonly #files: OpenFiles;
  readonly #sizes: PathSizes;

  constructor(sink: TransferSink, files: OpenFiles, sizes: PathSizes) {
    this.#sink = sink;
    this.#files = files;
    this.#sizes = sizes;
  }

  /** A request that was answered with a status, or never. */
  told(request: SftpRequest, status: TransferStatus, us: number): void {
    switch (request.is) {
      case 'open':
      case 'opendir':
        this.#tell({ name: request.is, paths: [request.path], detail: '', status }, us);
        return;
      case 'stat':
        if (status.ok) return;
        this.#tell({ name: request.name, paths: [request.path], detail: '', status }, us);
        return;
      case 'operation': {
        const { name, paths, detail, quiet } = request;
        if (status.ok) this.#moved(request);
        if (!status.ok || !quiet) this.#tell({ name, paths, detail, status }, us);
        return;
      }
      case 'readdir':
      case 'fstat':
      case 'read':
      case 'close':
      case 'fsetstat':
      case 'copy-data':
        if (status.ok || status === UNANSWERED || isEnd(status)) return;
        this.#tell({ name: request.is, paths: [], detail: '', status }, us);
    }
  }

  /** A folder was listed and its handle given back. */
  listed(path: Buffer, entries: number, status: TransferStatus, us: number): void {
    this.#tell({ name: 'readdir', paths: [path], detail: `${entries} entries`, status }, us);
  }

  #tell(operation: Parameters<TransferSink['operation']>[0], us: number): void {
    this.#sink.operation(operation, us);
  }

  /** Paths that now mean something else. */
  #moved({ name, paths }: SftpOperation): void {
    const [from, to] = paths.map((path) => path.toString('latin1'));
    if (from === undefined) return;
    this.#sizes.forget(from);
    if (name === 'remove') this.#files.removed(from);
    if (name !== 'rename' || to === undefined) return;
    this.#sizes.forget(to);
    this.#files.renamed(from, to);
  }
}
