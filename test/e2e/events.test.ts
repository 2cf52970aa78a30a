/**
 * Proof 5: every kind of event that the recorder has is written by a session through the gate and read back as it was,
 * resizes among them. First between two raw peers, whose every message is known; then with a real client and server.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KINDS, kindName } from '../../src/recording/container.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { MSG, encodeOpenFailure } from '../../src/wire/messages.ts';
import { startGate } from '../support/gate.ts';
import type { Gate } from '../support/gate.ts';
import { eventually } from '../support/eventually.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import {
  adjustMessage,
  channelMessage,
  confirmMessage,
  dataMessage,
  globalMessage,
  loginRaw,
  openMessage,
  requestMessage,
} from '../support/raw-client.ts';
import { letIn, startRawTarget } from '../support/raw-target.ts';
import type { RawPeer } from '../support/raw-peer.ts';
import { run } from '../support/process.ts';
import { startSite } from '../support/site.ts';
import { ssh, sshCommand, sshEnv, sshInPty } from '../support/ssh-client.ts';
import { eventsOf, recordsIn, storageOf, trailFiles } from '../support/trail-files.ts';
import type { TrailEvent } from '../support/trail-files.ts';

/** Kinds that nothing writes yet: files come with their decoders, and no message is of an unknown kind so far. */
const NOT_YET = ['file', 'other'];

async function eventsIn(gate: Gate, connection: string, channel: string): Promise<TrailEvent[]> {
  return eventsOf(await gate.text(['trail', 'export', connection, channel, '--format', 'jsonl']));
}

/** Waits until a connection has ended, and returns its row. */
async function endedRow(gate: Gate, at = 0): Promise<Record<string, unknown>> {
  return eventually('the row of an ended connection', async () => {
    const row = (await gate.connections())[at];
    return row !== undefined && row['status'] !== 'CONNECTED' ? row : undefined;
  });
}

const text = (...parts: (string | number)[]): Buffer<ArrayBuffer> => {
  const writer = new Writer();
  for (const part of parts) {
    if (typeof part === 'number') writer.uint32(part);
    else writer.string(part);
  }
  return Buffer.from(writer.done());
};

/** A message as it was sent, and how the trail should have it. */
interface Sent {
  readonly message: Buffer;
  readonly type: keyof typeof KINDS;
  readonly direction: 'up' | 'down';
  readonly fate: 'passed' | 'withheld' | 'made' | 'held';
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** The message is in the events, and nothing about it differs. */
function assertRecorded(events: readonly TrailEvent[], sent: Sent, data = sent.message): void {
  const event = events.find(
    ({ type, direction, data: bytes }) =>
      type === sent.type && direction === sent.direction && bytes === data.toString('base64'),
  );
  const all = events.map((one) => `${one.type} ${one.data}`).join('\n');
  assert.ok(event, `no ${sent.type} with ${data.toString('base64')} in\n${all}`);
  assert.equal(event.fate, sent.fate, `${sent.type} ${data.toString('latin1')}`);
  for (const [name, value] of Object.entries(sent.fields ?? {})) {
    assert.deepEqual(event.fields?.[name], value, `${sent.type}: ${name}`);
  }
}

/** Sends every message with `from` and waits until the other side has the last one that passes. */
async function pass(from: RawPeer, to: RawPeer, sent: readonly Sent[]): Promise<void> {
  for (const { message } of sent) from.send(message);
  for (const { message, fate } of sent) {
    if (fate === 'passed') await to.next(message[0] ?? -1);
  }
}

suite('events', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('each message between two peers is in the trail as it was sent', async (t) => {
    const target = await startRawTarget(t);
    const key = await makeKey(t);
    const gate = await startGate(t, {
      inventory: {
        groups: [{ name: 'all' }],
        users: [{ name: 'alice', keys: [key.publicLine], groups: ['all'] }],
        targets: [
          {
            name: 'raw',
            address: '127.0.0.1',
            port: target.port,
            host_keys: [target.hostKey.line],
            accounts: [{ name: 'root', password: 'x' }],
          },
        ],
        rules: [
          { name: 'r', groups: ['all'], targets: ['raw'], accounts: ['root'], channels: ['exec'] },
        ],
      },
    });

    // The login at the target waits until the open is there, so that it is held.
    const arrived = Promise.withResolvers<() => void>();
    target.behaviour = {
      login: (payload, peer) => {
        if (payload[0] === MSG.userauthRequest) {
          peer.send(
            new Writer().uint8(MSG.userauthBanner).string('hello from below').string('').done(),
          );
          arrived.resolve(() => letIn(payload, peer));
          return true;
        }
        return letIn(payload, peer);
      },
    };
    const down = await loginRaw(t, gate.endpoint('alice@root@raw', { key: key.path }));
    const open = openMessage({ sender: 5, window: 100_000, maxPacket: 30_000 });
    down.send(open);
    const letTargetIn = await arrived.promise;
    letTargetIn();
    const up = await target.next();
    const opened = await up.next(MSG.channelOpen);
    const seenByTarget = opened.readUInt32BE(12);
    const confirm = confirmMessage(seenByTarget, { sender: 9, window: 200_000, maxPacket: 31_000 });
    up.send(confirm);
    const confirmed = await down.next(MSG.channelOpenConfirmation);
    const channel = confirmed.readUInt32BE(5);

    const fromUser: Sent[] = [
      {
        message: requestMessage(channel, 'pty-req', false, text('vt100', 80, 24, 640, 480, '\0')),
        type: 'forward-request',
        direction: 'up',
        fate: 'passed',
        fields: { type: 'pty-req', term: 'vt100', columns: 80, rows: 24, wantReply: false },
      },
      {
        message: requestMessage(channel, 'env', false, text('LANG', 'de_DE.UTF-8')),
        type: 'forward-request',
        direction: 'up',
        fate: 'passed',
        fields: { type: 'env', name: 'LANG', value: 'de_DE.UTF-8' },
      },
      {
        message: requestMessage(channel, 'exec', true, text('ls -l')),
        type: 'forward-request',
        direction: 'up',
        fate: 'passed',
        fields: { type: 'exec', command: 'ls -l', wantReply: true },
      },
      {
        message: requestMessage(channel, 'window-change', false, text(132, 43, 0, 0)),
        type: 'forward-request',
        direction: 'up',
        fate: 'passed',
        fields: { type: 'window-change', columns: 132, rows: 43 },
      },
      {
        message: requestMessage(channel, 'signal', false, text('USR1')),
        type: 'forward-request',
        direction: 'up',
        fate: 'passed',
        fields: { type: 'signal', name: 'USR1' },
      },
      {
        message: requestMessage(channel, 'of-nobody@example.com', false, text('what', 1)),
        type: 'forward-request',
        direction: 'up',
        fate: 'passed',
        fields: { type: 'of-nobody@example.com' },
      },
      {
        message: dataMessage(channel, 'of a user', 7),
        type: 'extended-data',
        direction: 'up',
        fate: 'passed',
        fields: { code: 7, bytes: 9 },
      },
      { message: adjustMessage(channel, 4096), type: 'window', direction: 'up', fate: 'passed' },
      {
        message: requestMessage(channel, 'subsystem', false, text('sftp')),
        type: 'forward-request',
        direction: 'up',
        fate: 'withheld',
        fields: { type: 'subsystem', name: 'sftp' },
      },
      {
        message: requestMessage(channel, 'shell', false),
        type: 'forward-request',
        direction: 'up',
        fate: 'withheld',
        fields: { type: 'shell' },
      },
      {
        message: requestMessage(channel, 'auth-agent-req@openssh.com', false),
        type: 'forward-request',
        direction: 'up',
        fate: 'withheld',
      },
    ];
    await pass(down, up, fromUser);
    const stdin = dataMessage(channel, 'typed by the user');
    down.send(stdin);
    await up.next(MSG.channelData);

    const fromTarget: Sent[] = [
      {
        message: channelMessage(MSG.channelSuccess, seenByTarget),
        type: 'reverse-reply',
        direction: 'down',
        fate: 'passed',
        fields: { success: true },
      },
      {
        message: adjustMessage(seenByTarget, 99),
        type: 'window',
        direction: 'down',
        fate: 'passed',
      },
      {
        message: dataMessage(seenByTarget, 'of a target', 9),
        type: 'extended-data',
        direction: 'down',
        fate: 'passed',
        fields: { code: 9 },
      },
      {
        message: requestMessage(seenByTarget, 'exit-status', false, text(7)),
        type: 'reverse-request',
        direction: 'down',
        fate: 'passed',
        fields: { type: 'exit-status', status: 7 },
      },
      {
        message: requestMessage(
          seenByTarget,
          'exit-signal',
          false,
          new Writer().string('TERM').boolean(true).string('gone').string('').done(),
        ),
        type: 'reverse-request',
        direction: 'down',
        fate: 'passed',
        fields: { type: 'exit-signal', name: 'TERM', coreDumped: true, message: 'gone' },
      },
      {
        message: requestMessage(seenByTarget, 'are-you-there@example.com', true),
        type: 'reverse-request',
        direction: 'down',
        fate: 'passed',
      },
    ];
    await pass(up, down, fromTarget);
    for (const [message, code] of [
      ['to stdout', undefined],
      ['to stderr', 1],
    ] as const) {
      up.send(dataMessage(seenByTarget, message, code));
      await down.next(code === undefined ? MSG.channelData : MSG.channelExtendedData);
    }
    const forwardReply = channelMessage(MSG.channelFailure, channel);
    await pass(down, up, [
      { message: forwardReply, type: 'forward-reply', direction: 'up', fate: 'passed' },
    ]);

    // What belongs to no channel.
    const ofConnection: Sent[] = [];
    const global = async (from: RawPeer, to: RawPeer, direction: 'up' | 'down'): Promise<void> => {
      const [way, back] =
        direction === 'up' ? (['forward', 'reverse'] as const) : (['reverse', 'forward'] as const);
      const asked: Sent = {
        message: globalMessage(`ask-${direction}@example.com`, true, text('more')),
        type: `${way}-global-request`,
        direction,
        fate: 'passed',
        fields: { type: `ask-${direction}@example.com`, wantReply: true },
      };
      const answer: Sent = {
        message: Buffer.from([MSG.requestSuccess, 1, 2, 3]),
        type: `${back}-global-reply`,
        direction: direction === 'up' ? 'down' : 'up',
        fate: 'passed',
        fields: { success: true },
      };
      await pass(from, to, [asked]);
      await pass(to, from, [answer]);
      ofConnection.push(asked, answer);
    };
    await global(down, up, 'up');
    await global(up, down, 'down');
    const refusedForward = globalMessage('tcpip-forward', true, text('', 8080));
    down.send(refusedForward);
    await down.next(MSG.requestFailure);
    ofConnection.push({
      message: refusedForward,
      type: 'forward-global-request',
      direction: 'up',
      fate: 'withheld',
      fields: { type: 'tcpip-forward' },
    });
    const directTcp = openMessage({
      type: 'direct-tcpip',
      sender: 6,
      data: text('10.0.0.1', 80, '127.0.0.1', 1234),
    });
    down.send(directTcp);
    await down.next(MSG.channelOpenFailure);
    const x11 = openMessage({ type: 'x11', sender: 3, data: text('127.0.0.1', 6000) });
    up.send(x11);
    await up.next(MSG.channelOpenFailure);
    const second = openMessage({ sender: 8 });
    down.send(second);
    const secondSeen = await up.next(MSG.channelOpen);
    const refusal = encodeOpenFailure(secondSeen.readUInt32BE(12), 4, 'no room');
    up.send(refusal);
    const refused = await down.next(MSG.channelOpenFailure);
    assert.equal(refused.readUInt32BE(1), 8);

    // The end of the channel: both directions, both steps.
    const ends: Sent[] = (['eof', 'close'] as const).flatMap((type): Sent[] => {
      const number = type === 'eof' ? MSG.channelEof : MSG.channelClose;
      return [
        { message: channelMessage(number, channel), type, direction: 'up', fate: 'passed' },
        { message: channelMessage(number, seenByTarget), type, direction: 'down', fate: 'passed' },
      ];
    });
    for (const one of ends) {
      if (one.direction === 'up') await pass(down, up, [one]);
      else await pass(up, down, [one]);
    }
    down.destroy();
    const row = await endedRow(gate);
    const id = String(row['id']);

    const events = await eventsIn(gate, id, '0');
    for (const one of [...fromUser, ...fromTarget, ...ends]) assertRecorded(events, one);
    assertRecorded(events, {
      message: forwardReply,
      type: 'forward-reply',
      direction: 'up',
      fate: 'passed',
      fields: { success: false },
    });
    const data = (type: 'stdin' | 'stdout' | 'stderr', bytes: string): void =>
      assertRecorded(events, {
        message: Buffer.from(bytes),
        type,
        direction: type === 'stdin' ? 'up' : 'down',
        fate: 'passed',
      });
    data('stdin', 'typed by the user');
    data('stdout', 'to stdout');
    data('stderr', 'to stderr');

    const whole = await eventsIn(gate, id, 'connection');
    for (const one of ofConnection) assertRecorded(whole, one);
    const opens: Sent[] = [
      {
        message: open,
        type: 'forward-new-channel-request',
        direction: 'up',
        fate: 'held',
        fields: { type: 'session', window: 100_000, maxPacket: 30_000 },
      },
      {
        message: confirm,
        type: 'reverse-new-channel-reply',
        direction: 'down',
        fate: 'passed',
        fields: { success: true, window: 200_000, maxPacket: 31_000 },
      },
      {
        message: directTcp,
        type: 'forward-new-channel-request',
        direction: 'up',
        fate: 'withheld',
        fields: { type: 'direct-tcpip' },
      },
      {
        message: x11,
        type: 'reverse-new-channel-request',
        direction: 'down',
        fate: 'withheld',
        fields: { type: 'x11' },
      },
      {
        message: refusal,
        type: 'reverse-new-channel-reply',
        direction: 'down',
        fate: 'passed',
        fields: { success: false, reason: 4, description: 'no room' },
      },
    ];
    for (const one of opens) assertRecorded(whole, one);
    const made = whole.filter(({ fate }) => fate === 'made').map(({ type }) => type);
    for (const type of [
      'reverse-new-channel-reply',
      'forward-new-channel-reply',
      'reverse-global-reply',
      'login',
      'transport',
      'note',
      'channel-digest',
      'checkpoint',
    ]) {
      assert.ok(made.includes(type), `no ${type} made by the gate`);
    }
    assert.ok(whole.some(({ fields }) => fields?.['banner'] === 'hello from below'));

    // Nothing that the recorder can write is missing, the ledger's kinds included.
    await gate.kill9();
    await gate.serve();
    const denied = await ssh(gate.endpoint('alice@root@elsewhere', { key: key.path }), 'true');
    assert.notEqual(denied.code, 0);
    await gate.stop();
    const seen = new Set<string>();
    for (const path of trailFiles(storageOf(gate.dir).root)) {
      for (const { kind } of await recordsIn(path)) seen.add(kindName(kind));
    }
    const missing = Object.keys(KINDS).filter((kind) => !seen.has(kind));
    assert.deepEqual(missing, NOT_YET, 'kinds of records that no session wrote');
  });

  test('a terminal with a resize, a subsystem and a signal of a real client', async (t) => {
    const { gate, to } = await startSite(t, { channels: ['shell', 'exec', 'sftp'] });
    const shell = await sshInPty(to, undefined, {
      steps: [
        { expect: '$ ' },
        { send: 'stty size\r' },
        { expect: '24 80' },
        { resize: [40, 120] },
        { send: 'until [ "$(stty size)" = "40 120" ]; do :; done; echo re""sized; exit 3\r' },
        { expect: 'resized' },
      ],
    });
    assert.equal(shell.code, 3, shell.stdout.toString());
    const terminal = await endedRow(gate);
    const id = String(terminal['id']);
    const events = await eventsIn(gate, id, '0');
    const change = events.find(({ fields }) => fields?.['type'] === 'window-change');
    assert.equal(change?.fields?.['columns'], 120);
    assert.equal(change.fields['rows'], 40);
    const cast = (await gate.text(['trail', 'export', id, '0', '--format', 'cast'])).split('\n');
    assert.match(cast[0] ?? '', /"width":80,"height":24/);
    assert.ok(
      cast.some((line) => /^\[[\d.]+,"r","120x40"\]$/.test(line)),
      cast.join('\n'),
    );
    assert.ok(
      cast.some((line) => /^\[[\d.]+,"m","exit 3"\]$/.test(line)),
      cast.join('\n'),
    );
    const output = await gate.cli(['trail', 'export', id, '0', '--format', 'raw-stdout']);
    assert.match(output.stdout.toString(), /resized/);

    const killed = await ssh(to, 'echo before; echo wrong >&2; kill -TERM $$');
    assert.notEqual(killed.code, 0);
    const signalled = await eventsIn(gate, String((await endedRow(gate))['id']), '0');
    const end = signalled.find(({ fields }) => fields?.['type'] === 'exit-signal');
    assert.equal(end?.fields?.['name'], 'TERM');
    const streams = ['stdout', 'stderr'].map((type) =>
      Buffer.from(signalled.find((one) => one.type === type)?.data ?? '', 'base64').toString(),
    );
    assert.deepEqual(streams, ['before\n', 'wrong\n']);

    const [program, ...rest] = sshCommand(to);
    const listing = await run(
      ['sftp', '-b', '-', '-q', '-S', program, ...sftpArguments(rest, to.user, to.port)],
      { input: 'pwd\n', env: sshEnv(to) },
    );
    assert.equal(listing.code, 0, listing.stderr.toString());
    const row = await endedRow(gate);
    assert.deepEqual(
      (row['channels'] as { kind: string }[]).map(({ kind }) => kind),
      ['sftp'],
    );
    const sftp = await eventsIn(gate, String(row['id']), '0');
    assert.ok(
      sftp.some(({ fields }) => fields?.['type'] === 'subsystem' && fields['name'] === 'sftp'),
    );
  });
});

/** The arguments of ssh as sftp takes them: the port by -P, the user as a setting. */
function sftpArguments(args: readonly string[], user: string, port: number): string[] {
  const cut = args.indexOf('-p');
  return [...args.slice(0, cut), '-P', String(port), '-o', `User=${user}`, args.at(-1) ?? ''];
}
