/**
 * Which connection an operator means: its UUID, its 22 characters of base 62, the beginning of the UUID, at least 8
 * characters, if no other begins so, or `newest`. It looks at the recordings alone, so it works without a gate and a
 * database.
 */
import { AppError } from '../base/errors.ts';
import { isUuid, shortId, uuidFromBytes } from '../base/ids.ts';
import type { Storage } from '../recording/storage.ts';

const MIN_PREFIX = 8;
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** So many are named when the beginning fits more than one. */
const NAMED = 3;

/** The one that began last. */
const NEWEST = 'newest';

/** The UUID of the one connection that is meant. */
export async function findConnection(storage: Storage, name: string): Promise<string> {
  if (name === NEWEST) return newest(storage);
  const short = fromShortId(name);
  if (short !== undefined && (await hasRecording(storage, short))) return short;
  const wanted = name.toLowerCase();
  if (isUuid(wanted)) {
    if (await hasRecording(storage, wanted)) return wanted;
    throw unknown(name);
  }
  if (!/^[0-9a-f-]{8,36}$/.test(wanted)) throw unknown(name);
  const digits = wanted.replaceAll('-', '');
  if (digits.length < MIN_PREFIX) {
    throw new AppError('not-found', `"${name}" is too short: give at least ${MIN_PREFIX} digits`);
  }
  const found: string[] = [];
  for await (const id of storage.connections()) {
    if (id.replaceAll('-', '').startsWith(digits)) found.push(id);
  }
  const [first, ...others] = found;
  if (first === undefined) throw unknown(name);
  if (others.length === 0) return first;
  const some = found.slice(0, NAMED).join(', ');
  const more = found.length > NAMED ? ` and ${found.length - NAMED} more` : '';
  throw new AppError('not-found', `"${name}" is the beginning of ${some}${more}: say more of it`);
}

async function newest(storage: Storage): Promise<string> {
  let last: string | undefined;
  // Their ids grow with time.
  for await (const id of storage.connections()) last = id;
  if (last === undefined) throw new AppError('not-found', 'nothing has been recorded here yet');
  return last;
}

async function hasRecording(storage: Storage, id: string): Promise<boolean> {
  try {
    return await storage.hasConnection(id);
  } catch (error) {
    // A UUID of another kind than connections have.
    if (error instanceof AppError && error.code === 'not-found') return false;
    throw error;
  }
}

/** The UUID in 22 characters of base 62; undefined if the text is none. */
function fromShortId(text: string): string | undefined {
  if (!/^[0-9A-Za-z]{22}$/.test(text)) return undefined;
  let value = 0n;
  for (const character of text) value = value * 62n + BigInt(BASE62.indexOf(character));
  const hex = value.toString(16).padStart(32, '0');
  if (hex.length !== 32) return undefined;
  const id = uuidFromBytes(Buffer.from(hex, 'hex'));
  return isUuid(id) && shortId(id) === text ? id : undefined;
}

function unknown(name: string): AppError {
  const list = 'sallyport connections lists them';
  return new AppError('not-found', `no recording of a connection ${JSON.stringify(name)}; ${list}`);
}
