/**
 * A new folder that a bundle is written to: nothing in it is ever replaced, only its owner may read it, and the SHA-256
 * of each file is kept for the list of sums. Names are the bundle's own, made from ids, never from what a peer chose.
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, reasonOf } from '../base/errors.ts';

/** Parts of a name within the bundle: a folder of ours, then an id with an ending of ours. */
const NAME = /^([a-z]+\/)?[A-Za-z0-9][A-Za-z0-9.-]*$/;

/** What was written: bytes, and their hash in hexadecimal. */
export interface WrittenFile {
  readonly length: number;
  readonly sha256: string;
}

export class BundleFolder {
  readonly path: string;
  readonly #sums: string[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder; one that is there must be empty, and no link. */
  static async make(path: string): Promise<BundleFolder> {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
      if (!(await lstat(path)).isDirectory()) throw new Error('it is no folder, or a link to one');
      if ((await readdir(path)).length > 0) throw new Error('there is something in it already');
    } catch (error) {
      const text = `cannot export to ${path}: ${reasonOf(error)}; name a folder that is not there`;
      throw new AppError('dir-invalid', text, { cause: error });
    }
    return new BundleFolder(path);
  }

  /** Names of the files so far with the sums of their contents, in the form of `sha256sum`. */
  get sums(): string {
    return this.#sums.join('');
  }

  /** Writes a file piece by piece, as fast as the disk takes it. */
  async write(
    name: string,
    pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
    onProgress: (bytes: number) => void = () => undefined,
  ): Promise<WrittenFile> {
    if (!NAME.test(name) || name.includes('..')) throw new AppError('internal', 'unsafe name');
    const [folder, file] = name.includes('/') ? name.split('/') : ['', name];
    const hash = createHash('sha256');
    let length = 0;
    if (folder) await mkdir(join(this.path, folder), { recursive: true, mode: 0o700 });
    const handle = await open(join(this.path, folder ?? '', file ?? ''), 'wx', 0o600);
    try {
      for await (const piece of pieces) {
        await handle.writeFile(piece);
        hash.update(piece);
        length += piece.length;
        onProgress(piece.length);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    const sha256 = hash.digest('hex');
    this.#sums.push(`${sha256}  ${name}\n`);
    return { length, sha256 };
  }
}
