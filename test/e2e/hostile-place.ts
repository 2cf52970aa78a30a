/**
 * Where the hostile peers play: a gate before a real OpenSSH server (`db1`) and before a fake target (`raw`), one user
 * who may do everything. `undisturbed` runs a scenario beside a canary, somebody who types through the gate, and beside
 * a control who types directly at the target; afterwards the gate must be as it was.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MSG } from '../../src/wire/messages.ts';
import { eventually } from '../support/eventually.ts';
import { figure } from '../support/figure.ts';
import { freePort } from '../support/free-port.ts';
import { inventoryOf, startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { startOpenSsh } from '../support/openssh.ts';
import type { OpenSsh } from '../support/openssh.ts';
import type { Running } from '../support/process.ts';
import { confirmMessage, loginRaw, openMessage } from '../support/raw-client.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { startRawTarget } from '../support/raw-target.ts';
import type { RawTarget } from '../support/raw-target.ts';
import { defer, ManualScope } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { startSsh } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';

export const PASSWORD = 'correct horse battery staple';

export interface HostilePlace {
  readonly gate: Gate;
  readonly target: OpenSsh;
  readonly raw: RawTarget;
  /** alice at the real target and at the fake one. */
  readonly real: Endpoint;
  readonly fake: Endpoint;
  /** alice at one of the targets `db1`, `raw`, `gone` (nobody listens) and `nowhere` (does not resolve). */
  readonly at: (target: string) => Endpoint;
  readonly keyPath: string;
}

/** Deadlines short enough for a test, limits on newcomers out of the way. */
export const SHORT = {
  startups: { begin: 5000, full: 10_000 },
  login: { ident_s: 1, grace_s: 30 },
  rekey: { peer_timeout_s: 2 },
  upstream: { connect_s: 2, handshake_s: 2, login_s: 2 },
  // Hashes small enough that they do not hide what else grows.
  passwords: { memory_kib: 8192 },
} as const;

export async function startHostilePlace(
  scope: Scope,
  settings: Readonly<Record<string, object>> = {},
): Promise<HostilePlace> {
  const [target, raw, key] = await Promise.all([
    startOpenSsh(scope),
    startRawTarget(scope),
    makeKey(scope),
  ]);
  const usual = inventoryOf({ name: 'alice', key, password: PASSWORD }, [{ name: 'db1', target }]);
  const fakeEntry = {
    name: 'raw',
    address: '127.0.0.1',
    port: raw.port,
    host_keys: [raw.hostKey.line],
    accounts: [{ name: target.user, password: 'whatever' }],
  };
  const gone = { ...fakeEntry, name: 'gone', port: await freePort(scope) };
  const nowhere = { ...fakeEntry, name: 'nowhere', address: 'no-such-host.invalid' };
  const targets = [...(usual.targets ?? []), fakeEntry, gone, nowhere];
  const names = ['db1', 'raw', 'gone', 'nowhere'];
  const gate = await startGate(scope, {
    inventory: {
      ...usual,
      targets,
      rules: (usual.rules ?? []).map((rule) => ({ ...rule, targets: names })),
    },
    configure: (dir) => configure(dir, { ...SHORT, ...settings }),
  });
  const at = (name: string): Endpoint => {
    return gate.endpoint(`alice@${target.user}@${name}`, { key: key.path });
  };
  return { gate, target, raw, keyPath: key.path, at, real: at('db1'), fake: at('raw') };
}

/**
 * A user and the fake target he has reached, with one session open between them; `up` and `down` are the numbers by
 * which the user and the target send on it.
 */
export async function rawSession(
  of: Scope,
  place: HostilePlace,
  window = 2 ** 21,
): Promise<{ user: RawPeer; target: RawPeer; up: number; down: number }> {
  const user = await loginRaw(of, place.fake);
  const target = await place.raw.next();
  defer(of, () => {
    target.destroy();
  });
  user.send(openMessage({ sender: 40, window }));
  const open = await target.next(MSG.channelOpen);
  const down = open.readUInt32BE(12);
  target.send(confirmMessage(down, { sender: 50, window }));
  const confirmed = await user.next(MSG.channelOpenConfirmation);
  return { user, target, down, up: confirmed.readUInt32BE(5) };
}

/** Writes a gate's `sallyport.yaml`: its addresses as they are, and these settings. JSON is YAML. */
export function configure(dir: string, settings: Readonly<Record<string, object>>): void {
  const file = join(dir, 'sallyport.yaml');
  const text = readFileSync(file, 'utf8');
  const addressOf = (name: string): string => {
    return new RegExp(`^ +${name}: \\W*([\\d.]+:\\d+)`, 'm').exec(text)?.[1] ?? '';
  };
  const listen = { ssh: addressOf('ssh'), https: addressOf('https') };
  writeFileSync(file, JSON.stringify({ listen, ...settings }, null, 2));
}

/** Types a character every 100 ms into `cat` at the other end, and notes how long each took to come back. */
class Typist {
  readonly #session: Running;
  readonly #sent: number[] = [];
  readonly #timer: NodeJS.Timeout;
  #echoed = 0;
  #worst = 0;

  constructor(session: Running) {
    this.#session = session;
    session.child.stdout?.on('data', (chunk: Buffer) => {
      const now = performance.now();
      for (let i = 0; i < chunk.length; i++) {
        const sent = this.#sent[this.#echoed++];
        if (sent !== undefined) this.#worst = Math.max(this.#worst, now - sent);
      }
    });
    this.#timer = setInterval(() => {
      this.#sent.push(performance.now());
      session.stdin?.write('x');
    }, 100);
  }

  /** The longest wait since this was last asked, those that still wait included. */
  takeWorst(): number {
    const waiting = this.#sent[this.#echoed];
    const worst =
      waiting === undefined ? this.#worst : Math.max(this.#worst, performance.now() - waiting);
    this.#worst = 0;
    return worst;
  }

  get echoed(): number {
    return this.#echoed;
  }

  get alive(): boolean {
    return this.#session.outcome === undefined;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#session.stop();
  }
}

const MAX_EXCESS_MS = 250;
const TRIES = 3;

/** What a canary needs: a gate, a target, and how to reach it through the gate. */
export type CanaryPlace = Pick<HostilePlace, 'gate' | 'target' | 'real'>;

/** Somebody who types through the gate, and somebody who types directly. */
export class Canary {
  readonly #place: CanaryPlace;
  readonly #through: Typist;
  readonly #direct: Typist;

  private constructor(place: CanaryPlace, through: Typist, direct: Typist) {
    this.#place = place;
    this.#through = through;
    this.#direct = direct;
  }

  static async start(scope: Scope, place: CanaryPlace): Promise<Canary> {
    const type = (to: Endpoint): Typist => new Typist(startSsh(scope, to, 'cat'));
    const canary = new Canary(place, type(place.real), type(place.target.endpoint));
    defer(scope, () => canary.stop());
    await canary.#typesOn();
    return canary;
  }

  async #typesOn(): Promise<void> {
    const from = [this.#through.echoed, this.#direct.echoed];
    await eventually('an echo', () => {
      return this.#through.echoed > (from[0] ?? 0) + 1 && this.#direct.echoed > (from[1] ?? 0) + 1;
    });
    this.#through.takeWorst();
    this.#direct.takeWorst();
  }

  /**
   * Runs a scenario; its peers are let go with the scope it gets. Afterwards the gate is the same process, has as many
   * descriptors as before, has grown by no more than `rssMiB`, and the canary was never held up by `MAX_EXCESS_MS` more
   * than the control. Where others keep the machine busy the gate may wait for its turn though it does nothing wrong: a
   * hold-up counts only if it comes at every try.
   */
  async undisturbed(
    name: string,
    scenario: (of: Scope) => Promise<void>,
    { rssMiB = 48 }: { readonly rssMiB?: number } = {},
  ): Promise<void> {
    for (let left = TRIES - 1; ; left--) {
      const { excess, grown, measured } = await this.#observe(name, scenario);
      const ok = excess < MAX_EXCESS_MS && grown < rssMiB;
      if (!ok && grown < rssMiB && left > 0) {
        console.log(`${name}: ${measured}; once more`);
        continue;
      }
      figure({
        scenario: 'hostile',
        what: name,
        pass: `echo < control + ${MAX_EXCESS_MS} ms, RSS + < ${rssMiB} MiB, no descriptor left`,
        measured,
        ok,
      });
      assert.ok(ok, `${name}: ${measured}`);
      return;
    }
  }

  async #observe(
    name: string,
    scenario: (of: Scope) => Promise<void>,
  ): Promise<{ readonly excess: number; readonly grown: number; readonly measured: string }> {
    const { gate } = this.#place;
    await this.#typesOn();
    const before = { fds: descriptors(gate), rss: rssOf(gate) };
    const peers = new ManualScope();
    try {
      await scenario(peers);
    } finally {
      await peers.end();
    }
    await this.#typesAgain();
    const gap = this.#through.takeWorst();
    const control = this.#direct.takeWorst();
    assert.ok(this.#through.alive, `${name}: the canary's session has ended`);
    await eventually(
      `${name}: as many descriptors as before (${before.fds})`,
      () => descriptors(gate) <= before.fds,
      { ms: 15_000, everyMs: 50 },
    );
    const grown = (rssOf(gate) - before.rss) / 2 ** 20;
    const echo = `echo ${gap.toFixed(0)} ms (control ${control.toFixed(0)})`;
    const measured = `${echo}, RSS + ${grown.toFixed(1)} MiB`;
    return { excess: gap - control, grown, measured };
  }

  async #typesAgain(): Promise<void> {
    const from = this.#through.echoed;
    await eventually('an echo after the scenario', () => this.#through.echoed > from + 1);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#through.stop(), this.#direct.stop()]);
  }
}

/** Open descriptors of the gate's process. */
export function descriptors(gate: Gate): number {
  return readdirSync(`/proc/${gate.pid}/fd`).length;
}

/** Resident bytes of the gate's process. */
export function rssOf(gate: Gate): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${gate.pid}/status`, 'utf8'));
  return Number(match?.[1]) * 1024;
}

/** The largest resident size while something runs, above what it was at the start; in MiB. */
export async function peakGrowth(gate: Gate, during: () => Promise<void>): Promise<number> {
  const start = rssOf(gate);
  let peak = start;
  const timer = setInterval(() => {
    peak = Math.max(peak, rssOf(gate));
  }, 20);
  try {
    await during();
  } finally {
    clearInterval(timer);
  }
  return (Math.max(peak, rssOf(gate)) - start) / 2 ** 20;
}
