/** An archive in the form of POSIX ustar (IEEE Std 1003.1-1988): a head of 512 bytes before each file, sizes in octal. */

const BLOCK = 512;
/** Eleven octal digits. */
const MAX_SIZE = 8 ** 11 - 1;
const NOTHING = Buffer.alloc(2 * BLOCK);

/** The head of a file. `name` is plain ASCII of at most 100 characters, `mtime` in seconds since 1970. */
export function tarHead(name: string, size: number, mtime: number): Buffer {
  if (!/^[\x21-\x7e]{1,100}$/.test(name) || size > MAX_SIZE) {
    throw new RangeError(`${name} of ${size} bytes does not fit into an archive`);
  }
  const head = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  head.write(name, 0, 'latin1');
  head.write(`${octal(0o600, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100, 'latin1');
  head.write(`${octal(size, 11)}\0${octal(mtime, 11)}\0`, 124, 'latin1');
  head.write('        0', 148, 'latin1');
  head.write('ustar\u000000', 257, 'latin1');
  let sum = 0;
  for (const byte of head) sum += byte;
  head.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return head;
}

/** What fills the last block of a file. */
export function tarPadding(size: number): Buffer {
  return NOTHING.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return NOTHING;
}

/** How long an archive of files of these sizes is. */
export function tarLength(sizes: readonly number[]): number {
  const files = sizes.reduce((sum, size) => sum + BLOCK + size + tarPadding(size).length, 0);
  return files + NOTHING.length;
}
