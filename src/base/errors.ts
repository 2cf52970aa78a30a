/**
 * The errors that cross a boundary, and the one table of their codes.
 *
 * Code anywhere throws an `AppError` with a code from the table; only the edges (the command line, the SSH transport,
 * the HTTP application) turn it into an exit code, a DISCONNECT or a status. A message is shown to a peer only where
 * its code says `expose`.
 */

/** RFC 4253 section 11.1: the reason codes of SSH_MSG_DISCONNECT that we send. */
export const DISCONNECT = {
  hostNotAllowed: 1,
  protocolError: 2,
  keyExchangeFailed: 3,
  hostKeyNotVerifiable: 9,
  connectionLost: 10,
  byApplication: 11,
  tooManyConnections: 12,
  noMoreAuthMethods: 14,
} as const;

interface ErrorKind {
  /** SSH_MSG_DISCONNECT reason code, RFC 4253 section 11.1. */
  readonly disconnect: number;
  /** HTTP status. */
  readonly status: number;
  /** Whether the message may be shown to the peer that caused it. */
  readonly expose: boolean;
}

/** Every code there is; `README.md` lists the same ones and a test holds the two together. */
export const ERRORS = {
  usage: { disconnect: 11, status: 400, expose: true },
  'config-invalid': { disconnect: 11, status: 400, expose: true },
  'inventory-invalid': { disconnect: 11, status: 400, expose: true },
  'not-found': { disconnect: 11, status: 404, expose: true },
  'dir-in-use': { disconnect: 11, status: 409, expose: true },
  'dir-invalid': { disconnect: 11, status: 400, expose: true },
  'gate-unreachable': { disconnect: 11, status: 503, expose: true },
  protocol: { disconnect: 2, status: 400, expose: true },
  'key-exchange': { disconnect: 3, status: 400, expose: true },
  'login-failed': { disconnect: 14, status: 401, expose: true },
  'login-timeout': { disconnect: 11, status: 401, expose: true },
  busy: { disconnect: 12, status: 503, expose: true },
  'not-allowed': { disconnect: 11, status: 403, expose: true },
  'target-unreachable': { disconnect: 11, status: 502, expose: true },
  'target-lost': { disconnect: 11, status: 502, expose: true },
  'host-key-changed': { disconnect: 9, status: 502, expose: true },
  'target-login-failed': { disconnect: 11, status: 502, expose: true },
  terminated: { disconnect: 11, status: 200, expose: true },
  'recording-failed': { disconnect: 11, status: 507, expose: true },
  'trail-invalid': { disconnect: 11, status: 422, expose: true },
  'secret-unreadable': { disconnect: 11, status: 500, expose: false },
  internal: { disconnect: 11, status: 500, expose: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

/** An error with a stable code; `message` is one line that names the thing and, where there is one, the remedy. */
export class AppError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'AppError';
    this.code = code;
  }

  get kind(): ErrorKind {
    return ERRORS[this.code];
  }
}

/** What a peer sent breaks the rules of its format; the only thing that a decoder throws. */
export class ProtocolError extends AppError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('protocol', message, options);
    this.name = 'ProtocolError';
  }
}

/** The text of anything that was thrown, on one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s+/g, ' ').trim();
}
