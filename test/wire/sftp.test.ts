/**
 * The SFTP decoder takes what anybody sends: it never throws, keeps bounded memory, says "undecoded" at most once, and
 * tells the same whatever the bytes are cut into.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SftpDecoder } from '../../src/wire/sftp.ts';
import type { TransferSink } from '../../src/wire/transfer.ts';
import { Writer } from '../../src/wire/buffer.ts';
import { randomFrom, rounds, seeded } from '../support/scale.ts';
import type { Random } from '../support/scale.ts';
import { packet } from '../support/sftp-packet.ts';

type Stream = 'stdin' | 'stdout';

const INIT = new Writer().uint32(5).uint8(1).uint32(3).done();
const VERSION = new Writer().uint32(5).uint8(2).uint32(3).done();
const HANDLE = Buffer.from('h');

function open(id: number, path: string, flags: number): Buffer {
  return packet(3, id, new Writer().string(path).uint32(flags).uint32(0).done());
}

function write(id: number, offset: bigint, data: Buffer): Buffer {
  const at = Buffer.alloc(8);
  at.writeBigUInt64BE(offset);
  return packet(6, id, new Writer().string(HANDLE).bytes(at).string(data).done());
}

function status(id: number, code: number): Buffer {
  return packet(101, id, new Writer().uint32(code).string('').string('').done());
}

const handle = (id: number): Buffer => packet(102, id, new Writer().string(HANDLE).done());
const close = (id: number): Buffer => packet(4, id, new Writer().string(HANDLE).done());

/** What a decoder tells, as lines; content as its length and place. */
class Lines implements TransferSink {
  readonly lines: string[] = [];
  passed = 0;
  undecodedTimes = 0;

  #add(...words: readonly unknown[]): void {
    assert.equal(this.undecodedTimes, 0, 'something is told behind "undecoded"');
    this.lines.push(words.join(' '));
  }
  opened(file: number, path: Buffer): void {
    this.#add('opened', file, path.toString('hex'));
  }
  passing(_file: number, _direction: string, _offset: number, bytes: Buffer): void {
    this.passed += bytes.length;
  }
  moved(...[file, direction, offset, pieces]: Parameters<TransferSink['moved']>): void {
    this.#add('moved', file, direction, offset, JSON.stringify(pieces));
  }
  lost(file: number, offset: number, length: number): void {
    this.#add('lost', file, offset, length);
  }
  resized(file: number, size: number): void {
    this.#add('resized', file, size);
  }
  sized(file: number, size: number): void {
    this.#add('sized', file, size);
  }
  ended(file: number, offset: number): void {
    this.#add('ended', file, offset);
  }
  closed(...[file, { word }]: Parameters<TransferSink['closed']>): void {
    this.#add('closed', file, word);
  }
  operation({ name, status: { word } }: Parameters<TransferSink['operation']>[0]): void {
    this.#add('operation', name, word);
  }
  undecoded(why: string): void {
    this.#add('undecoded', why);
    this.undecodedTimes++;
  }
}

/** Feeds parts of streams, each cut anew, and gives what was told. */
function follow(parts: readonly (readonly [Stream, Buffer])[], cut: () => number): Lines {
  const lines = new Lines();
  const decoder = new SftpDecoder(lines);
  const offsets = { stdin: 0, stdout: 0 };
  for (const [stream, bytes] of parts) {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + cut());
      decoder.push(stream, piece, offsets[stream], 1);
      offsets[stream] += piece.length;
      at += piece.length;
    }
  }
  decoder.end(2);
  return lines;
}

const whole = (): number => 1 << 20;

const UPLOAD: readonly (readonly [Stream, Buffer])[] = [
  ['stdin', INIT],
  ['stdout', VERSION],
  ['stdin', open(1, 'a', 26)],
  ['stdout', handle(1)],
  ['stdin', Buffer.concat([write(2, 0n, Buffer.alloc(300)), write(3, 300n, Buffer.alloc(77))])],
  ['stdout', status(3, 0)],
  ['stdout', status(2, 0)],
  ['stdin', close(4)],
  ['stdout', status(4, 0)],
];

test('what is told does not depend on how the bytes are cut, nor on the order of answers', () => {
  const told = follow(UPLOAD, whole).lines;
  const first = INIT.length + open(1, 'a', 26).length + 4 + 5 + 5 + 8 + 4;
  assert.deepEqual(told, [
    'opened 0 61',
    `moved 0 upload 0 [{"streamOffset":${first},"length":300}]`,
    `moved 0 upload 300 [{"streamOffset":${first + 300 + 26},"length":77}]`,
    'closed 0 ok',
  ]);
  for (const size of [1, 2, 3, 7, 29, 300]) {
    assert.deepEqual(follow(UPLOAD, () => size).lines, told, `in pieces of ${size}`);
  }
});

test('a write that was not answered, or refused, is no content', () => {
  const cut = follow(UPLOAD.slice(0, 6), whole).lines;
  assert.ok(cut.some((line) => line.startsWith('lost 0 0 300')));
  assert.ok(cut.some((line) => line.startsWith('moved 0 upload 300')));
  const refused = [...UPLOAD.slice(0, 6), ['stdout', status(2, 4)] as const, ...UPLOAD.slice(7)];
  const { lines } = follow(refused, whole);
  assert.deepEqual(lines.slice(1, 2), ['lost 0 0 300']);
  assert.equal(lines.at(-1), 'closed 0 failure');
});

test('handles of one file go on changing it when it has lost its name', () => {
  const handleOf = (id: number, name: string): Buffer =>
    packet(102, id, new Writer().string(name).done());
  const removed = packet(13, 3, new Writer().string('a').done());
  const renamed = packet(18, 3, new Writer().string('b').string('a').done());
  for (const nameless of [removed, renamed]) {
    const { lines } = follow(
      [
        ['stdin', Buffer.concat([INIT, open(1, 'a', 26), open(2, 'a', 2)])],
        ['stdout', Buffer.concat([VERSION, handleOf(1, 'first'), handleOf(2, 'h')])],
        ['stdin', Buffer.concat([nameless, write(4, 5n, Buffer.alloc(7))])],
        ['stdout', Buffer.concat([status(3, 0), status(4, 0)])],
      ],
      whole,
    );
    assert.ok(lines.includes('lost 0 5 7'), lines.join('; '));
  }
});

test('a handle that was guessed ahead of its answer is not attributed to another file', () => {
  const lines = follow(
    [
      ...UPLOAD.slice(0, 4),
      ['stdin', Buffer.concat([close(10), open(11, 'b', 26), write(12, 0n, Buffer.alloc(5))])],
      ['stdout', Buffer.concat([status(10, 0), handle(11), status(12, 0)])],
    ],
    whole,
  ).lines;
  assert.equal(lines.at(-1), 'undecoded an SFTP handle from nowhere is in use');
  assert.ok(!lines.some((line) => line.startsWith('moved')));
});

test('an offset that no number holds is told as lost, and a limit as undecoded', () => {
  const far = [
    ...UPLOAD.slice(0, 4),
    ['stdin', write(2, 2n ** 64n - 1n, Buffer.alloc(5))] as const,
    ['stdout', status(2, 0)] as const,
  ];
  assert.equal(follow(far, whole).undecodedTimes, 0);
  const many: (readonly [Stream, Buffer])[] = [];
  for (let id = 0; id <= 10_000; id++)
    many.push(['stdin', packet(17, id, new Writer().string('x').done())]);
  assert.equal(
    follow(many, whole).lines.at(-1),
    'undecoded more than 10000 SFTP requests are outstanding',
  );
  const handles: (readonly [Stream, Buffer])[] = [];
  for (let id = 0; id <= 1_024; id++) {
    handles.push(['stdin', open(id, 'x', 1)]);
    handles.push(['stdout', packet(102, id, new Writer().string(`h${id}`).done())]);
  }
  assert.equal(
    follow(handles, whole).lines.at(-1),
    'undecoded more than 1024 SFTP handles are open',
  );
  const paths = Array.from(
    { length: 20 },
    (_, id) =>
      ['stdin', packet(17, id, new Writer().string(Buffer.alloc(200_000, 0x78)).done())] as const,
  );
  assert.equal(follow(paths, whole).lines.at(-1), 'undecoded SFTP paths are too long to be kept');
});

test('a session of another version, or none of SFTP, is told as undecoded', () => {
  const newer = new Writer().uint32(5).uint8(2).uint32(6).done();
  assert.deepEqual(
    follow(
      [
        ['stdin', INIT],
        ['stdout', newer],
      ],
      whole,
    ).lines,
    ['undecoded SFTP version 6 is not decoded'],
  );
  const banner = follow(
    [
      ['stdin', INIT],
      ['stdout', Buffer.from('Welcome to this host!\n')],
    ],
    whole,
  );
  assert.equal(banner.undecodedTimes, 1);
});

/** A session of many requests of all kinds, well formed. */
function session(random: Random): [Stream, Buffer][] {
  const parts: [Stream, Buffer][] = [
    ['stdin', INIT],
    ['stdout', VERSION],
  ];
  let open_ = false;
  for (let id = 1; id < 30; id++) {
    const kind = random.int(0, 9);
    const data = random.bytes(random.int(0, 400));
    if (!open_ || kind === 0) {
      parts.push(['stdin', open(id, `f${id}`, random.int(0, 63))]);
      parts.push(['stdout', open_ ? status(id, 4) : handle(id)]);
      open_ = true;
    } else if (kind < 5) {
      parts.push(['stdin', write(id, BigInt(random.int(0, 1_000)), data)]);
      parts.push(['stdout', status(id, random.int(0, 9) === 0 ? 4 : 0)]);
    } else if (kind < 7) {
      const at = new Writer().string(HANDLE).uint32(0).uint32(random.int(0, 999)).uint32(9).done();
      parts.push(['stdin', packet(5, id, at)]);
      parts.push(['stdout', packet(103, id, new Writer().string(data).done())]);
    } else if (kind === 7) {
      parts.push(['stdin', close(id)]);
      parts.push(['stdout', status(id, 0)]);
      open_ = false;
    } else {
      const two = new Writer().string('a').string('b').done();
      parts.push(['stdin', packet(random.int(3, 22), id, two)]);
      parts.push(['stdout', status(id, random.int(0, 8))]);
    }
  }
  return parts;
}

test('mutated streams are followed or told as undecoded, and nothing is thrown', () => {
  const random = seeded('mutated SFTP');
  let undecoded = 0;
  const count = rounds(1_000_000, 2_000);
  for (let i = 0; i < count; i++) {
    const own = randomFrom(random.int(0, 2 ** 31));
    const parts = session(own).map(([stream, bytes]): [Stream, Buffer] => {
      if (own.int(0, 9) > 0 || bytes.length === 0) return [stream, bytes];
      const changed = Buffer.from(bytes);
      const at = own.int(0, changed.length - 1);
      if (own.int(0, 1) === 0) changed[at] = own.int(0, 255);
      else return [own.pick(['stdin', 'stdout'] as const), changed.subarray(0, at)];
      return [stream, changed];
    });
    const most = own.pick([1, 5, 100, 1 << 20] as const);
    const lines = follow(parts, () => own.int(1, most));
    assert.ok(lines.undecodedTimes <= 1);
    undecoded += lines.undecodedTimes;
  }
  assert.ok(undecoded > 0 && undecoded < count, `${undecoded} of ${count}`);
});
