/**
 * Figures of a gate that runs, in the text format of Prometheus: sessions that are live, requests to the API, logins, and
 * how long the event loop kept others waiting. Labels are words of ours alone, so that no peer can make series.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Registry } from '@prometheus-io/client';

const SECOND_IN_NS = 1e9;
/** What is told of the delay of the event loop, in per cent of all times that it was measured. */
const PERCENTILES = [50, 99, 100] as const;
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS']);

export interface MetricsOptions {
  readonly version: string;
  readonly liveSessions: () => number;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'method' | 'status'>;
  readonly #logins: Counter<'door' | 'outcome'>;
  readonly #delay = monitorEventLoopDelay({ resolution: 20 });

  constructor({ version, liveSessions }: MetricsOptions) {
    const registers = [this.#registry];
    const info = new Gauge({
      ...{ name: 'sallyport_info', help: 'The version that runs', labelNames: ['version'] },
      registers,
    });
    info.set({ version }, 1);
    const live: Gauge = new Gauge({
      ...{ name: 'sallyport_live_sessions', help: 'SSH connections that are logged in' },
      registers,
      collect: () => live.set(liveSessions()),
    });
    this.#requests = new Counter({
      ...{ name: 'sallyport_api_requests_total', help: 'Requests to the API that were answered' },
      labelNames: ['method', 'status'],
      registers,
    });
    this.#logins = new Counter({
      ...{ name: 'sallyport_logins_total', help: 'Logins by where and what came of them' },
      labelNames: ['door', 'outcome'],
      registers,
    });
    for (const door of ['ssh', 'api']) {
      for (const outcome of ['succeeded', 'failed']) this.#logins.inc({ door, outcome }, 0);
    }
    const delay = new Gauge({
      name: 'sallyport_event_loop_delay_seconds',
      help: 'How late the event loop was since this was last asked for; the quantile 1 is the most',
      labelNames: ['quantile'],
      registers,
      collect: () => {
        for (const per of PERCENTILES) {
          const ns = this.#delay.count === 0 ? 0 : this.#delay.percentile(per);
          delay.set({ quantile: String(per / 100) }, ns / SECOND_IN_NS);
        }
        this.#delay.reset();
      },
    });
  }

  /** Begins to measure. */
  start(): void {
    this.#delay.enable();
  }

  stop(): void {
    this.#delay.disable();
  }

  /** A request of the API was answered. */
  request(method: string, status: number): void {
    this.#requests.inc({ method: METHODS.has(method) ? method : 'other', status });
  }

  /** Somebody tried to log in. */
  login(door: 'ssh' | 'api', outcome: 'succeeded' | 'failed'): void {
    this.#logins.inc({ door, outcome });
  }

  /** All of it as text, and its media type. */
  async text(): Promise<{ readonly text: string; readonly type: string }> {
    return { text: await this.#registry.metrics(), type: this.#registry.contentType };
  }
}
