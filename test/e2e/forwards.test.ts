/**
 * P7 and P8 for forwards: what OpenSSH's -L, -R, -D and -W do directly they do through the gate, each channel in a trail
 * and a row of its own.
 */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { before, after, suite, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { check } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh, sshCommand, sshEnv, startSsh } from '../support/ssh-client.ts';
import { run } from '../support/process.ts';
import { tempDir } from '../support/tempdir.ts';
import { ALL, ask, channelsOf, startEcho } from './forward-place.ts';

suite('forwards', () => {
  const scope = new ManualScope();
  let site: Site;
  before(async () => {
    site = await startSite(scope, { channels: ALL });
  });
  after(() => scope.end());

  test('-L leads to where it was told, and its row and trail say so', async (t) => {
    const echo = await startEcho(t);
    const port = await freePort(t);
    const flags = [
      '-L',
      `127.0.0.1:${port}:127.0.0.1:${echo.port}`,
      '-o',
      'ExitOnForwardFailure=yes',
    ];
    const session = startSsh(t, site.to, 'echo up; cat', { flags });
    await session.line(/^up$/);
    assert.equal(await ask({ port }, ['hello ', 'there']), 'HELLO THERE');
    assert.equal(echo.received().toString(), 'hello there');
    const channels = await channelsOf(site.gate, (all) => all[1]?.result === 'closed');
    const forward = channels[1];
    assert.equal(forward?.kind, 'local-forward');
    assert.equal(forward.destination, `127.0.0.1:${echo.port}`);
    assert.match(forward.originator, /^127\.0\.0\.1:\d+$/);
    assert.equal(forward.protocol, 'other');
    assert.deepEqual([forward.bytes_in, forward.bytes_out], [11, 11]);
    const stdin = ['trail', 'export', '--format', 'raw-stdin', 'newest', '1'] as const;
    assert.equal(await site.gate.text([...stdin]), 'hello there');
    const shown = await site.gate.text(['trail', 'show', 'newest']);
    assert.match(shown, new RegExp(`local-forward to 127\\.0\\.0\\.1:${echo.port} from 127`));
    assert.match(shown, /channel 1 {2}carries other/);
    session.stdin?.end();
    await session.exited;
  });

  test('-R listens at the target, port 0 is learned, and cancel ends it', async (t) => {
    const echo = await startEcho(t);
    const path = join(tempDir(t), 'control');
    const flags = ['-M', '-S', path, '-R', `127.0.0.1:0:127.0.0.1:${echo.port}`];
    const session = startSsh(t, site.to, 'echo up; cat', { flags, settings: ['LogLevel=INFO'] });
    await session.line(/^up$/);
    const [, text] = await session.line(/Allocated port (\d+) for remote forward/);
    const port = Number(text);
    assert.equal(await ask({ port }, ['from the target']), 'FROM THE TARGET');
    const channels = await channelsOf(site.gate, (all) => all[1]?.result === 'closed');
    assert.equal(channels[1]?.kind, 'remote-forward');
    assert.equal(channels[1].destination, `127.0.0.1:${port}`);
    // The client knows it by what it had asked for.
    const cancel = ['-O', 'cancel', '-R', `127.0.0.1:0:127.0.0.1:${echo.port}`];
    await check([...sshCommand(site.to, { flags: ['-S', path, ...cancel] })]);
    await eventually('nobody listens any more', async () => (await ask({ port }, ['x'])) === '');
    const again = ['-O', 'forward', '-R', `127.0.0.1:${port}:127.0.0.1:${echo.port}`];
    await check([...sshCommand(site.to, { flags: ['-S', path, ...again] })]);
    assert.equal(await ask({ port }, ['once more']), 'ONCE MORE');
    session.stdin?.end();
    await session.exited;
    const shown = await site.gate.text(['trail', 'show', 'newest']);
    assert.match(shown, /user: asks the target to listen at 127\.0\.0\.1:0/);
    assert.match(shown, /user: asks the target to listen no more at/);
  });

  test('-D is a forward for each connection, -W one for standard input and output', async (t) => {
    const echo = await startEcho(t);
    const through = { ...site.to };
    const w = sshCommand(through, { flags: ['-W', `127.0.0.1:${echo.port}`] });
    const outcome = await run(w, { env: sshEnv(through), input: 'by W' });
    assert.equal(outcome.stdout.toString(), 'BY W', outcome.stderr.toString());
    const channels = await channelsOf(site.gate, (all) => typeof all[0]?.result === 'string');
    assert.equal(channels[0]?.kind, 'local-forward');
    const port = await freePort(t);
    const session = startSsh(t, site.to, 'echo up; cat', { flags: ['-D', `127.0.0.1:${port}`] });
    await session.line(/^up$/);
    // SOCKS5 without login; CONNECT to 127.0.0.1 (RFC 1928).
    const hello = Buffer.from([5, 1, 0]);
    const head = Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, echo.port >> 8, echo.port & 255]);
    const answer = await ask({ port }, [hello, 2, head, 12, 'by D']);
    assert.ok(answer.endsWith('BY D'), JSON.stringify(answer));
    session.stdin?.end();
    await session.exited;
  });

  test('Unix sockets lead both ways', async (t) => {
    const dir = tempDir(t);
    chmodSync(dir, 0o777);
    const [there, here, back] = ['there', 'here', 'back'].map((name) => join(dir, name));
    assert.ok(there !== undefined && here !== undefined && back !== undefined);
    await startEcho(t, there);
    chmodSync(there, 0o777);
    const echo = await startEcho(t);
    const flags = ['-L', `${here}:${there}`, '-R', `${back}:127.0.0.1:${echo.port}`];
    const session = startSsh(t, site.to, 'echo up; cat', { flags });
    await session.line(/^up$/);
    assert.equal(await ask({ path: here }, ['up']), 'UP');
    assert.equal(await ask({ path: back }, ['down']), 'DOWN');
    const channels = await channelsOf(site.gate, (all) => all[2]?.result === 'closed');
    assert.deepEqual(
      channels.slice(1).map(({ kind, destination }) => [kind, destination]),
      [
        ['streamlocal', there],
        ['streamlocal', back],
      ],
    );
    session.stdin?.end();
    await session.exited;
  });

  test('what cannot be reached fails as it does directly', async (t) => {
    const port = await freePort(t);
    const flags = ['-W', `127.0.0.1:${port}`];
    const [through, direct] = await Promise.all(
      [site.to, site.target.endpoint].map((to) =>
        run(sshCommand(to, { flags }), { env: sshEnv(to) }),
      ),
    );
    assert.equal(through?.code, direct?.code);
    assert.equal(through?.stderr.toString(), direct?.stderr.toString());
  });

  test('100 connections at once through one forward', async (t) => {
    const echo = await startEcho(t);
    const port = await freePort(t);
    const flags = ['-L', `127.0.0.1:${port}:127.0.0.1:${echo.port}`];
    const session = startSsh(t, site.to, 'echo up; cat', { flags });
    await session.line(/^up$/);
    // 64 may be open at a time (limits.forwards); more are refused, not lost track of.
    const some = Array.from({ length: 50 }, (_, i) => ask({ port }, [`number ${i}`]));
    for (const [i, answer] of (await Promise.all(some)).entries()) {
      assert.equal(answer, `NUMBER ${i}`);
    }
    const more = Array.from({ length: 50 }, (_, i) => ask({ port }, [`number ${i}`]));
    assert.equal((await Promise.all(more)).filter((answer) => answer !== '').length, 50);
    session.stdin?.end();
    await session.exited;
  });

  test('the session goes on without a forward that no rule names', async (t) => {
    const bare = await startSite(t);
    const echo = await startEcho(t);
    const port = await freePort(t);
    const flags = [
      ...['-L', `127.0.0.1:${port}:127.0.0.1:${echo.port}`],
      ...['-R', `127.0.0.1:0:127.0.0.1:${echo.port}`, '-A', '-X'],
    ];
    const session = startSsh(t, bare.to, 'echo up; cat', { flags });
    await session.line(/^up$/);
    assert.equal(await ask({ port }, ['x']), '');
    session.stdin?.end();
    assert.equal((await session.exited).code, 0);
    assert.equal(echo.connections(), 0);
    const shown = await bare.gate.text(['trail', 'show', 'newest']);
    assert.match(shown, /opens a direct-tcpip channel to .* \(refused by the gate\)/);
    assert.match(shown, /asks the target to listen at .* \(refused by the gate\)/);
    assert.match(shown, /no rule allows local-forward/);
    assert.equal((await ssh(bare.to, 'echo still')).stdout.toString(), 'still\n');
  });
});
