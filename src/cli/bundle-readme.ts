/**
 * The README of an evidence bundle: whose evidence it is, what is in it, and how somebody who has never heard of
 * Sallyport reads and verifies each thing with Python and openssl.
 */
import type { BundleContents } from '../recording/bundle.ts';
import type { PublicKeyFile } from '../recording/seal.ts';
import { say, shellWord } from './words.ts';

export interface BundleOrigin {
  readonly connection: string;
  readonly version: string;
  /** RFC 3339, UTC. */
  readonly at: string;
  /** The operator's login, and the machine. */
  readonly by: string;
  readonly keyFiles: readonly PublicKeyFile[];
}

export function bundleReadme(origin: BundleOrigin, { entries, reports }: BundleContents): string {
  const { connection, version, at, by, keyFiles } = origin;
  const keys = keyFiles.map(({ id }) => `--key keys/${shellWord(id)}.pub`).join(' ');
  const states = reports.map(({ name, state, reason, records }) => {
    const why = reason === '' ? '' : ` (${say(reason)})`;
    return `    ${name}  ${state}, ${records} records${why}`;
  });
  const files = entries.map(({ name, about }) => `    ${name}  ${say(about)}`);
  return `Evidence of the SSH connection ${connection}

Exported ${at} by ${say(by)} with Sallyport ${version}, a recording gateway for SSH.

HOW TO VERIFY IT

Needed are python3 and the openssl command; Sallyport is not. In this folder:

 1. Whether the files are as they were exported:

    sha256sum -c SHA256SUMS

    This finds accidents. Who could change a file could change the list too, so it proves nothing.

 2. Whether the recording is as it was written:

    python3 trail-reader.py ${keys} trails/*.trail ledgers/*.trail | python3 bundle-check.py

    Good is "together: good" at the end, and exit code 0. Each trail is a chain of SHA-256 with Ed25519 signatures in
    it. The reader, written from the description of the format alone, checks all of them; bundle-check.py, that every
    channel which the connection had is there as it was when it ended, that the ledger of the gate knows it, and that
    every file in files/ has the SHA-256 that a signed trail says of it.
    A ledger is "cut" if its gate was still running when this was exported: what it says is good as far as it is signed.
    So is a trail that was "open" below, or in its first 10 seconds "bad: unsigned", and then together is NOT GOOD: the
    evidence of a connection is whole once that has ended. A note that no trail names a file is of a trail that does not
    list its files, since its gate died: the file was made from the bytes in the trail, but no signature names its hash.

 3. Whether the signatures are those of the gate. The keys in this folder came with it. Compare them with a copy that was
    taken from the gate before; the name of each is the SHA-256 of its last 32 bytes in DER:

    for key in keys/*.pub; do echo $key; openssl pkey -pubin -in $key -outform DER | tail -c 32 | sha256sum; done

HOW TO READ IT

    files/  what was transferred, each file under its id; files.jsonl has its name, direction, time, size and hash.
            "sha256": the whole file; "sha256_moved": only the part that crossed, "extents" says which: offset in the
            file, length, offset in the stream, and for many alike their count and the distance in the stream;
            "appended": it was put behind what the file held, and offsets count from there
    jsonl/  a JSON object per record: when, which way, whether it was passed on, the exact bytes (base64), its fields
    text/   what the terminal showed, as a person would have read it; for commands the lines, stderr marked
    cast/   asciicast v2, to play back with asciinema
    trails/ and ledgers/ by python3 trail-reader.py: every record with its bytes

    files, jsonl, text and cast were made from the trails. If one of them matters, check it against the trail: the reader prints
    the same records.

WHAT WAS FOUND WHEN IT WAS EXPORTED

${states.join('\n')}

    complete   it ended in order, and its signature covers everything in it
    recovered  the gate died; the next start ended it, and says how much lies after the last live signature
    open       it was still being written
    cut        it has signatures, but no end
    bad        something is not as it was written, or was never signed by these keys

WHAT IS IN IT

${files.join('\n')}
`;
}
