/**
 * A password from standard input: its first line. It never stands on the command
 * line, where everybody on the machine could read it.
 */
import { AppError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';

/** As long as a password may be (`access/password.ts`), and its line end. */
const MAX_BYTES = 1024 + 2;
const NEWLINE = 0x0a;

/** Reads the first line of standard input. */
export async function readPassword(): Promise<Secret> {
  if (process.stdin.isTTY) {
    const remedy = 'pipe it in, as with: printf %s "$PASSWORD" | sallyport init ...';
    throw new AppError('usage', `--admin-password-stdin reads a pipe, not a terminal: ${remedy}`);
  }
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    parts.push(part);
    length += part.length;
    if (part.includes(NEWLINE) || length > MAX_BYTES) break;
  }
  const all = Buffer.concat(parts);
  const end = all.indexOf(NEWLINE);
  const line = end < 0 ? all : all.subarray(0, end);
  const password = line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
  if (password.length === 0) {
    throw new AppError('usage', 'the password on standard input is empty');
  }
  return new Secret(Buffer.from(password));
}
