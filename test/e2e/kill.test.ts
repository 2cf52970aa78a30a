/**
 * P1, P2 and P3, proof 3: record before deliver. The gate is killed (-9) at random moments under shells, bulk output and
 * bulk input. Whatever the user's client or the target's program received by then must be in the trail; every trail
 * verifies; after the restart no row says that a session still runs.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { figure } from '../support/figure.ts';
import { descendants, hasOpenSsh } from '../support/openssh.ts';
import type { Running } from '../support/process.ts';
import { rounds, seeded } from '../support/scale.ts';
import type { Random } from '../support/scale.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { startSsh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import type { Scope } from '../support/scope.ts';
import { exported, storageOf, verdictsOn } from '../support/trail-files.ts';

const BULK = 32 << 20;
const ROUNDS = rounds(100, 8);

/** What both sides had when the gate died. */
interface Received {
  /** By each user's client. */
  readonly client: Readonly<Record<Session, Buffer>>;
  /** By the program at the target that takes the bulk input. */
  readonly target: Buffer;
}

/** The three sessions of a round are told apart by the form of their login name. */
const SESSIONS = { output: '@', input: '%', shell: ':' } as const;
type Session = keyof typeof SESSIONS;
const NAMES = Object.keys(SESSIONS) as readonly Session[];

function loginName(site: Site, session: Session): string {
  return ['alice', site.target.user, 'db1'].join(SESSIONS[session]);
}

/** Types a line whenever the one before has been answered. */
function converse(shell: Running): { answered: () => number } {
  let asked = 0;
  const answered = (): number => shell.stdout.toString().split('\n').length - 1;
  const ask = (): void => {
    if (answered() < asked) return;
    asked++;
    shell.stdin?.write(`echo answer ${asked}\n`);
  };
  shell.child.stdout?.on('data', ask);
  ask();
  return { answered };
}

/** Waits for the moment to kill: by the clock, by bytes that arrived at either side, or by lines of the shell. */
async function moment(
  random: Random,
  sizes: { output: () => number; input: () => number; lines: () => number },
): Promise<string> {
  const kind = random.pick(['clock', 'output', 'input', 'lines'] as const);
  if (kind === 'clock') {
    const ms = random.int(0, 600);
    await delay(ms);
    return `${ms} ms after the start`;
  }
  const least = kind === 'lines' ? random.int(1, 150) : random.int(1, BULK - (1 << 20));
  const size = sizes[kind];
  await eventually(`${least} of ${kind}`, () => size() >= least, { everyMs: 1, ms: 60_000 });
  return `${least} of ${kind}`;
}

/** Starts the three sessions, kills the gate at a random moment, and waits until both sides have ended. */
async function runAndKill(scope: Scope, site: Site, file: string, random: Random) {
  const { gate, target } = site;
  const to = (session: Session) => site.as(loginName(site, session));
  const clients: Record<Session, Running> = {
    output: startSsh(scope, to('output'), `head -c ${BULK} /dev/urandom; exec cat`),
    input: startSsh(scope, to('input'), `exec cat > ${file}`),
    shell: startSsh(scope, to('shell')),
  };
  let received = 0;
  clients.output.child.stdout?.on('data', (chunk: Buffer) => (received += chunk.length));
  clients.input.stdin?.write(random.bytes(BULK));
  const { answered } = converse(clients.shell);
  const when = await moment(random, {
    output: () => received,
    input: () => (existsSync(file) ? statSync(file).size : 0),
    lines: answered,
  });
  await gate.kill9();
  for (const client of Object.values(clients)) await client.exited;
  await eventually('the sessions at the target end', () => descendants(target.pid).length === 0);
  const client = {
    output: clients.output.stdout,
    input: clients.input.stdout,
    shell: clients.shell.stdout,
  };
  const taken = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  rmSync(file, { force: true });
  return { when, received: { client, target: taken } satisfies Received };
}

/** How many of the bytes somebody received are not where the trail should have them. */
function missing(delivered: Buffer, recorded: Buffer): number {
  const recordedPart = recorded.subarray(0, delivered.length);
  if (delivered.subarray(0, recordedPart.length).equals(recordedPart)) {
    return delivered.length - recordedPart.length;
  }
  return delivered.length;
}

suite('kill', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const timeout = 120_000 + ROUNDS * 60_000;
  test('what anybody received is in the trail after kill -9', { timeout }, async (t) => {
    const random = seeded('kill');
    const site = await startSite(t);
    const { gate } = site;
    const drop = tempDir(t);
    chmodSync(drop, 0o777);
    const seen = new Set<string>();
    const sum = { delivered: 0, missing: 0, trails: 0, unverified: 0, running: 0, rowless: 0 };
    const faults: string[] = [];

    for (let round = 0; round < ROUNDS; round++) {
      const file = join(drop, `round-${round}`);
      const { when, received } = await runAndKill(t, site, file, random);
      const fault = (text: string): void => {
        faults.push(`round ${round}, killed at ${when}: ${text}`);
      };
      await gate.serve();
      const rows = (await gate.connections()).filter(({ id }) => !seen.has(String(id)));
      for (const { id, status, reason } of rows) {
        seen.add(String(id));
        if (status === 'CONNECTED') sum.running++;
        if (status === 'CONNECTED' || typeof reason !== 'string' || reason === '') {
          fault(`the row of ${String(id)} is ${String(status)}, reason ${String(reason)}`);
        }
        for (const report of await verdictsOn(gate.dir, String(id))) {
          sum.trails++;
          if (report.state === 'recovered' || report.state === 'complete') continue;
          sum.unverified++;
          fault(`${report.path} is ${report.state}: ${report.reason}`);
        }
      }
      for (const name of NAMES) {
        const row = rows.find((one) => one['login_name'] === loginName(site, name));
        const stream = async (format: string): Promise<Buffer> => {
          const storage = storageOf(gate.dir);
          const id = String(row?.['id']);
          const there = row !== undefined && (await storage.channels(id)).includes(0);
          return there ? exported(storage.channelPath(id, 0), format) : Buffer.alloc(0);
        };
        const check = (what: string, delivered: Buffer, recorded: Buffer): void => {
          const lost = missing(delivered, recorded);
          sum.delivered += delivered.length;
          sum.missing += lost;
          if (lost > 0) fault(`${lost} of ${delivered.length} bytes are missing: ${what}`);
        };
        const output = received.client[name];
        check(`${name}, received by the client`, output, await stream('raw-stdout'));
        if (name === 'input') {
          check('input, received by the target', received.target, await stream('raw-stdin'));
        }
        if (name === 'shell') {
          const lines = output.toString().split('\n').length - 1;
          const typed = Array.from({ length: lines }, (_, at) => `echo answer ${at + 1}\n`).join(
            '',
          );
          check('shell, answered by the target', Buffer.from(typed), await stream('raw-stdin'));
        }
        if (row === undefined && output.length > 0) sum.rowless++;
        if (Number(row?.['bytes_out'] ?? 0) < output.length) {
          fault(`the row of ${name} says ${String(row?.['bytes_out'])} bytes out`);
        }
      }
    }

    const note = (what: string, pass: string, measured: number, of: string): void =>
      figure({
        scenario: 'kill',
        what,
        pass,
        measured: `${measured} of ${of}`,
        ok: measured === 0,
      });
    note(
      `bytes received but not recorded, ${ROUNDS} kills`,
      '0',
      sum.missing,
      `${sum.delivered} bytes`,
    );
    note('trails that do not verify', '0', sum.unverified, `${sum.trails} trails`);
    note('sessions "running" after the restart', '0', sum.running, `${seen.size} sessions`);
    assert.deepEqual(faults, []);
    assert.equal(sum.rowless, 0, 'somebody was served without a row');
    assert.ok(sum.delivered > 0, 'nothing was ever delivered: the test proves nothing');
    await gate.stop();
    const verdict = await gate.cli(['trail', 'verify'], { timeoutMs: 600_000 });
    assert.equal(verdict.code, 0, verdict.stderr.toString());
  });
});
