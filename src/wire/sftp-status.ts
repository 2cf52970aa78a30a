/**
 * How an SFTP server says that a request went (filexfer-02 section 7): `uint32 code, string message, string language`;
 * older servers leave the strings out.
 */
import { Reader } from './buffer.ts';
import type { TransferStatus } from './transfer.ts';

const MAX_MESSAGE = 300;
const NO_BYTES = Buffer.alloc(0);
const WORDS = [
  'ok',
  'end of file',
  'no such file',
  'permission denied',
  'failure',
  'bad message',
  'no connection',
  'connection lost',
  'operation unsupported',
];

export const OK: TransferStatus = { ok: true, word: 'ok', message: NO_BYTES };
/** The channel ended before the answer came. */
export const UNANSWERED: TransferStatus = { ok: false, word: 'not answered', message: NO_BYTES };

/** Whether a read met the end, or a listing its last entry. */
export function isEnd(status: TransferStatus): boolean {
  return status.word === WORDS[1];
}

/** Decodes what follows the id of a STATUS. */
export function decodeStatus(body: Buffer): TransferStatus {
  const reader = new Reader(body);
  const code = reader.uint32();
  if (code === 0) return OK;
  const message = reader.left >= 4 ? reader.string() : NO_BYTES;
  return {
    ok: false,
    word: WORDS[code] ?? `status ${code}`,
    message: Buffer.from(message.subarray(0, MAX_MESSAGE)),
  };
}
