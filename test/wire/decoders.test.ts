/** Decoders of what a peer sends: any bytes give a value or a ProtocolError, and no number in them costs memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/base/errors.ts';
import { Reader, Writer } from '../../src/wire/buffer.ts';
import { decodeKeys, decodeSignature } from '../../src/wire/agent-client.ts';
import { decodeRequestFields, printable } from '../../src/wire/channel-request.ts';
import {
  decodeChosenPort,
  decodeForwardOpen,
  decodeListenRequest,
  decodeX11Request,
} from '../../src/wire/forwarding.ts';
import {
  decodeChannelRequest,
  decodeDisconnect,
  decodeExtInfo,
  decodeGlobalRequest,
  decodeOpen,
  decodeOpenConfirmation,
  decodeOpenFailure,
  encodeExtInfo,
  encodeOpenFailure,
} from '../../src/wire/messages.ts';
import { parseAuthorizedKey, verifySignature } from '../../src/wire/publickey.ts';
import {
  decodeFailure,
  decodeInfoRequest,
  decodeInfoResponse,
  decodePassword,
  decodePublickey,
  decodeUserauthRequest,
} from '../../src/wire/userauth.ts';

const DECODERS: Record<string, (payload: Buffer) => unknown> = {
  decodeOpen,
  decodeOpenConfirmation,
  decodeOpenFailure,
  decodeChannelRequest,
  decodeGlobalRequest,
  decodeDisconnect,
  decodeExtInfo,
  decodeUserauthRequest,
  decodeInfoResponse,
  decodeInfoRequest,
  decodeFailure,
  decodeListenRequest: (payload) =>
    (['tcpip-forward', 'streamlocal-forward@openssh.com'] as const).map((type) =>
      decodeListenRequest(type, payload.subarray(1)),
    ),
  decodeForwardOpen: (payload) => decodeForwardOpen('direct-tcpip', payload.subarray(1)),
  decodeSocketOpen: (payload) => {
    return decodeForwardOpen('direct-streamlocal@openssh.com', payload.subarray(1));
  },
  decodeX11Open: (payload) => decodeForwardOpen('x11', payload.subarray(1)),
  decodeX11Request: (payload) => decodeX11Request(payload.subarray(1)),
  decodeChosenPort,
  decodeKeys: (payload) => decodeKeys(Buffer.concat([Buffer.from([12]), payload.subarray(1)])),
  decodeSignature: (payload) => {
    return decodeSignature(Buffer.concat([Buffer.from([14]), payload.subarray(1)]), 'ssh-ed25519');
  },
  decodePublickey: (payload) => decodePublickey(new Reader(payload)),
  decodePassword: (payload) => decodePassword(new Reader(payload)),
};

/** Bytes that look like SSH fields more often than chance would have it: lengths that fit, and such that do not. */
const fields = fc
  .array(
    fc.oneof(
      fc
        .uint8Array({ maxLength: 40 })
        .map((bytes) => new Writer().string(Buffer.from(bytes)).done()),
      fc.nat({ max: 0xffffffff }).map((value) => new Writer().uint32(value).done()),
      fc
        .constantFrom(0, 1, 15, 16, 17, 0x7fffffff, 0x80000000, 0xffffffff)
        .map((value) => new Writer().uint32(value).done()),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat([Buffer.from([98]), ...parts]));

for (const [name, decode] of Object.entries(DECODERS)) {
  test(`${name} throws nothing but ProtocolError`, () => {
    fc.assert(
      fc.property(fields, (payload) => {
        try {
          decode(payload);
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
}

test('a count of 2^32-1 answers or questions is refused before anything is made of it', () => {
  const before = process.memoryUsage().rss;
  for (const count of [17, 2 ** 25, 2 ** 32 - 1]) {
    const response = new Writer().uint8(61).uint32(count).done();
    assert.throws(() => decodeInfoResponse(response), ProtocolError);
    const request = new Writer().uint8(60).string('').string('').string('').uint32(count).done();
    assert.throws(() => decodeInfoRequest(request), ProtocolError);
  }
  assert.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024);
});

test('requests of every type with any data give fields or a ProtocolError', () => {
  const types = fc.constantFrom(
    'pty-req',
    'window-change',
    'env',
    'shell',
    'exec',
    'subsystem',
    'signal',
    'exit-status',
    'exit-signal',
    'unheard-of@example.com',
  );
  fc.assert(
    fc.property(types, fields, (type, data) => {
      try {
        decodeRequestFields(type, data);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
  );
});

test('what is encoded is decoded', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 0xffffffff }),
      fc.nat({ max: 20 }),
      fc.string(),
      (id, reason, text) => {
        const failure = decodeOpenFailure(encodeOpenFailure(id, reason, text));
        assert.deepEqual(
          { ...failure, description: failure.description.toString('utf8') },
          { recipient: id, reason, description: Buffer.from(text).toString('utf8') },
        );
      },
    ),
  );
  const info = decodeExtInfo(encodeExtInfo({ 'server-sig-algs': 'a,b', 'ping@openssh.com': '0' }));
  assert.equal(info.get('server-sig-algs')?.toString(), 'a,b');
  assert.equal(info.get('ping@openssh.com')?.toString(), '0');
});

test('text shown from a peer is one line without control or reordering characters', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const text = printable(Buffer.from(bytes));
      assert.doesNotMatch(text, /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/u);
    }),
  );
  assert.equal(
    printable(Buffer.from('a\u001b[31m\n\u202eb\\')),
    'a\\x1b[31m\\x0a\\xe2\\x80\\xaeb\\\\',
  );
  assert.equal(printable(Buffer.from([0x6c, 0x73, 0x20, 0xe9, 0xff])), 'ls \\xe9\\xff');
});

test('a signature is checked without throwing, whatever it is', () => {
  const line = `ssh-ed25519 ${new Writer().string('ssh-ed25519').string(Buffer.alloc(32, 7)).done().toString('base64')}`;
  const { blob } = parseAuthorizedKey(line);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      assert.equal(
        verifySignature(blob, 'ssh-ed25519', Buffer.from('x'), Buffer.from(bytes)),
        false,
      );
    }),
  );
  const empty = new Writer().string('ssh-ed25519').string('').done();
  assert.equal(verifySignature(blob, 'ssh-ed25519', Buffer.from('x'), empty), false);
});

test('RSA keys below 2,048 and above 8,192 bits are refused by their size', () => {
  for (const bits of [512, 1024, 2047, 8193, 16_384, 32_768]) {
    const modulus = Buffer.alloc(Math.ceil(bits / 8), 0xff);
    modulus[0] = 0xff >> (modulus.length * 8 - bits);
    const blob = new Writer()
      .string('ssh-rsa')
      .mpint(Buffer.from([1, 0, 1]))
      .mpint(modulus)
      .done();
    assert.throws(() => parseAuthorizedKey(`ssh-rsa ${blob.toString('base64')}`), /an RSA key of/);
  }
  const long = new Writer()
    .string('ssh-rsa')
    .mpint(Buffer.alloc(512, 0x7f))
    .mpint(Buffer.alloc(256, 0xff))
    .done();
  assert.throws(() => parseAuthorizedKey(`ssh-rsa ${long.toString('base64')}`), /exponent/);
});
