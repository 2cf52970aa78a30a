/** A container as it is, to be copied elsewhere; of one that is being written its whole blocks alone. */
import type { TrailFile } from './reader.ts';

const PIECE = 1024 * 1024;

/** How many bytes there are to copy. */
export async function lengthOf(file: TrailFile, live: boolean): Promise<number> {
  if (!live) return file.size();
  let end = 0;
  for await (const { head } of file.blocks()) end = head.position + head.length;
  return end;
}

/** The first so many bytes, piece by piece. */
export async function* trailBytes(file: TrailFile, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < length; at += PIECE) yield file.read(at, Math.min(PIECE, length - at));
}
