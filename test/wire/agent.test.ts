/**
 * The agent protocol is told as it was spoken: conversations of OpenSSH's own programs with a real ssh-agent, in any
 * split; and no stream, whatever is in it, makes the decoder throw, grow or say anything secret.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentDecoder } from '../../src/wire/agent.ts';
import type { AgentEvent } from '../../src/wire/agent.ts';
import { AGENT } from '../../src/wire/agent-messages.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { fingerprint, parseAuthorizedKey } from '../../src/wire/publickey.ts';
import { startAgent } from '../support/agent.ts';
import type { Said } from '../support/agent.ts';
import { makeKey } from '../support/keys.ts';
import type { KeyPair, KeyType } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { check, run } from '../support/process.ts';
import { rounds, seeded } from '../support/scale.ts';
import { ssh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';

/** All that a decoder tells of a conversation, each piece of which is cut as `cut` says. */
function told(said: readonly Said[], cut: (bytes: Buffer) => Buffer[] = (b) => [b]): AgentEvent[] {
  const decoder = new AgentDecoder();
  const events = said.flatMap(({ byAgent, bytes }) =>
    cut(bytes).flatMap((piece) => (byAgent ? decoder.answered(piece) : decoder.asked(piece))),
  );
  return [...events, ...decoder.end()];
}

function inPieces(bytes: Buffer, length: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length));
  return pieces;
}

function frame(number: number, fill: (writer: Writer) => Writer = (writer) => writer): Buffer {
  return new Writer().string(fill(new Writer().uint8(number)).done()).done();
}

function nameOf(key: KeyPair): string {
  return fingerprint(parseAuthorizedKey(key.publicLine).blob);
}

/** Events of one kind, as loose objects that can be looked into. */
function having(events: readonly AgentEvent[], field: string, value: string): Loose[] {
  return (events as unknown as Loose[]).filter((event) => event[field] === value);
}
type Loose = Record<string, unknown>;

test('keys of every type are listed, added and removed under the names of ssh-add', async (t) => {
  const agent = await startAgent(t);
  const env = { ...process.env, SSH_AUTH_SOCK: agent.socket };
  const types: KeyType[] = ['ed25519', 'ecdsa', 'rsa'];
  const keys = await Promise.all(types.map((type) => makeKey(t, type)));
  for (const key of keys) await check(['ssh-add', '-q', '-t', '3600', '-c', key.path], { env });
  const listed = await run(['ssh-add', '-l'], { env });
  await check(['ssh-add', '-q', '-d', keys[0]?.path ?? ''], { env });
  await check(['ssh-add', '-q', '-D'], { env });
  const events = agent.conversations.flatMap((said) => told(said));

  const added = having(events, 'request', 'add');
  assert.deepEqual(
    added.map(({ key, comment, constraints }) => ({ key, comment, constraints })),
    keys.map((key) => ({
      key: { type: key.publicLine.split(' ')[0], fingerprint: nameOf(key) },
      comment: key.type,
      constraints: ['lifetime 3600 s', 'confirm'],
    })),
  );
  const [answer] = having(events, 'answer', 'keys').slice(-1);
  const shown = listed.stdout.toString().trim().split('\n');
  assert.deepEqual(
    (answer?.['keys'] as { fingerprint: string }[]).map((key) => key.fingerprint),
    shown.map((line) => line.split(' ')[1]),
  );
  assert.equal(having(events, 'request', 'remove').length, 1);
  assert.equal(having(events, 'request', 'remove-all').length, 1);
  const words = JSON.stringify(events);
  assert.doesNotMatch(words, /undecoded|unanswered/);
});

test('a certificate has the name of its key, whether it is listed or added', async (t) => {
  const agent = await startAgent(t);
  const env = { ...process.env, SSH_AUTH_SOCK: agent.socket };
  const authority = await makeKey(t);
  for (const type of ['ed25519', 'ecdsa', 'rsa'] as const) {
    const key = await makeKey(t, type);
    const sign = ['-q', '-s', authority.path, '-I', 'id', '-n', 'root'] as const;
    await check(['ssh-keygen', ...sign, `${key.path}.pub`]);
    await check(['ssh-add', '-q', key.path], { env });
    await check(['ssh-add', '-l'], { env });
    const events = agent.conversations.splice(0).flatMap((said) => told(said));
    const names = having(events, 'request', 'add').map((event) => event['key'] as Loose);
    assert.deepEqual(
      names.map((name) => name['fingerprint']),
      [nameOf(key), nameOf(key)],
    );
    assert.match(String(names[1]?.['type']), /-cert-v01@openssh\.com$/);
    const [answer] = having(events, 'answer', 'keys').slice(-1);
    const last = (answer?.['keys'] as Loose[]).slice(-2);
    assert.deepEqual(
      last.map((name) => name['fingerprint']),
      [nameOf(key), nameOf(key)],
    );
  }
});

test('a signature says which key signed what for whom', { skip: !hasOpenSsh() }, async (t) => {
  const agent = await startAgent(t);
  const env = { ...process.env, SSH_AUTH_SOCK: agent.socket };
  const target = await startOpenSsh(t);
  await check(['ssh-add', '-q', target.key.path], { env });
  agent.conversations.length = 0;
  const { host: address, port, user: login } = target.endpoint;
  const keyless = { host: address, port, user: login };
  const settings = [`IdentityAgent=${agent.socket}`, 'IdentitiesOnly=no'];
  assert.equal((await ssh(keyless, 'true', { settings })).code, 0);
  const folder = tempDir(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'content');
  await check(
    ['ssh-keygen', '-q', '-Y', 'sign', '-n', 'git', '-f', `${target.key.path}.pub`, file],
    {
      env,
    },
  );
  const events = agent.conversations.flatMap((said) => told(said));
  const [signed, data] = having(events, 'answer', 'signature');
  const asked = signed?.['to'] as { key: Loose; signs: Loose };
  assert.equal(asked.key['fingerprint'], nameOf(target.key));
  assert.equal(signed?.['comment'], 'ed25519');
  const { purpose, user, service, host } = asked.signs;
  assert.deepEqual(
    { purpose, user, service },
    {
      purpose: 'login',
      user: target.user,
      service: 'ssh-connection',
    },
  );
  assert.ok(
    target.hostKeys.map(nameOf).includes(String(host)),
    'not the host that was logged in to',
  );
  const signs = (data?.['to'] as { signs: Loose }).signs;
  assert.deepEqual(signs, { purpose: 'sshsig', namespace: 'git', hash: 'sha512' });
});

test('any split tells the same, down to single bytes', async (t) => {
  const agent = await startAgent(t);
  const env = { ...process.env, SSH_AUTH_SOCK: agent.socket };
  const key = await makeKey(t, 'rsa');
  await check(['ssh-add', '-q', key.path], { env });
  await check(['ssh-add', '-l'], { env });
  const said = agent.conversations.flat();
  const whole = told(said);
  assert.ok(whole.length >= 4);
  for (const length of [1, 2, 3, 5, 7, 1000]) {
    assert.deepEqual(
      told(said, (bytes) => inPieces(bytes, length)),
      whole,
    );
  }
});

test('a login without a word of its host is one to the host that its session was bound to', () => {
  const host = new Writer().string('ssh-ed25519').string(Buffer.alloc(32, 1)).done();
  const key = new Writer().string('ssh-ed25519').string(Buffer.alloc(32, 2)).done();
  const session = Buffer.alloc(32, 3);
  const bind = frame(AGENT.extension, (w) =>
    w.string('session-bind@openssh.com').string(host).string(session).string('').boolean(true),
  );
  const data = (id: Buffer): Buffer =>
    new Writer()
      .string(id)
      .uint8(50)
      .string('bob')
      .string('ssh-connection')
      .string('publickey')
      .boolean(true)
      .string('ssh-ed25519')
      .string(key)
      .done();
  const sign = (id: Buffer): Buffer =>
    frame(AGENT.signRequest, (w) => w.string(key).string(data(id)).uint32(0));
  const decoder = new AgentDecoder();
  assert.deepEqual(decoder.asked(bind), [
    {
      request: 'session-bind',
      host: fingerprint(host),
      session: session.toString('hex'),
      forwarded: true,
    },
  ]);
  const before = decoder.asked(sign(session)) as unknown as { signs: Loose }[];
  assert.equal(before[0]?.signs['host'], undefined, 'bound before the agent has agreed');
  decoder.answered(frame(AGENT.success));
  const [bound] = decoder.asked(sign(session)) as unknown as { signs: Loose }[];
  assert.equal(bound?.signs['host'], fingerprint(host));
  assert.equal(bound.signs['user'], 'bob');
  const [other] = decoder.asked(sign(Buffer.alloc(32, 4))) as unknown as { signs: Loose }[];
  assert.equal(other?.signs['host'], undefined);
  assert.equal(decoder.end().length, 3);
});

test('unknown messages and contents are kept by number and size, and the rest goes on', () => {
  const decoder = new AgentDecoder();
  const [unknown] = decoder.asked(frame(77, (w) => w.bytes(Buffer.alloc(9))));
  assert.deepEqual(unknown, { request: 'unknown', message: 77, bytes: 9 });
  const [bad] = decoder.asked(frame(AGENT.signRequest, (w) => w.uint32(0xffffffff)));
  assert.equal((bad as unknown as Loose)['request'], 'undecoded');
  const [lock] = decoder.asked(frame(AGENT.lock, (w) => w.string('hunter2')));
  assert.deepEqual(lock, { request: 'lock' });
  const [answer] = decoder.answered(frame(200, (w) => w.uint32(1)));
  assert.deepEqual(answer, { answer: 'unknown', message: 200, bytes: 4, to: unknown });
  decoder.answered(frame(AGENT.failure));
  assert.deepEqual(decoder.answered(frame(AGENT.success)), [{ answer: 'success', to: lock }]);
  assert.deepEqual(decoder.end(), []);
});

test('what is no agent protocol ends the decoding with one word, and costs nothing', () => {
  const hostile: [string, (decoder: AgentDecoder) => AgentEvent[]][] = [
    ['an answer to nothing', (d) => d.answered(frame(AGENT.success))],
    ['no message', (d) => d.asked(Buffer.alloc(4))],
    ['a message of 4 GiB', (d) => d.asked(Buffer.alloc(64, 0xff))],
    ['256 KiB and a byte', (d) => d.answered(new Writer().uint32(256 * 1024 + 1).done())],
    ['65 requests', (d) => d.asked(Buffer.concat(Array(65).fill(frame(AGENT.requestIdentities))))],
  ];
  for (const [what, feed] of hostile) {
    const decoder = new AgentDecoder();
    const events = feed(decoder);
    assert.equal(events.filter((event) => 'undecoded' in event).length, 1, what);
    assert.equal(decoder.isDecoding, false);
    assert.deepEqual(decoder.asked(frame(AGENT.requestIdentities)), [], what);
    assert.deepEqual(decoder.end(), [], what);
  }
});

test('nothing private is in an event, nor anything that acts on a terminal', () => {
  const secret = 'PRIVATE-PRIVATE';
  const decoder = new AgentDecoder();
  const add = frame(AGENT.addConstrained, (w) =>
    w
      .string('ssh-ed25519')
      .string(Buffer.alloc(32, 1))
      .string(secret)
      .string('a\x1b]52;c;x\x07\n\u202e')
      .uint8(255)
      .string('x@example.com')
      .string(secret),
  );
  const token = frame(AGENT.addToken, (w) => w.string('/usr/lib/p11.so').string(secret));
  const lock = frame(AGENT.unlock, (w) => w.string(secret));
  const text = JSON.stringify(decoder.asked(Buffer.concat([add, token, lock])));
  assert.match(text, /x@example\.com/);
  assert.match(text, /p11\.so/);
  assert.ok(!text.includes('PRIVATE'));
  assert.doesNotMatch(text, /[\u0000-\u001f\u007f-\u009f\u202e]|\\u00/);
});

const piece = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => new Writer().string(Buffer.from(bytes)).done()),
  fc.constantFrom(0, 1, 5, 0x7fffffff, 0xffffffff).map((n) => new Writer().uint32(n).done()),
  fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
);
const message = fc
  .tuple(fc.constantFrom(...Object.values(AGENT), 0, 1, 99, 255), fc.array(piece, { maxLength: 8 }))
  .map(([number, parts]) => frame(number, (w) => w.bytes(Buffer.concat(parts))));

test('any messages in any split give events and no error, the same in every split', () => {
  const stream = fc.array(fc.record({ byAgent: fc.boolean(), bytes: message }), { maxLength: 12 });
  fc.assert(
    fc.property(stream, fc.integer({ min: 1, max: 64 }), (said, length) => {
      assert.deepEqual(
        told(said, (bytes) => inPieces(bytes, length)),
        told(said),
      );
    }),
    { numRuns: 1_000 },
  );
});

test('mutated conversations never throw, and hold no more than a message', async (t) => {
  const agent = await startAgent(t);
  const env = { ...process.env, SSH_AUTH_SOCK: agent.socket };
  const key = await makeKey(t);
  await check(['ssh-add', '-q', '-t', '60', key.path], { env });
  await check(['ssh-add', '-l'], { env });
  const said = agent.conversations.flat();
  const random = seeded('mutated agent conversations');
  for (let round = rounds(300_000, 2_000); round > 0; round--) {
    const decoder = new AgentDecoder();
    let undecoded = 0;
    for (const { byAgent, bytes } of said) {
      const mutated = Buffer.from(bytes);
      for (let n = random.int(0, 3); n > 0 && mutated.length > 0; n--) {
        mutated[random.int(0, mutated.length - 1)] = random.pick([
          0,
          1,
          0x7f,
          0xff,
          random.int(0, 255),
        ]);
      }
      const events = inPieces(mutated, random.pick([1, 3, 64, 1 << 20])).flatMap((part) =>
        byAgent ? decoder.answered(part) : decoder.asked(part),
      );
      undecoded += events.filter((event) => 'undecoded' in event).length;
    }
    undecoded += decoder.end().filter((event) => 'undecoded' in event).length;
    assert.ok(undecoded <= 1);
  }
});

test('a stream of one unfinished message keeps what came and no more', () => {
  const decoder = new AgentDecoder();
  decoder.asked(new Writer().uint32(256 * 1024).done());
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200_000; i++) decoder.asked(Buffer.from([13]));
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024);
  assert.equal(decoder.isDecoding, true);
});
