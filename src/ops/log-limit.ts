/**
 * Keeps a log readable under attack: at most so many lines per second for one key (an address, a
 * connection), then one line that says how many were left out. The table of keys is bounded; what
 * exceeds it shares one key.
 */
import type { Log, LogFields } from './log.ts';

const MAX_KEYS = 4096;
const SHARED_KEY = 'others';

export interface LogLimitNeeds {
  readonly log: Log;
  /** Lines of one key in one second. */
  readonly perSecond: number;
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
}

interface Window {
  endsUs: number;
  lines: number;
  left: number;
}

/**
 * A log that writes only so much per second and key. Whoever owns it calls `flush` about once a
 * second.
 */
export class LogLimit {
  readonly #needs: LogLimitNeeds;
  readonly #windows = new Map<string, Window>();

  constructor(needs: LogLimitNeeds) {
    this.#needs = needs;
  }

  info(key: string, fields: LogFields, message: string): void {
    if (this.#take(key)) this.#needs.log.info(fields, message);
  }

  warn(key: string, fields: LogFields, message: string): void {
    if (this.#take(key)) this.#needs.log.warn(fields, message);
  }

  audit(key: string, fields: LogFields, message: string): void {
    if (this.#take(key)) this.#needs.log.audit(fields, message);
  }

  /** Writes the summary of every key whose second is over, and forgets it. */
  flush(): void {
    const now = this.#needs.nowUs();
    for (const [key, window] of this.#windows) {
      if (window.endsUs <= now) this.#close(key, window);
    }
  }

  #take(asked: string): boolean {
    const now = this.#needs.nowUs();
    const full = this.#windows.size >= MAX_KEYS && !this.#windows.has(asked);
    const key = full ? SHARED_KEY : asked;
    let window = this.#windows.get(key);
    if (window && window.endsUs <= now) {
      this.#close(key, window);
      window = undefined;
    }
    if (!window) {
      window = { endsUs: now + 1_000_000, lines: 0, left: 0 };
      this.#windows.set(key, window);
    }
    if (window.lines < this.#needs.perSecond) {
      window.lines++;
      return true;
    }
    window.left++;
    return false;
  }

  #close(key: string, window: Window): void {
    this.#windows.delete(key);
    if (window.left > 0) {
      this.#needs.log.warn({ key, left_out: window.left }, 'log lines left out');
    }
  }
}
