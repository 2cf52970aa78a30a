/** What a peer may send by role and state: the whole table, and the ident line in any number of pieces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/base/errors.ts';
import { verdictInKeyExchange, verdictOn } from '../../src/ssh/filter.ts';
import type { Role, State, Verdict } from '../../src/ssh/filter.ts';
import { Forwards } from '../../src/ssh/forwards.ts';
import { judgeGlobal, judgeRequest } from '../../src/ssh/gatekeeper.ts';
import { IdentReader } from '../../src/ssh/ident.ts';
import { DOWN } from '../../src/ssh/mux.ts';
import { Writer } from '../../src/wire/buffer.ts';
import type { Destination } from '../../src/access/policy.ts';

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** The allowed messages; every other one is fatal, or `unimplemented` after login from 80 on. */
const ALLOWED: { role: Role; state: State; verdict: Verdict; types: number[] }[] = [
  { role: 'downstream', state: 'login', verdict: 'own', types: [1, 2, 3, 4, 7, 20] },
  { role: 'downstream', state: 'login', verdict: 'pass', types: [5, 50, 61] },
  { role: 'downstream', state: 'open', verdict: 'own', types: [1, 2, 3, 4, 7, 20, 192] },
  { role: 'downstream', state: 'open', verdict: 'pass', types: [80, 81, 82, ...range(90, 100)] },
  { role: 'downstream', state: 'open', verdict: 'drop', types: [50, 193] },
  { role: 'upstream', state: 'login', verdict: 'own', types: [1, 2, 3, 4, 7, 20] },
  { role: 'upstream', state: 'login', verdict: 'pass', types: [6, 51, 52, 53, 60] },
  { role: 'upstream', state: 'open', verdict: 'own', types: [1, 2, 3, 4, 7, 20, 192] },
  { role: 'upstream', state: 'open', verdict: 'pass', types: [80, 81, 82, ...range(90, 100)] },
  { role: 'upstream', state: 'open', verdict: 'drop', types: [53, 193] },
];

for (const role of ['downstream', 'upstream'] as const) {
  for (const state of ['login', 'open'] as const) {
    test(`every message type from ${role} in state ${state} has the verdict of the table`, () => {
      for (const type of range(0, 255)) {
        const entry = ALLOWED.find(
          (each) => each.role === role && each.state === state && each.types.includes(type),
        );
        const rest = state === 'open' && type >= 80 ? 'unimplemented' : 'fatal';
        assert.equal(verdictOn(role, state, type), entry?.verdict ?? rest, `message ${type}`);
      }
    });
  }
}

test('only the messages of a key exchange pass during one', () => {
  for (const first of [true, false]) {
    for (const type of range(0, 255)) {
      const kex = type >= 20 && type <= 49;
      const idle = type >= 2 && type <= 4;
      const expected =
        type === 1 ? 'own' : idle ? (first ? 'pass' : 'drop') : kex ? 'pass' : 'fatal';
      assert.equal(verdictInKeyExchange(first, type), expected, `message ${type}`);
    }
  }
});

/** Feeds a stream in pieces; returns what the reader made of it and how much it took. */
function feed(
  role: Role,
  stream: Buffer,
  cuts: readonly number[],
): { reader: IdentReader; taken: number } {
  const reader = new IdentReader(role);
  let at = 0;
  let taken = 0;
  for (const cut of [...cuts, stream.length]) {
    if (reader.done || at >= stream.length) break;
    const chunk = stream.subarray(at, Math.min(stream.length, at + Math.max(1, cut)));
    taken += reader.take(chunk);
    at += chunk.length;
  }
  return { reader, taken };
}

test('an ident line in any number of segments is read, and not a byte behind it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 9 }), { maxLength: 60 }),
      fc.constantFrom('\n', '\r\n'),
      fc.uint8Array({ maxLength: 20 }),
      (cuts, end, rest) => {
        const line = `SSH-2.0-OpenSSH_9.2p1 Debian-2${end}`;
        const stream = Buffer.concat([Buffer.from(line), Buffer.from(rest)]);
        const { reader, taken } = feed('downstream', stream, cuts);
        assert.equal(reader.software, 'OpenSSH_9.2p1 Debian-2');
        assert.equal(taken, line.length);
        assert.equal(reader.line.toString(), line);
      },
    ),
  );
});

test('a client may send no lines before its ident, a server some', () => {
  const stream = Buffer.from('hello\r\nthere\r\nSSH-2.0-x\r\n');
  assert.throws(() => feed('downstream', stream, []), ProtocolError);
  assert.equal(feed('upstream', stream, []).reader.software, 'x');
  assert.throws(() => feed('upstream', Buffer.from('a\n'.repeat(100)), []), ProtocolError);
});

test('too long, empty, old and binary ident lines are refused', () => {
  for (const text of [
    `SSH-2.0-${'x'.repeat(9000)}\r\n`,
    'SSH-2.0-\r\n',
    'SSH-1.5-old\r\n',
    'SSH-2.0-\u0007bell\r\n',
    'GET / HTTP/1.1\r\n',
  ]) {
    assert.throws(
      () => feed('downstream', Buffer.from(text), []),
      ProtocolError,
      text.slice(0, 20),
    );
  }
  assert.throws(() => feed('downstream', Buffer.alloc(9000, 65), []), ProtocolError);
});

test('a request whose name is not printable ASCII is refused, whatever stands before the NUL', () => {
  const data = new Writer().string('id').done();
  const of = (type: string) => ({ type, data, wantReply: true });
  const everything = { channels: new Set(['exec', 'shell', 'sftp']) } as unknown as Destination;
  const forwards = new Forwards(() => undefined, 0);
  for (const name of ['exec\0', 'shell\0x', 'x11-req\0', 'exec ', 'ex\u00e9c', '\nexec']) {
    assert.equal(
      judgeRequest(DOWN, of(name), everything, forwards).verdict,
      'refuse',
      JSON.stringify(name),
    );
    assert.equal(judgeGlobal(DOWN, of(name), forwards).verdict, 'refuse', JSON.stringify(name));
  }
  assert.equal(judgeRequest(DOWN, of('exec'), everything, forwards).verdict, 'pass');
  assert.equal(judgeGlobal(DOWN, of('tcpip-forward\0'), forwards).verdict, 'refuse');
  assert.equal(judgeGlobal(DOWN, of('unheard-of@example.com'), forwards).verdict, 'pass');
});
