/** What an SFTP request is while it waits for its answer, and how many bytes of paths it keeps meanwhile. */
import type { Effect, OpenFile } from './sftp-files.ts';
import type { SftpOperation, SftpRequest } from './sftp-requests.ts';

/** A request that waits for its answer. */
export type Waiting =
  | WriteWaiting
  | ReadWaiting
  /** `told`: an event of its own beside what it does to the file. */
  | {
      readonly is: 'effect';
      readonly file: OpenFile;
      readonly effect: Effect;
      readonly told: SftpOperation | undefined;
    }
  /** Names a handle that is not known: if it goes well, something was missed. */
  | { readonly is: 'stray' }
  | { readonly is: 'about'; readonly request: SftpRequest }
  | { readonly is: 'folder-closed'; readonly path: Buffer; readonly entries: number };

export interface WriteWaiting {
  readonly is: 'write';
  readonly file: OpenFile;
  readonly effect: Effect;
}

export interface ReadWaiting {
  readonly is: 'read';
  readonly file: OpenFile;
  readonly offset: number;
}

export const STRAY: Waiting = { is: 'stray' };

/** A request about paths, or about a handle without a place in the line of its file. */
export function about(request: SftpRequest): Waiting {
  return { is: 'about', request };
}

/** Bytes of paths that are kept for it. */
export function costOf(waiting: Waiting): number {
  if (waiting.is === 'effect') return waiting.told ? pathsOf(waiting.told) : 0;
  return waiting.is === 'about' ? pathsOf(waiting.request) : 0;
}

function pathsOf(request: SftpRequest): number {
  if ('path' in request) return request.path.length;
  if ('paths' in request) return request.paths.reduce((sum, path) => sum + path.length, 0);
  return 0;
}
