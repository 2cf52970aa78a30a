/** Lists and links of sessions: times, fields, orders, pages and CSV, as the SPS contract (section 10) has them. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { newUuid, shortId, uuidOfShortId } from '../../src/base/ids.ts';
import { kindOfType, typeOfKind } from '../../src/api/channel-types.ts';
import { csvLine } from '../../src/api/csv.ts';
import { ApiError } from '../../src/api/errors.ts';
import { MAX_SHOWN, pageMeta, pageOf } from '../../src/api/page-links.ts';
import { boundsOf, conditionOf, orderOf, searchFields } from '../../src/api/search-fields.ts';
import { parseQuery } from '../../src/api/search-query.ts';
import { timeSpan } from '../../src/api/search-time.ts';
import {
  SESSION_FIELDS,
  chosenFields,
  leavesOf,
  pickFields,
  valueAt,
} from '../../src/api/session-fields.ts';
import { CHANNEL_KINDS } from '../../src/config/channel-kinds.ts';

const SESSIONS = '/api/audit/sessions';

/** Refused as `InvalidQuery`, naming the parameter and the place. */
function refuses(what: () => unknown, parameter: string, position: number): void {
  assert.throws(what, (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.type, 'InvalidQuery');
    assert.deepEqual(error.details, { parameter, position });
    return true;
  });
}

const micros = (text: string): number => Date.parse(text) * 1000;

test('a time is a span as long as it is written', () => {
  const spans: [string, string, string][] = [
    ['2017', '2017-01-01T00:00:00Z', '2018-01-01T00:00:00Z'],
    ['2017-12', '2017-12-01T00:00:00Z', '2018-01-01T00:00:00Z'],
    ['2016-02-29', '2016-02-29T00:00:00Z', '2016-03-01T00:00:00Z'],
    ['2017-01-25T10:00', '2017-01-25T10:00:00Z', '2017-01-25T10:01:00Z'],
    ['2017-01-25T10:00:07', '2017-01-25T10:00:07Z', '2017-01-25T10:00:08Z'],
    ['2017-01-25T10:00:07.25Z', '2017-01-25T10:00:07.250Z', '2017-01-25T10:00:07.260Z'],
    ['2017-01-25T10:00+02:00', '2017-01-25T08:00:00Z', '2017-01-25T08:01:00Z'],
    ['2017-01-25T10:00-0130', '2017-01-25T11:30:00Z', '2017-01-25T11:31:00Z'],
  ];
  for (const [text, from, until] of spans) {
    assert.deepEqual(timeSpan(text), { from: micros(from), until: micros(until) }, text);
  }
  const none = ['', '17', '2017-13', '2017-02-29', '2017-01-25T24:00', '2017-01-25T10', 'now'];
  for (const text of [...none, '1969-01-01', '2017-01-25T10:00+24:00', '2017-01-25T10:00:60']) {
    assert.equal(timeSpan(text), undefined, text);
  }
});

test('any instant that is printed is a span of its own', () => {
  const instant = fc.date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true });
  fc.assert(
    fc.property(instant, (date) => {
      const from = date.getTime() * 1000;
      assert.deepEqual(timeSpan(date.toISOString()), { from, until: from + 1000 });
    }),
  );
});

test('a field that is not there, a value that it cannot have and a range that makes no sense are refused', () => {
  const refused: [string, number][] = [
    ['a AND nothing:1', 6],
    ['__proto__:1', 0],
    ['constructor:1', 0],
    ['active:perhaps', 0],
    ['verdict:maybe', 0],
    ['duration:long', 0],
    ['duration:1*', 0],
    ['start_time:yesterday', 0],
    ['active:[true TO false]', 0],
    ['duration:[1 TO x]', 0],
    ['gate.reason:[a TO b]', 0],
  ];
  for (const [q, position] of refused) {
    refuses(() => conditionOf(parseQuery(q), { nodeId: 'n' }), 'q', position);
  }
});

test('every field can be searched by, those of columns can be sorted by, and no others', () => {
  for (const { name, sortable } of searchFields()) {
    assert.ok(name.startsWith('channels.') || SESSION_FIELDS.includes(name), name);
    if (sortable) assert.equal(orderOf(`-${name}`)[0]?.descending, true);
    else refuses(() => orderOf(name), 'sort', 0);
  }
  refuses(() => orderOf('duration,--user.name'), 'sort', 9);
  refuses(() => orderOf('c.user; DROP TABLE connections'), 'sort', 0);
  refuses(() => orderOf(Array.from({ length: 9 }, () => 'duration').join(',')), 'sort', 0);
  assert.deepEqual(orderOf(''), []);
});

test('start and end are bounds with an own name in what is refused', () => {
  assert.equal(boundsOf({ start: '2017', end: '2018' }).length, 2);
  assert.deepEqual(boundsOf({ start: '' }), []);
  refuses(() => boundsOf({ start: 'x' }), 'start', 0);
  refuses(() => boundsOf({ end: 'x' }), 'end', 0);
});

test('fields are picked from a body, whole objects and parts of them', () => {
  const body = { a: 1, client: { ip: 'x', port: 2 }, recording: { target: { ip: 'y' }, n: null } };
  const pick = (...chosen: string[]) => pickFields(body, chosen);
  assert.deepEqual(pick(), {});
  assert.deepEqual(pick('a', 'client.ip'), { a: 1, client: { ip: 'x' } });
  assert.deepEqual(pick('client.ip', 'client.port'), { client: body.client });
  assert.deepEqual(pick('client', 'client.ip'), { client: body.client });
  assert.deepEqual(pick('client.ip', 'client'), { client: body.client });
  assert.deepEqual(pick('recording.target.ip'), { recording: { target: { ip: 'y' } } });
  assert.deepEqual(body.client, { ip: 'x', port: 2 });
});

test('fields are names of the body alone, each once', () => {
  assert.deepEqual(chosenFields(''), []);
  assert.deepEqual(chosenFields('protocol,client,protocol'), ['protocol', 'client']);
  refuses(() => chosenFields('protocol,nothing'), 'fields', 9);
  for (const name of ['__proto__', 'constructor', 'client.', 'client.ip.x', ' protocol', '*']) {
    refuses(() => chosenFields(name), 'fields', 0);
  }
  assert.deepEqual(leavesOf(['user', 'user.name', 'active']), [
    'user.name',
    'user.gateway_username',
    'user.server_username',
    'active',
  ]);
  assert.equal(valueAt({ client: { ip: 'x' } }, 'client.ip'), 'x');
  assert.equal(valueAt({ client: null }, 'client.ip'), undefined);
});

test('a CSV line keeps its cells, and none is a formula', () => {
  assert.equal(csvLine(['a', 1, null, true, undefined]), '"a",1,,true,\r\n');
  assert.equal(csvLine(['a"b', 'c,d\r\ne']), '"a""b","c,d\r\ne"\r\n');
  for (const text of ['=1+1', '+1', '-1', '@x', '\t=1', '\r=1', ' =1', '\uff1d1', '|calc', '%x']) {
    assert.equal(csvLine([text]), `"'${text}"\r\n`);
  }
  assert.equal(csvLine([['=x'], { a: '=y' }]), '"[""=x""]","{""a"":""=y""}"\r\n');
  assert.equal(csvLine(['2027-01-25', 'a-b', '10.0.0.1']), '"2027-01-25","a-b","10.0.0.1"\r\n');
});

test('pages have the size and the links of the contract', () => {
  assert.deepEqual(pageMeta(SESSIONS, pageOf({}), { matchCount: 1, fields: [] }), {
    fields: [],
    first: '/api/audit/sessions?limit=500&offset=0&fields=',
    href: '/api/audit/sessions',
    last: '/api/audit/sessions?limit=500&offset=0&fields=',
    limit: 500,
    match_count: 1,
    next: null,
    offset: 0,
    parent: '/api/audit',
    previous: null,
  });
  const page = pageOf({ limit: '10', offset: '20' });
  const found = { matchCount: 45, fields: ['protocol', 'client.ip'] };
  const meta = pageMeta(SESSIONS, page, found, [['q', 'user.name:"a&b"']]);
  const link = (offset: number): string =>
    `${SESSIONS}?limit=10&offset=${offset}&fields=protocol,client.ip&q=user.name%3A%22a%26b%22`;
  const { first, last, next, previous } = meta;
  assert.deepEqual([first, previous, next, last], [link(0), link(10), link(30), link(40)]);
});

test('a larger limit is 500, nothing is shown beyond 10000, and what is no number is refused', () => {
  assert.deepEqual(pageOf({ limit: '501', offset: '9900' }), {
    limit: 500,
    offset: 9900,
    take: 100,
  });
  assert.equal(pageOf({ offset: '10000' }).take, 0);
  assert.equal(pageOf({ offset: 'null' }).offset, 0);
  const beyond = pageMeta(SESSIONS, pageOf({ offset: '9500' }), { matchCount: 99_999, fields: [] });
  assert.equal(beyond.next, null);
  assert.match(beyond.last, /offset=9500/);
  for (const limit of ['0', '-1', '1.5', '1e3', 'x']) refuses(() => pageOf({ limit }), 'limit', 0);
  for (const offset of ['-1', 'x', '9999999999']) refuses(() => pageOf({ offset }), 'offset', 0);
});

test('walking the links passes each result once', () => {
  const sizes = fc.record({ limit: fc.integer({ min: 1, max: 500 }), matchCount: fc.nat(12_000) });
  fc.assert(
    fc.property(sizes, ({ limit, matchCount }) => {
      let shown = 0;
      let offset: string | null = '0';
      while (offset !== null) {
        const page = pageOf({ limit: String(limit), offset });
        assert.equal(page.offset, shown);
        shown += Math.min(page.take, matchCount - page.offset);
        const { next, last } = pageMeta(SESSIONS, page, { matchCount, fields: [] });
        if (next === null) assert.match(last, new RegExp(`offset=${page.offset}&`));
        offset = /offset=(\d+)/.exec(next ?? '')?.[1] ?? null;
      }
      assert.equal(shown, Math.min(matchCount, MAX_SHOWN));
    }),
  );
});

test('each kind of channel has a type of its own, and leads back', () => {
  const kinds = [...CHANNEL_KINDS, 'subsystem:netconf', 'jump', ''];
  assert.equal(new Set(kinds.map(typeOfKind)).size, kinds.length);
  for (const kind of kinds) assert.equal(kindOfType(typeOfKind(kind)), kind);
});

test('a short id leads back to its UUID, and nothing else does', () => {
  for (const ms of [0, 1_800_000_000_000, 2 ** 48 - 1]) {
    const id = newUuid(ms);
    assert.equal(uuidOfShortId(shortId(id)), id);
  }
  for (const text of ['', 'x', 'z'.repeat(22), '-'.repeat(22)]) {
    assert.equal(uuidOfShortId(text), undefined);
  }
});
