/**
 * The user's agent: forwarded where a rule says so (`ssh -A`), for a second hop too, and as the gate's own way in to an
 * account with `agent: true`. Which key signed what stands in the trail.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { AGENT } from '../../src/wire/agent-messages.ts';
import { withSettings } from '../support/settings.ts';
import { startAgent } from '../support/agent.ts';
import { jumpConfig } from '../support/jump.ts';
import { makeKey } from '../support/keys.ts';
import type { KeyPair } from '../support/keys.ts';
import { eventually } from '../support/eventually.ts';
import { check } from '../support/process.ts';
import type { OpenSshOptions } from '../support/openssh.ts';
import { confirmMessage, loginRaw } from '../support/raw-client.ts';
import type { Scope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh, sshInPty } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { MSG } from '../../src/wire/messages.ts';
import { ALL } from './forward-place.ts';

/** The fingerprint that ssh-add shows. */
async function fingerprintOf(key: KeyPair): Promise<string> {
  return (await check(['ssh-keygen', '-lf', `${key.path}.pub`])).split(' ')[1] ?? '';
}

/** An agent with these keys, for `IdentityAgent`, and how often it was asked to sign. */
async function agentWith(
  scope: Scope,
  keys: readonly KeyPair[],
): Promise<{ readonly settings: readonly string[]; readonly signed: () => number }> {
  const { socket, conversations } = await startAgent(scope);
  const env = { ...process.env, SSH_AUTH_SOCK: socket };
  for (const key of keys) await check(['ssh-add', '-q', key.path], { env });
  const asks = (bytes: Buffer): boolean => bytes.length > 5 && bytes[4] === AGENT.signRequest;
  const signed = (): number =>
    conversations.flat().filter(({ byAgent, bytes }) => !byAgent && asks(bytes)).length;
  return { settings: [`IdentityAgent=${socket}`], signed };
}

/** A target whose account is opened with the user's agent alone. */
function agentSite(
  scope: Scope,
  target: OpenSshOptions = {},
  configure: (dir: string) => void = () => undefined,
): Promise<Site> {
  return startSite(scope, {
    target,
    configure,
    inventory: (usual, { user }) => ({
      ...usual,
      targets: (usual.targets ?? []).map((one) => ({
        ...one,
        accounts: [{ name: user, agent: true }],
      })),
    }),
  });
}

suite('agent', () => {
  test('ssh -A: the target lists the keys, a second hop signs with one, the trail tells', async (t) => {
    const site = await startSite(t, { channels: ALL });
    const { target } = site;
    const agent = await agentWith(t, [target.key]);
    const options = { flags: ['-A'], settings: agent.settings };
    const print = await fingerprintOf(target.key);
    const listed = await ssh(site.to, 'ssh-add -l', options);
    assert.ok(listed.stdout.toString().includes(print), String(listed.stderr));
    const hop =
      `ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR ` +
      `-o IdentityFile=none -p ${target.port} ${target.user}@127.0.0.1 echo second hop`;
    const second = await ssh(site.to, hop, options);
    assert.equal(second.stdout.toString(), 'second hop\n', String(second.stderr));
    const shown = await site.gate.text(['trail', 'show', 'newest', '1']);
    assert.match(shown, /sign/);
    assert.ok(shown.includes(print), shown);
    const without = await startSite(t, { channels: ['exec'] });
    const refused = await ssh(without.to, 'ssh-add -l', options);
    assert.equal(refused.code, 2, 'no agent at the target');
    assert.match(
      await without.gate.text(['trail', 'show', 'newest']),
      /offers the agent \(refused by the gate\)/,
    );
  });

  test('agent: true opens the target with a key of the agent, among others it does not take', async (t) => {
    const site = await agentSite(t);
    const { target } = site;
    const others = [await makeKey(t), await makeKey(t, 'rsa'), target.key];
    const agent = await agentWith(t, others);
    const options = { flags: ['-A'], settings: agent.settings };
    const { stdout, stderr } = await ssh(site.to, 'echo in; cat', { ...options, input: 'bytes' });
    assert.equal(stdout.toString(), 'in\nbytes', String(stderr));
    const print = await fingerprintOf(target.key);
    const shown = await site.gate.text(['trail', 'show', 'newest']);
    assert.ok(shown.includes(`agent signed, key ${print}`), shown);
    const channel = await site.gate.text(['trail', 'show', 'newest', '0']);
    assert.ok(channel.includes(print), channel);
    assert.match(await site.gate.text(['trail', 'verify', 'newest']), /good: \d complete/);
    // It was asked for one signature: the target had said which key it takes.
    assert.equal(agent.signed(), 1);
  });

  test('an rsa key signs with SHA-2; a key that the target does not take never signs', async (t) => {
    const key = await makeKey(t, 'rsa');
    const files = tempDir(t);
    chmodSync(files, 0o755);
    const authorized = join(files, 'authorized_keys');
    writeFileSync(authorized, `${key.publicLine}\n`, { mode: 0o644 });
    const site = await agentSite(t, { config: [`AuthorizedKeysFile ${authorized}`] });
    const agent = await agentWith(t, [key]);
    const options = { flags: ['-A'], settings: agent.settings };
    const { stdout, stderr } = await ssh(site.to, 'echo in', options);
    assert.equal(stdout.toString(), 'in\n', String(stderr));
    assert.match(await site.gate.text(['trail', 'show', 'newest']), /algorithm rsa-sha2-512/);
    const stranger = await agentWith(t, [await makeKey(t)]);
    const refused = await ssh(site.to, 'true', { ...options, settings: stranger.settings });
    assert.equal(refused.code, 255);
    assert.match(refused.stderr.toString(), /takes none of the 1 keys in your agent/);
    assert.equal(stranger.signed(), 0);
  });

  test('agent: true works the same through a jump, where it is the inner ssh that says -A', async (t) => {
    const site = await agentSite(t);
    const { target } = site;
    const agent = await agentWith(t, [await makeKey(t), target.key]);
    const jump = jumpConfig(t, site);
    const offers = agent.settings.flatMap((setting) => ['-o', setting]);
    const { stdout, stderr } = await jump.ssh([...offers, '-A', 'db1', 'echo in; cat'], {
      input: 'bytes',
    });
    assert.equal(stdout.toString(), 'in\nbytes', String(stderr));
    const shown = await site.gate.text(['trail', 'show', 'newest']);
    const print = await fingerprintOf(target.key);
    assert.ok(shown.includes(`agent signed, key ${print}`), shown);
    assert.equal(agent.signed(), 1);
    const without = await jump.ssh(['db1', 'true']);
    assert.equal(without.code, 255);
    assert.match(without.stderr.toString(), /opened with a key of your own agent.*: run ssh -A/);
    assert.equal(agent.signed(), 1);
  });

  test('agent: true works the same from the list, in the channel that showed it', async (t) => {
    const site = await agentSite(t);
    const { target } = site;
    const agent = await agentWith(t, [target.key]);
    const choice = [{ expect: 'to leave: ' }, { send: 'db1\r' }];
    const { stdout, code } = await sshInPty(site.as('alice'), undefined, {
      flags: ['-A'],
      settings: agent.settings,
      steps: [...choice, { send: 'echo in""side; exit 7\r' }, { expect: 'inside' }],
    });
    assert.equal(code, 7, stdout.toString());
    assert.equal(agent.signed(), 1);
    const shown = await site.gate.text(['trail', 'show', 'newest']);
    assert.ok(shown.includes(`agent signed, key ${await fingerprintOf(target.key)}`), shown);
    assert.match(await site.gate.text(['trail', 'verify', 'newest']), /good: \d complete/);
    const without = await sshInPty(site.as('alice'), undefined, { steps: choice });
    assert.equal(without.code, 255);
    assert.match(without.stdout.toString(), /opened with a key of your own agent.*: run ssh -A/);
  });

  test('without -A the user is told what to run', async (t) => {
    const site = await agentSite(t);
    const { code, stderr } = await ssh(site.to, 'true');
    assert.equal(code, 255);
    assert.match(stderr.toString(), /run ssh -A/);
    const empty = await agentWith(t, []);
    const options = { flags: ['-A'], settings: empty.settings };
    assert.match((await ssh(site.to, 'true', options)).stderr.toString(), /run ssh-add/);
  });

  test('a client that says yes and then nothing is given up', async (t) => {
    const site = await agentSite(t, {}, withSettings({ upstream: { agent_s: 1 } }));
    const user = await loginRaw(t, site.to, {});
    const open = await user.next(MSG.channelOpen);
    const number = open.readUInt32BE(5 + 'auth-agent@openssh.com'.length);
    user.send(confirmMessage(number, { sender: 7 }));
    const question = await user.next(MSG.channelData);
    assert.deepEqual(question.subarray(9), Buffer.from([0, 0, 0, 1, 11]));
    await user.next(MSG.channelClose);
    const { text } = await eventually('the reason', async () => {
      const [row] = await site.gate.connections();
      return row?.['status'] === 'DISCONNECTED' && { text: String(row['reason']) };
    });
    assert.match(text, /did not get an answer from its agent in time/);
  });
});
