/**
 * The bypasses of warp-tech/warpgate#950 and gravitational/teleport#1487: a second SSH session through a forward of the
 * first would be one that nobody sees. Refused by default, recorded where a rule allows it.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { freePort } from '../support/free-port.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh, sshCommand, startSsh } from '../support/ssh-client.ts';
import type { Scope } from '../support/scope.ts';
import type { Outcome } from '../support/process.ts';
import { ALL, channelsOf } from './forward-place.ts';

/** A login at the target itself, through a forward of a session at the target: by -L and by -W. */
async function throughEach(t: Scope, site: Site): Promise<Outcome[]> {
  const inner = site.target.endpoint;
  const outcomes: Outcome[] = [];
  const port = await freePort(t);
  const flags = ['-L', `${port}:127.0.0.1:${inner.port}`];
  const session = startSsh(t, site.to, 'echo up; cat', { flags });
  await session.line(/^up$/);
  outcomes.push(await ssh({ ...inner, port }, 'echo nested'));
  session.stdin?.end();
  await session.exited;
  const by = sshCommand(site.to, { flags: ['-W', `127.0.0.1:${inner.port}`] });
  const proxy = by.map((word) => `'${word}'`).join(' ');
  outcomes.push(await ssh(inner, 'echo nested', { settings: [`ProxyCommand=${proxy}`] }));
  return outcomes;
}

suite('nested SSH', () => {
  test('is refused by default, and the trail says so', async (t) => {
    const site = await startSite(t, { channels: ALL });
    for (const { code, stdout } of await throughEach(t, site)) {
      assert.equal(code, 255);
      assert.equal(stdout.length, 0);
    }
    // The target heard of no second client: its idents are those of the gate.
    assert.doesNotMatch(site.target.log(), /Bad protocol|banner exchange: .* invalid/);
    assert.equal(site.target.log().match(/Accepted publickey/g)?.length, 2);
    const channels = await channelsOf(site.gate, (all) => typeof all[0]?.result === 'string');
    assert.equal(channels[0]?.protocol, 'ssh');
    assert.match(String(channels[0].result), /refused: SSH inside a forward/);
    const shown = await site.gate.text(['trail', 'show', 'newest', '0']);
    assert.match(shown, /policy: from (user|target), carries ssh, refused SSH inside a forward/);
  });

  test('is recorded where a rule says nested-ssh', async (t) => {
    const site = await startSite(t, { channels: [...ALL, 'nested-ssh'] });
    for (const { stdout, stderr } of await throughEach(t, site)) {
      assert.equal(stdout.toString(), 'nested\n', stderr.toString());
    }
    const channels = await channelsOf(site.gate, (all) => typeof all[0]?.result === 'string');
    assert.equal(channels[0]?.protocol, 'ssh');
    const stdin = await site.gate.text(['trail', 'export', '--format', 'raw-stdin', 'newest', '0']);
    assert.match(stdin, /^SSH-2\.0-OpenSSH/);
  });
});
