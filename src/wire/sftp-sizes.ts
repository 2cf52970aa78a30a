/**
 * The sizes that a target told of paths, the last few of them: many clients ask for a file's size, read so many bytes
 * and never ask for more, and have read it to its end all the same.
 */

const MAX_SIZES = 256;
const MAX_PATH = 4_096;

export class PathSizes {
  readonly #sizes = new Map<string, number>();

  get(path: string): number | undefined {
    return this.#sizes.get(path);
  }

  set(path: string, size: number): void {
    if (path.length > MAX_PATH) return;
    // Set anew, so that the oldest stands first.
    this.#sizes.delete(path);
    this.#sizes.set(path, size);
    if (this.#sizes.size <= MAX_SIZES) return;
    for (const oldest of this.#sizes.keys()) {
      this.#sizes.delete(oldest);
      return;
    }
  }

  forget(path: string): void {
    this.#sizes.delete(path);
  }
}
