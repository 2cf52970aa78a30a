/**
 * Looks after the two legs of a connection while nothing happens: asks a silent peer whether it lives, gives up one that
 * does not answer, and renews keys that have become old.
 */
import { AppError } from '../base/errors.ts';
import { DOWN, UP } from './mux.ts';
import type { Side } from './mux.ts';
import type { Transport } from './transport.ts';

export interface KeepaliveOptions {
  /** Silence after which a peer is asked; 0: never. */
  readonly intervalMs: number;
  /** Questions without any answer after which it is given up. */
  readonly count: number;
  readonly nowMs: () => number;
  readonly leg: (side: Side) => Transport | undefined;
  readonly ask: (side: Side) => void;
}

/** How often the age of the keys is looked at where there are no keepalives. */
const KEY_AGE_MS = 60_000;

export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #unheard: [number, number] = [0, 0];
  readonly #timer: NodeJS.Timeout;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
    const { intervalMs } = options;
    this.#timer = setInterval(() => this.#look(), intervalMs > 0 ? intervalMs : KEY_AGE_MS);
  }

  /** The peer has said something. */
  heard(side: Side): void {
    this.#unheard[side] = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { intervalMs, count, nowMs, leg: legOf, ask } = this.#options;
    const now = nowMs();
    for (const side of [DOWN, UP] as const) {
      const leg = legOf(side);
      if (!leg || leg.closed) continue;
      leg.rekeyIfOld();
      if (intervalMs === 0) continue;
      if (leg.paused) {
        // Its silence is ours; but a peer that is gone is found out by what is sent to it.
        this.#unheard[side] = 0;
        ask(side);
      } else if (now - leg.lastHeardMs < intervalMs) {
        this.#unheard[side] = 0;
      } else if (++this.#unheard[side] > count) {
        leg.close(new AppError('target-lost', 'no answer to keepalives'));
      } else {
        ask(side);
      }
    }
  }
}
