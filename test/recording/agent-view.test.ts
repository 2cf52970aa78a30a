/** The trail of an agent's channel tells what was asked of the agent and what it answered, in jsonl and in words. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { newUuid } from '../../src/base/ids.ts';
import { ChannelTimeline } from '../../src/cli/channel-timeline.ts';
import { TrailStory } from '../../src/cli/trail-story.ts';
import { CODES, DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { exportTrail } from '../../src/recording/export.ts';
import { TrailFile } from '../../src/recording/reader.ts';
import { AGENT } from '../../src/wire/agent-messages.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { fingerprint } from '../../src/wire/publickey.ts';
import { tempDir } from '../support/tempdir.ts';
import { collect, instance, writerAt } from './sample.ts';

const { up, down } = DIRECTION;
const BLOB = new Writer().string('ssh-ed25519').string(Buffer.alloc(32, 2)).done();

function frame(number: number, fill: (writer: Writer) => Writer = (writer) => writer): Buffer {
  return new Writer().string(fill(new Writer().uint8(number)).done()).done();
}

type Step = readonly [kind: number, direction: number, fate: number, code: number, data: Buffer];

/** A channel of the given type, in which the keys are asked for and one signs a login of bob. */
async function channel(t: TestContext, type: string, more: readonly Step[] = []) {
  const path = join(tempDir(t), '0.trail');
  const writer = writerAt(path, {
    header: {
      container: 'channel',
      instance,
      connection: newUuid(Date.now()),
      channel: 0,
      connectionHeader: '0'.repeat(64),
      data: { type, openedBy: 'target' },
    },
  });
  const keys = frame(AGENT.identitiesAnswer, (w) => w.uint32(1).string(BLOB).string('laptop'));
  const login = new Writer().string(Buffer.alloc(32, 3)).uint8(50).string('bob');
  login.string('ssh-connection').string('publickey').boolean(true);
  login.string('ssh-ed25519').string(BLOB);
  const sign = frame(AGENT.signRequest, (w) => w.string(BLOB).string(login.done()).uint32(0));
  const signature = new Writer().string('ssh-ed25519').string(Buffer.alloc(64)).done();
  const steps: Step[] = [
    [KINDS.stdout, down, FATE.passed, 0, frame(AGENT.requestIdentities)],
    [KINDS.stdin, up, FATE.passed, 0, keys.subarray(0, 9)],
    [KINDS.stdin, up, FATE.passed, 0, keys.subarray(9)],
    [KINDS.stdout, down, FATE.withheld, CODES.policy, frame(AGENT.removeAll)],
    [KINDS.stdout, down, FATE.passed, 0, sign],
    [KINDS.stdin, up, FATE.passed, 0, frame(AGENT.signResponse, (w) => w.string(signature))],
    ...more,
  ];
  for (const step of steps) writer.put(...step);
  await writer.close({ reason: 'closed' });
  const file = await TrailFile.open(path);
  t.after(() => file.close());
  return file;
}

async function timeline(file: TrailFile): Promise<string[]> {
  const lines = new ChannelTimeline();
  const told = (await collect(file.records())).flatMap((record) => [...lines.push(record)]);
  return [...told, ...lines.end()].map(({ text }) => text);
}

test('jsonl has what is decoded beside the record that completes it', async (t) => {
  const file = await channel(t, 'auth-agent@openssh.com');
  const text = Buffer.concat(await collect(exportTrail(file, 'jsonl'))).toString();
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { ordinal: number; agent?: Record<string, unknown>[] });
  const told = lines.filter(({ agent }) => agent !== undefined);
  assert.deepEqual(
    told.map(({ ordinal, agent }) => [ordinal, agent?.[0]?.['request'] ?? agent?.[0]?.['answer']]),
    [
      [1, 'list'],
      [3, 'keys'],
      [5, 'sign'],
      [6, 'signature'],
    ],
  );
  const signature = told[3]?.agent?.[0];
  assert.equal(signature?.['comment'], 'laptop');
  const { key, signs } = signature['to'] as Record<string, Record<string, unknown>>;
  assert.equal(key?.['fingerprint'], fingerprint(BLOB));
  assert.equal(signs?.['user'], 'bob');
});

test('trail show says which key signed what for whom in place of the bytes', async (t) => {
  const lines = await timeline(await channel(t, 'auth-agent@openssh.com'));
  const name = `ssh-ed25519 ${fingerprint(BLOB)}`;
  const login = 'login as bob for ssh-connection, session 0303030303030303';
  assert.deepEqual(lines, [
    'to the agent: list your keys',
    `agent: 1 key: ${name} (laptop)`,
    `to the agent: sign with ${name}: ${login}`,
    `agent: signed with ${name} (laptop): ${login}`,
    'end of the trail: closed',
  ]);
  const story = new TrailStory(100);
  for (const record of await collect((await channel(t, 'auth-agent@openssh.com')).records())) {
    story.takeOfChannel(4, record);
  }
  assert.equal(story.events.at(-1)?.text, `channel 4  ${lines[3] ?? ''}`);
});

test('a question of the gate counts, and one without an answer is told at the end', async (t) => {
  const file = await channel(t, 'auth-agent@openssh.com', [
    [KINDS.stdout, down, FATE.made, CODES.leg, frame(AGENT.requestIdentities)],
    [KINDS.stdin, up, FATE.withheld, CODES.leg, frame(AGENT.failure)],
    [KINDS.stdout, down, FATE.passed, 0, frame(AGENT.lock, (w) => w.string('secret'))],
  ]);
  const lines = (await timeline(file)).slice(4);
  assert.deepEqual(lines, [
    'to the agent: list your keys',
    'agent: refused: list your keys',
    'to the agent: lock',
    'agent: no answer to: lock',
    'end of the trail: closed',
  ]);
});

test('where the thread is lost the bytes are shown, and other channels are left alone', async (t) => {
  const file = await channel(t, 'auth-agent@openssh.com', [
    [KINDS.stdout, down, FATE.passed, 0, Buffer.alloc(8, 0xff)],
    [KINDS.stdout, down, FATE.passed, 0, Buffer.from('plain text\n')],
  ]);
  const lines = (await timeline(file)).slice(4);
  assert.match(lines[0] ?? '', /^agent: undecoded from here on: a message of 4294967295 bytes/);
  assert.match(lines.join('\n'), /stdout {2}.*plain text/);
  const other = await timeline(await channel(t, 'session'));
  assert.doesNotMatch(other.join('\n'), /agent/);
});
