/** New connections are refused by OpenSSH's figures, and the memory for it is bounded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Penalties } from '../../src/access/penalties.ts';
import { parseConfig } from '../../src/config/config.ts';
import { seeded } from '../support/scale.ts';

const SECOND = 1_000_000;
const A = '192.0.2.1';

/** Penalties with a clock and chance of the test's, and settings in YAML. */
function make(settings = '', random = () => 0.5) {
  const { penalties, startups } = parseConfig(settings, 'test');
  const clock = { us: 0 };
  const made = new Penalties({ penalties, startups, nowUs: () => clock.us, random });
  return { made, wait: (seconds: number) => (clock.us += seconds * SECOND) };
}

test('nothing is refused until penalties exceed 15 s, then until they have run off', () => {
  const { made, wait } = make();
  for (let i = 0; i < 3; i++) {
    assert.equal(made.penalise(A, 'authfail'), false);
    assert.equal(made.admit(A, 0), 'ok');
  }
  assert.equal(made.penalise(A, 'authfail'), true);
  assert.equal(made.admit(A, 0), 'penalty');
  assert.equal(made.penalise(A, 'authfail'), false, 'says so only once');
  wait(24);
  made.penalise(A, 'noauth');
  assert.equal(made.admit(A, 0), 'penalty', 'also below the minimum');
  wait(1.9);
  assert.equal(made.admit(A, 0), 'penalty');
  wait(0.2);
  assert.equal(made.admit(A, 0), 'ok');
  assert.equal(made.penalise(A, 'authfail'), false, 'and begins anew');
  assert.equal(made.admit(A, 0), 'ok');
});

test('slow failures run off and never add up', () => {
  const { made, wait } = make();
  for (let i = 0; i < 100; i++) {
    made.penalise(A, 'authfail');
    assert.equal(made.admit(A, 0), 'ok');
    wait(5);
  }
});

test('each kind counts what the settings say, at most 600 s altogether', () => {
  const lasts = (kind: Parameters<Penalties['penalise']>[1], times: number) => {
    const { made, wait } = make('penalties: { min_s: 0 }');
    for (let i = 0; i < times; i++) made.penalise(A, kind);
    let seconds = 0;
    for (; made.admit(A, 0) === 'penalty'; seconds++) wait(1);
    return seconds;
  };
  assert.equal(lasts('crash', 1), 90);
  assert.equal(lasts('authfail', 1), 5);
  assert.equal(lasts('invaliduser', 1), 5);
  assert.equal(lasts('refuseconnection', 1), 10);
  assert.equal(lasts('noauth', 1), 1);
  assert.equal(lasts('grace_exceeded', 1), 10);
  assert.equal(lasts('crash', 100), 600);
});

test('a penalty hits its source and no other', () => {
  const { made } = make();
  made.penalise('2001:db8::1', 'crash');
  assert.equal(made.admit('2001:db8::ffff', 0), 'penalty', 'the same /64');
  assert.equal(made.admit('2001:db8:0:1::1', 0), 'ok');
  made.penalise(`::ffff:${A}`, 'crash');
  assert.equal(made.admit(A, 0), 'penalty', 'mapped and plain are one');
  assert.equal(made.admit('192.0.2.2', 0), 'ok');
  made.penalise(undefined, 'crash');
  assert.equal(made.admit(undefined, 0), 'penalty', 'a source without an address is one too');
});

test('exempt networks get none, loopback by default and not by setting', () => {
  const { made } = make();
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
    made.penalise(address, 'crash');
    assert.equal(made.admit(address, 0), 'ok');
  }
  assert.equal(made.sources, 0);
  const strict = make('penalties: { exempt: [] }').made;
  strict.penalise('127.0.0.1', 'crash');
  assert.equal(strict.admit('127.0.0.1', 0), 'penalty');
});

test('switched off, there are no penalties, but the early drop stays', () => {
  const { made } = make('penalties: { enabled: false }');
  made.penalise(A, 'crash');
  assert.equal(made.admit(A, 0), 'ok');
  assert.equal(made.admit(A, 100), 'early-drop');
});

test('sources are bounded for each family, the soonest to run off goes first', () => {
  const { made } = make('penalties: { max_sources: 100, min_s: 0 }');
  made.penalise('10.0.0.1', 'crash');
  made.penalise('2001:db8::1', 'crash');
  for (let i = 0; i < 1000; i++) {
    made.penalise(`10.1.${i >> 8}.${i & 255}`, 'authfail');
    made.penalise(`2001:db8:1:${i.toString(16)}::`, 'authfail');
  }
  assert.equal(made.sources, 200);
  assert.equal(made.admit('10.0.0.1', 0), 'penalty');
  assert.equal(made.admit('2001:db8::1', 0), 'penalty');
});

test('a flood of 300,000 sources costs little time each', () => {
  const { made } = make();
  const start = process.hrtime.bigint();
  for (let i = 0; i < 300_000; i++) {
    made.penalise(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 'authfail');
  }
  const perSourceUs = Number(process.hrtime.bigint() - start) / 1000 / 300_000;
  assert.equal(made.sources, 65_536);
  assert.ok(perSourceUs < 100, `${perSourceUs.toFixed(1)} us per source`);
});

test('early drop: none below 10, 30 % at 10, rising evenly, all at 100', () => {
  const random = seeded('early drop');
  const { made } = make('', () => random.int(0, 999_999) / 1_000_000);
  const share = (unauthenticated: number) => {
    let dropped = 0;
    for (let i = 0; i < 10_000; i++) if (made.admit(A, unauthenticated) !== 'ok') dropped++;
    return dropped / 10_000;
  };
  assert.equal(share(0), 0);
  assert.equal(share(9), 0);
  assert.ok(Math.abs(share(10) - 0.3) < 0.03);
  assert.ok(Math.abs(share(55) - 0.65) < 0.03);
  assert.ok(share(99) > 0.97);
  assert.equal(share(100), 1);
  assert.equal(share(1e9), 1);
  assert.equal(share(Number.NaN), 1, 'a count that is none drops');
});

test('early drop with begin equal to full is a plain limit', () => {
  const { made } = make('startups: { begin: 5, full: 5 }', () => 0.999_999);
  assert.equal(made.admit(A, 4), 'ok');
  assert.equal(made.admit(A, 5), 'early-drop');
});
