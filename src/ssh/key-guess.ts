/**
 * The guess in a KEXINIT (RFC 4253 section 7): a peer may send its first key exchange message at once, for the methods
 * that it prefers. If both sides prefer the same ones the message counts, else it is skipped. ssh2 compares a letter
 * with a name there and skips every guess; dropbear's client, which always guesses, then waits for ever.
 */
import { Reader } from '../wire/buffer.ts';

const COOKIE = 16;
/** Name lists behind those of key exchange and host key: ciphers, MACs, compression, languages. */
const OTHER_LISTS = 8;

interface Preferences {
  readonly keyExchange: string | undefined;
  readonly hostKey: string | undefined;
  /** Whether a guess follows. */
  readonly guesses: boolean;
}

/**
 *   byte       SSH_MSG_KEXINIT
 *   byte[16]   cookie
 *   name-list  kex_algorithms
 *   name-list  server_host_key_algorithms
 *   name-list  eight more
 *   boolean    first_kex_packet_follows
 *   uint32     0
 */
function preferencesIn(kexinit: Buffer): Preferences {
  const reader = new Reader(kexinit, 1);
  reader.bytes(COOKIE);
  const [keyExchange] = reader.nameList();
  const [hostKey] = reader.nameList();
  for (let i = 0; i < OTHER_LISTS; i++) reader.string();
  return { keyExchange, hostKey, guesses: reader.boolean() };
}

/** Whether the peer's next message is a wrong guess, to be skipped unread; both are payloads of KEXINIT. */
export function isWrongGuess(ours: Buffer, theirs: Buffer): boolean {
  const peer = preferencesIn(theirs);
  if (!peer.guesses) return false;
  const own = preferencesIn(ours);
  return peer.keyExchange !== own.keyExchange || peer.hostKey !== own.hostKey;
}
