/**
 * Logins to the API and over SSH are one thing to a gate: whoever fails at one is refused at both, and neither what is
 * answered nor how long it takes tells whether it was the password or the user.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { suite, test } from 'node:test';
import { MSG } from '../../src/wire/messages.ts';
import { ADMIN_PASSWORD, startApiGate } from '../support/api-gate.ts';
import type { ApiGate } from '../support/api-gate.ts';
import { eventually } from '../support/eventually.ts';
import { assertAlike } from '../support/alike.ts';
import { makeKey } from '../support/keys.ts';
import { askService, exchangeRaw, passwordRequest } from '../support/raw-client.ts';
import { rounds, seeded } from '../support/scale.ts';
import { withSettings } from '../support/settings.ts';
import { median } from '../support/statistics.ts';

const PASSWORD = 'correct horse';

/** One failure is enough, and loopback gets penalties too. */
const STRICT = withSettings({
  penalties: { exempt: [], authfail_s: 600, noauth_s: 0, refuseconnection_s: 0 },
  passwords: { memory_kib: 8192, passes: 1 },
});

/** What a gate says to somebody who connects to its SSH port, up to the end. */
async function firstWords({ gate }: ApiGate): Promise<string> {
  const socket = connect(gate.sshPort, '127.0.0.1');
  const pieces: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (piece: Buffer) => {
    pieces.push(piece);
    socket.destroy();
  });
  await once(socket, 'close');
  return Buffer.concat(pieces).toString();
}

suite('throttling of logins', () => {
  test('who fails at the API is refused there and by SSH, whatever headers say', async (t) => {
    const place = await startApiGate(t, { configure: STRICT });
    const logged = await place.admin();
    assert.match(await firstWords(place), /^SSH-2\.0-/);
    assert.equal((await place.client().login('admin', 'wrong')).status, 401);
    for (const headers of [{}, { 'X-Forwarded-For': '6.6.6.6', 'X-Real-IP': '6.6.6.6' }]) {
      const right = Buffer.from(`admin:${ADMIN_PASSWORD}`).toString('base64');
      const sent = { headers: { Authorization: `Basic ${right}`, ...headers } };
      const { status, json, headers: got } = await place.client().get('/api/authentication', sent);
      assert.equal(status, 429);
      assert.equal(json['error']?.['type'], 'TooManyRequests');
      assert.equal(got['set-cookie'], undefined);
    }
    assert.equal(await firstWords(place), '');
    // Who has logged in before is not put out by what others do from his address.
    assert.equal((await logged.get('/api')).status, 200);
  });

  test('who fails by SSH is refused at the API', async (t) => {
    const place = await startApiGate(t, { configure: STRICT });
    await place.admin();
    const peer = await exchangeRaw(t, { host: '127.0.0.1', port: place.gate.sshPort });
    await askService(peer);
    peer.send(passwordRequest('admin', 'wrong'));
    await peer.next(MSG.userauthFailure);
    peer.destroy();
    await eventually('the penalty', async () => {
      const { status } = await place.client().login('admin', ADMIN_PASSWORD);
      return status === 429;
    });
  });

  test('a failure looks alike and takes alike', { timeout: 1_200_000 }, async (t) => {
    const each = rounds(100, 16);
    const tries = 3;
    const random = seeded('login times over the API');
    const kinds = ['password', 'unknown', 'disabled', 'expired', 'key-only'] as const;
    const every = Array.from({ length: each }, (_, at) => at);
    const { publicLine } = await makeKey(t);
    const users = every.flatMap((at) => [
      { name: `password-${at}`, password: PASSWORD },
      { name: `disabled-${at}`, password: PASSWORD, disabled: true },
      { name: `expired-${at}`, password: PASSWORD, expires: '2001-01-01' },
      { name: `key-only-${at}`, keys: [publicLine] },
    ]);
    // 8 MiB and one pass: the comparison is about what is done, not about how long it takes.
    const configure = withSettings({ passwords: { memory_kib: 8192, passes: 1 } });
    const place = await startApiGate(t, { configure, inventory: { users } });
    const queue = kinds.flatMap((kind) => every.map((at) => ({ kind, user: `${kind}-${at}` })));
    const times = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
    const answers = new Set<string>();
    while (queue.length > 0) {
      const [next] = queue.splice(random.int(0, queue.length - 1), 1);
      if (!next) break;
      const own: number[] = [];
      for (let i = 0; i < tries; i++) {
        // Right for those who may not log in all the same; that must not be told either.
        const password = next.kind === 'password' || i > 0 ? 'wrong' : PASSWORD;
        const client = place.client();
        const start = performance.now();
        const { status, headers, bytes } = await client.login(next.user, password);
        own.push(performance.now() - start);
        answers.add(JSON.stringify([status, { ...headers, date: '' }, bytes.toString()]));
      }
      // Each name has a delay of its own, so a name is one value, and many names make a kind.
      times.get(next.kind)?.push(median(own));
    }
    assert.equal(answers.size, 1, [...answers].join('\n'));
    assertAlike(times, 'times of logins over the API');
  });
});
