/**
 * The transferred files of a bundle, each in a file named after its id, never after what a peer called it. They are read
 * from the copy of the trail that is in the bundle, so that what is shown is what can be verified there: the bytes that
 * crossed, in the order of the file. The SHA-256 of each is the one that the trail has of it, of the whole file or of
 * what moved.
 */
import { ProtocolError } from '../base/errors.ts';
import type { BundleFolder } from './bundle-folder.ts';
import { ContentReader } from './file-content.ts';
import type { FileRecord } from './file-record.ts';
import { streamOf } from './hash-content.ts';
import { trailFiles } from './trail-files.ts';
import type { KnownFile, TrailFilesOptions } from './trail-files.ts';

export interface BundledFile {
  readonly known: KnownFile;
  /** In the bundle; undefined if there is nothing of it to be had. */
  readonly name: string | undefined;
  /** What is not as it should be, or empty. */
  readonly wrong: string;
}

/** Writes the content of each file of a channel, and tells of it. A trail that cannot be read further ends it. */
export async function* writeChannelFiles(
  folder: BundleFolder,
  trail: TrailFilesOptions,
  onProgress: (bytes: number) => void,
): AsyncGenerator<BundledFile> {
  const content = new ContentReader(trail.path);
  try {
    for await (const known of trailFiles(trail)) {
      if (!('file' in known) || known.dropped > 0) yield { known, name: undefined, wrong: '' };
      else yield await writeFile(folder, known, content, onProgress);
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const undecoded = `the trail cannot be read further: ${error.message}`;
    yield { known: { undecoded, us: 0 }, name: undefined, wrong: '' };
  } finally {
    content.close();
  }
}

async function writeFile(
  folder: BundleFolder,
  record: FileRecord,
  content: ContentReader,
  onProgress: (bytes: number) => void,
): Promise<BundledFile> {
  const name = `files/${record.file}`;
  const state = { isCut: false };
  const { sha256 } = await folder.write(name, piecesOf(record, content, state), onProgress);
  const isSaid = !state.isCut && sha256 === record.sha256;
  return { known: record, name, wrong: isSaid ? '' : 'the content is not what its hash says' };
}

function* piecesOf(
  record: FileRecord,
  content: ContentReader,
  state: { isCut: boolean },
): Generator<Buffer> {
  try {
    yield* content.chunks(streamOf(record), record.extents);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    state.isCut = true;
  }
}
