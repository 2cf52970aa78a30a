/**
 * The log of operators: JSON lines on stderr, one per event. The one importer of pino; everybody
 * else sees `Log`.
 *
 * A line is one line and harmless in a terminal whatever names and texts peers put into it. Secrets
 * print as `[secret]` by themselves (`base/secret.ts`); redaction by field name is the second net.
 * Writing never waits for the reader of stderr: above 4 MiB unwritten, lines are dropped rather
 * than a session held up.
 */
import { pino } from 'pino';
import type { Logger } from 'pino';

import { StderrSink } from './stderr-sink.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What is told about an event; an error goes under the key `err`. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Where code tells operators what happens. The message is short and constant; what varies is in the
 * fields.
 */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** Who did or was refused what: written at every level, marked `"audit": true`. */
  audit(fields: LogFields, message: string): void;
  /** A log whose every line carries these fields, as that of one connection. */
  child(fields: LogFields): Log;
}

/** Where lines go; tests collect them. */
export interface LineSink {
  write(line: string): void;
}

/** Names of fields that never belong in a log, on the first three levels. */
const SECRET_FIELDS = [
  'password',
  'passwordHash',
  'passphrase',
  'privateKey',
  'private_key',
  'secret',
  'sealed',
  'masterKey',
  'token',
  'authorization',
  'cookie',
];

/**
 * What JSON leaves as it is though terminals and log readers obey it: DEL, C1, bidi marks, line
 * ends, BOM.
 */
const OBEYED = /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** Opens the log; without a sink lines go to stderr. */
export function openLog(level: LogLevel, sink: LineSink = new StderrSink()): Log {
  const harmless: LineSink = { write: (line) => sink.write(line.replace(OBEYED, escapeCharacter)) };
  const root = pino(
    {
      level: 'debug',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
      redact: {
        paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: '[secret]',
      },
    },
    harmless,
  );
  return new PinoLog(root, level);
}

const RANK = { debug: 0, info: 1, warn: 2, error: 3 } as const satisfies Record<LogLevel, number>;

class PinoLog implements Log {
  readonly #logger: Logger;
  readonly #level: LogLevel;

  constructor(logger: Logger, level: LogLevel) {
    this.#logger = logger;
    this.#level = level;
  }

  #write(level: LogLevel, fields: LogFields, message: string): void {
    if (RANK[level] < RANK[this.#level]) return;
    this.#logger[level](plain(fields), message);
  }

  debug(fields: LogFields, message: string): void {
    this.#write('debug', fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.#write('info', fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.#write('warn', fields, message);
  }

  error(fields: LogFields, message: string): void {
    this.#write('error', fields, message);
  }

  audit(fields: LogFields, message: string): void {
    this.#logger.info({ ...plain(fields), audit: true }, message);
  }

  child(fields: LogFields): Log {
    return new PinoLog(this.#logger.child(plain(fields)), this.#level);
  }
}

/**
 * Bytes are not for a log: their number is said instead, and so nothing secret or huge gets in by
 * mistake.
 */
function plain(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Uint8Array ? `[${value.length} bytes]` : value,
    ]),
  );
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
