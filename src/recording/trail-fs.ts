/**
 * The calls to the kernel that writing a trail needs, as an interface, so that tests can put short writes, errors and
 * silence there. Callbacks rather than promises: nothing is allocated per write but the request itself.
 */
import * as fs from 'node:fs';

export type Done = (error: NodeJS.ErrnoException | null) => void;

export interface TrailFs {
  open(
    path: string,
    flags: number,
    mode: number,
    done: (error: NodeJS.ErrnoException | null, fd: number) => void,
  ): void;
  /** Writes `bytes[offset..offset+length)` at `position` of the file. */
  write(
    fd: number,
    bytes: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void;
  fdatasync(fd: number, done: Done): void;
  close(fd: number, done: Done): void;
}

/** The real one. */
export const diskFs: TrailFs = {
  open: (path, flags, mode, done) => fs.open(path, flags, mode, done),
  write: (fd, bytes, offset, length, position, done) =>
    fs.write(fd, bytes, offset, length, position, done),
  fdatasync: (fd, done) => fs.fdatasync(fd, done),
  close: (fd, done) => fs.close(fd, done),
};
