/**
 * R55, proof 2: keys are renewed every mebibyte by the user's side, the target's and ours, each alone and all at once,
 * while data flows in both directions; what arrives is what was sent, and the trail has all of it.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { MSG } from '../../src/wire/messages.ts';
import { figure } from '../support/figure.ts';
import { inventoryOf, startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { run } from '../support/process.ts';
import { dataMessage, execRaw, loginRaw } from '../support/raw-client.ts';
import { randomFrom, rounds } from '../support/scale.ts';
import type { Scope } from '../support/scope.ts';
import { sshCommand, sshEnv } from '../support/ssh-client.ts';
import type { Endpoint } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { configure } from './hostile-place.ts';

const MIB = 2 ** 20;
const CIPHERS = ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr'] as const;
const MAC = 'hmac-sha2-256-etm@openssh.com';
const WHO = ['user', 'target', 'gate', 'all'] as const;
type Who = (typeof WHO)[number];

/** Renewals of a leg for 32 MiB of data. */
const LEAST = 5;

/** Mebibytes each way. */
const SIZE = rounds(300, 8);

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

interface Place {
  readonly gate: Gate;
  /** The target that speaks nothing but this cipher. */
  readonly at: (cipher: string) => Endpoint;
}

/** A gate with a target for each cipher; keys are renewed every mebibyte by some, the other sides hold on to theirs. */
async function placeOf(scope: Scope, who: Who): Promise<Place> {
  const by = (side: Who): boolean => who === side || who === 'all';
  const hostKeys = [await makeKey(scope)];
  const targets = await Promise.all(
    CIPHERS.map(async (ciphers, index) => {
      const limit = by('target') ? { rekeyLimit: '1M' } : {};
      return {
        name: `t${index}`,
        target: await startOpenSsh(scope, { ciphers, macs: MAC, hostKeys, ...limit }),
      };
    }),
  );
  const key = await makeKey(scope);
  const gate = await startGate(scope, {
    inventory: inventoryOf({ name: 'alice', key }, targets),
    configure: (dir) => {
      const rekey = by('gate') ? { rekey: { bytes: MIB } } : {};
      configure(dir, { log: { level: 'warn' }, ...rekey });
    },
  });
  const [{ target }] = targets as [(typeof targets)[number]];
  return {
    gate,
    at: (cipher) => {
      const name = `t${CIPHERS.findIndex((one) => one === cipher)}`;
      return gate.endpoint(`alice@${target.user}@${name}`, { key: key.path });
    },
  };
}

/** Runs a shell script in which `"$@"` is ssh to this place; the first word of what it prints. */
async function script(to: Endpoint, settings: readonly string[], text: string): Promise<string> {
  const { stdout, stderr, code } = await run(
    ['/bin/bash', '-o', 'pipefail', '-c', text, 'bash', ...sshCommand(to, { settings })],
    { env: sshEnv(to), timeoutMs: rounds(1_200_000, 120_000) },
  );
  assert.equal(code, 0, stderr.toString());
  return stdout.toString().split(' ')[0]?.trim() ?? '';
}

suite('rekey', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  for (const who of WHO) {
    test(
      `keys renewed every mebibyte by ${who}`,
      { timeout: rounds(3_600_000, 290_000) },
      async (t) => {
        const { gate, at } = await placeOf(t, who);
        const file = join(tempDir(t), 'data');
        const bytes = randomFrom(SIZE).bytes(SIZE * MIB);
        writeFileSync(file, bytes);
        const digest = sha256(bytes);
        for (const cipher of CIPHERS) {
          await t.test(cipher, async () => {
            const limit = who === 'user' || who === 'all' ? ['RekeyLimit=1M'] : [];
            const settings = [`Ciphers=${cipher}`, `MACs=${MAC}`, ...limit];
            const started = performance.now();
            // Both directions at once: what goes up comes down again.
            const both = await script(at(cipher), settings, `"$@" cat < '${file}' | sha256sum`);
            const seconds = (performance.now() - started) / 1000;
            const up = await script(at(cipher), settings, `"$@" sha256sum < '${file}'`);
            const ok = both === digest && up === digest;
            figure({
              scenario: 'rekey',
              what: `${cipher}, by ${who}`,
              pass: 'equal, trail complete',
              measured: `${SIZE} MiB there and back in ${seconds.toFixed(1)} s`,
              ok,
            });
            assert.ok(ok, `${both} there and back, ${up} there, not ${digest}`);
            await assertTrail(gate, at(cipher), digest);
          });
        }
      },
    );
  }

  test('the gate renews keys as often as it is told, whichever way the data flows', async (t) => {
    const { at } = await placeOf(t, 'gate');
    const down = await loginRaw(t, at(CIPHERS[0]));
    await execRaw(down, `head -c ${32 * MIB} /dev/zero`, { window: 2 ** 30 });
    await down.next(MSG.channelClose);
    // The two legs take turns, and what is under way meanwhile counts for neither: fewer than one for each mebibyte.
    assert.ok(down.exchanges > LEAST, `${down.exchanges - 1} renewals for 32 MiB down`);
    const up = await loginRaw(t, at(CIPHERS[0]));
    const channel = await execRaw(up, 'cat > /dev/null');
    let window = MIB;
    for (let sent = 0; sent < 32 * MIB; sent += 32_000, window -= 32_000) {
      while (window < 32_000) {
        const adjust = await up.next(MSG.channelWindowAdjust);
        window += adjust.readUInt32BE(5);
      }
      up.send(dataMessage(channel, Buffer.alloc(32_000)));
    }
    await up.until(() => up.exchanges > LEAST, 'renewals for 32 MiB up');
  });
});

/** The newest connection to this place with a `cat` in it has the bytes both ways in its trail, and verifies. */
async function assertTrail(gate: Gate, to: Endpoint, digest: string): Promise<void> {
  const mine = (await gate.connections()).find((row) => {
    return row['target'] === to.user.split('@')[2] && JSON.stringify(row).includes('"cat"');
  });
  const id = String(mine?.['id']);
  for (const format of ['raw-stdin', 'raw-stdout']) {
    const { stdout } = await gate.cli(['trail', 'export', id, '0', '--format', format]);
    assert.equal(sha256(stdout), digest, `${format} of the trail`);
  }
  await gate.text(['trail', 'verify', id]);
}
