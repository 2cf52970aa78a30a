/** What a rule's `forward_to` lets through: as the target will see it, and nothing that only looks like it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { forwardTest } from '../../src/access/forward-target.ts';
import { parseForwardEntry } from '../../src/config/forward-to.ts';
import { rounds } from '../support/scale.ts';

const tcp = (host: string, port = 5432) => ({ kind: 'tcp', host, port }) as const;
const unix = (path: string) => ({ kind: 'unix', path }) as const;

test('a network lets addresses through, also IPv4 inside IPv6, and no other spelling', () => {
  const allows = forwardTest(['10.0.0.0/8:5432']);
  for (const host of ['10.0.0.1', '10.255.255.255', '::ffff:10.1.2.3', '::FFFF:0a01:0203']) {
    assert.ok(allows(tcp(host)), host);
  }
  const others = [
    ...[
      '11.0.0.1',
      '127.0.0.1',
      '::ffff:11.0.0.1',
      '::10.0.0.1',
      'db',
      '',
      '10.0.0.1.',
      '[10.0.0.1]',
    ],
    // What getaddrinfo would take for 10.0.0.1.
    ...['10.1', '0x0a.0.0.1', '012.0.0.1', '167772161', '10.0.0.01', '10.0.0.1 ', '10.0.0.1%eth0'],
    ...['::ffff:10.0.0.1%eth0', '::ffff:0:10.0.0.1', '64:ff9b::10.0.0.1'],
  ];
  for (const host of others) assert.ok(!allows(tcp(host)), host);
  assert.ok(!allows(tcp('10.0.0.1', 5433)));
  assert.ok(!allows(unix('10.0.0.1')));
});

test('a name is itself in any case, and no address', () => {
  const allows = forwardTest(['localhost:*', 'DB.example:443']);
  assert.ok(allows(tcp('LocalHost', 1)));
  assert.ok(allows(tcp('db.example', 443)));
  for (const host of [
    '127.0.0.1',
    '::1',
    'localhost.',
    'localhost.evil',
    'xlocalhost',
    'db.example.',
  ]) {
    assert.ok(!allows(tcp(host, 443)), host);
  }
});

test('IPv6 stands in brackets; a zone is of no network', () => {
  const allows = forwardTest(['[fd00::/8]:*', '[::1]:22']);
  assert.ok(allows(tcp('fd12::1')));
  assert.ok(allows(tcp('0:0:0:0:0:0:0:1', 22)));
  assert.ok(!allows(tcp('fd12::1%lo')));
  assert.ok(!allows(tcp('fe80::1')));
  // The loopback of IPv4 is none of IPv6, however it is written.
  assert.ok(!forwardTest(['[::/0]:*'])(tcp('::ffff:127.0.0.1')));
  assert.ok(forwardTest(['127.0.0.0/8:*'])(tcp('::ffff:127.0.0.1')));
});

test('a path is itself; an empty list is nothing; what cannot be read lets nothing through', () => {
  const allows = forwardTest(['unix:/run/x.sock']);
  assert.ok(allows(unix('/run/x.sock')));
  for (const path of ['/run/./x.sock', '/run/x.sock/', '/run/X.sock', 'run/x.sock', '']) {
    assert.ok(!allows(unix(path)), path);
  }
  assert.ok(!allows(tcp('/run/x.sock')));
  assert.ok(!forwardTest([])(tcp('localhost')));
  assert.ok(!forwardTest(['nonsense'])(tcp('nonsense')));
  assert.ok(forwardTest(['*:5432'])(tcp('whatever')));
  assert.ok(!forwardTest(['*:5432'])(unix('/x')));
});

test('entries of another form are refused', () => {
  const wrong = [
    ...[
      '',
      'db',
      'db:',
      ':5432',
      'db:0',
      'db:65536',
      'db:5432x',
      'db:-1',
      'db:1-2',
      'd b:1',
      'a@b:1',
    ],
    ...['10.0.0.0/33:1', '10.0.0.0/:1', '10.0.0/8:1', '256.0.0.1:1', '10.0.0.1/8/8:1', '1:2:3'],
    ...['::1:22', '[::1:22', '[10.0.0.1]:22', '[::1]22', '[::ffff:10.0.0.1]:1', '[fe80::1%lo]:1'],
    ...[
      '[::/129]:1',
      'unix:',
      'unix:x',
      'unix:/',
      'unix:/a\nb',
      `unix:/${'x'.repeat(107)}`,
      '**:1',
    ],
  ];
  for (const text of wrong) assert.equal(parseForwardEntry(text), undefined, text);
});

test('any text is an entry or none, and any host is judged, without a throw', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.string({ maxLength: 60 }), (entry, host) => {
      const parsed = parseForwardEntry(entry);
      const allowed = forwardTest([entry])(tcp(host));
      if (parsed === undefined) assert.ok(!allowed);
    }),
    { numRuns: rounds(5000, 500) },
  );
});
