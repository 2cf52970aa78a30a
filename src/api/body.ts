/**
 * The body of a request: JSON of a bounded size and depth, read within a time, and nothing else. A client that sends
 * another form than it says, as a web page of somebody else's would, is refused before anything is done.
 */
import type { IncomingMessage } from 'node:http';
import { ApiError } from './errors.ts';

const MAX_BODY = 1024 * 1024;
const MAX_DEPTH = 32;
const BODY_MS = 20_000;

/** The value of the body, undefined if there is none. */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  const bytes = await readBytes(request);
  if (bytes.length === 0) return undefined;
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new ApiError('SyntacticError', 'Send the body as application/json.');
  }
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    checkDepth(text);
    value = JSON.parse(text);
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    throw new ApiError('SyntacticError', 'The body is not JSON in UTF-8.', {}, { cause });
  }
  if (typeof value !== 'object' || value === null) {
    throw new ApiError('SyntacticError', 'The body is not a JSON object.');
  }
  return value;
}

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const { 'content-length': length, 'content-encoding': encoding } = request.headers;
  const tooLarge = (): ApiError =>
    new ApiError('TooLarge', `The body is larger than ${MAX_BODY} bytes.`);
  if (encoding !== undefined && encoding !== 'identity') {
    throw new ApiError('SyntacticError', 'A compressed body is not taken.');
  }
  if (length !== undefined && Number(length) > MAX_BODY) throw tooLarge();
  const timer = setTimeout(() => request.destroy(), BODY_MS);
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of request.iterator({
      destroyOnReturn: false,
    }) as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > MAX_BODY) throw tooLarge();
      pieces.push(piece);
    }
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    throw new ApiError('SyntacticError', 'The body did not arrive whole.', {}, { cause });
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(pieces);
}

/** Refuses what is nested too deeply, before the parser would follow it down. */
function checkDepth(text: string): void {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted) {
      if (character === '\\') i++;
      else if (character === '"') quoted = false;
    } else if (character === '"') {
      quoted = true;
    } else if (character === '{' || character === '[') {
      if (++depth > MAX_DEPTH) {
        throw new ApiError('SyntacticError', `The body is nested deeper than ${MAX_DEPTH}.`);
      }
    } else if (character === '}' || character === ']') {
      depth--;
    }
  }
}
