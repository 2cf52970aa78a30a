/** Identities come from the current snapshot, and no kind of user can be told from another. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { Authenticator } from '../../src/access/authn.ts';
import type { PasswordChecker } from '../../src/access/authn.ts';
import { Passwords } from '../../src/access/password.ts';
import type { Hasher } from '../../src/access/password.ts';
import { Snapshot, SnapshotHolder } from '../../src/access/snapshot.ts';
import { Secret } from '../../src/base/secret.ts';
import { parseConfig } from '../../src/config/config.ts';
import type { UserRow } from '../../src/store/rows.ts';
import { encodePublicKey, fingerprint } from '../../src/wire/publickey.ts';
import { inventory, user } from './inventory-fixture.ts';

function makeBlob(): Buffer {
  return encodePublicKey(generateKeyPairSync('ed25519').publicKey);
}
const line = (blob: Buffer): string => `ssh-ed25519 ${blob.toString('base64')} x`;

const HASH = `$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzYWx0$${'A'.repeat(43)}`;
const mine = makeBlob();
const theirs = makeBlob();

const USERS: readonly UserRow[] = [
  user('alice', { passwordHash: HASH, keys: ['rubbish', line(mine)], groups: ['ops', 'gone'] }),
  user('mallory', { keys: [line(theirs)] }),
  user('off', { passwordHash: HASH, keys: [line(mine)], disabled: true }),
];

interface Options {
  readonly users?: readonly UserRow[];
  readonly passwords?: PasswordChecker;
  readonly nowUs?: () => number;
  readonly wallUs?: () => number;
  readonly delayKey?: Secret;
}

function make(options: Options = {}) {
  const snapshots = new SnapshotHolder(new Snapshot(inventory({ users: options.users ?? USERS })));
  const authn = new Authenticator({
    snapshots,
    passwords: options.passwords ?? { verify: (hash) => Promise.resolve(hash !== null) },
    delayKey: options.delayKey ?? new Secret(Buffer.alloc(32, 1)),
    nowUs: options.nowUs ?? (() => 0),
    wallUs: options.wallUs ?? (() => 0),
  });
  return { authn, snapshots };
}

test('a key gives the identity of the user who has it, frozen', () => {
  const identity = make().authn.identityByKey('alice', Buffer.from(mine));
  assert.deepEqual(identity, {
    userId: 'id-alice',
    userName: 'alice',
    groups: ['ops'],
    commit: 7,
    method: 'publickey',
    keyFingerprint: fingerprint(mine),
  });
  assert.ok(Object.isFrozen(identity) && Object.isFrozen(identity.groups));
});

test("no identity by another's key, an unknown name, a disabled user, a part of a key", () => {
  const { authn } = make();
  const refused: [string, Buffer][] = [
    ['alice', theirs],
    ['mallory', mine],
    ['nobody', mine],
    ['', mine],
    ['Alice', mine],
    ['off', mine],
    ['alice', Buffer.alloc(0)],
    ['alice', mine.subarray(0, mine.length - 1)],
    ['alice', Buffer.concat([mine, Buffer.from([0])])],
    ['__proto__', mine],
  ];
  for (const [name, blob] of refused)
    assert.equal(authn.identityByKey(name, blob), undefined, name);
});

test('a row without the word that enables it is refused', () => {
  const row = { ...user('alice', { keys: [line(mine)] }), disabled: undefined };
  const { authn } = make({ users: [row as unknown as UserRow] });
  assert.equal(authn.identityByKey('alice', mine), undefined);
});

test('a user may log in until his time is over, and a row without that field is refused', async () => {
  let now = 99;
  const row = user('alice', { keys: [line(mine)], passwordHash: HASH, expires: 100 });
  const { authn } = make({ users: [row], wallUs: () => now });
  assert.ok(authn.identityByKey('alice', mine));
  assert.ok(await authn.identityByPassword('alice', new Secret('x')));
  now = 100;
  assert.equal(authn.identityByKey('alice', mine), undefined);
  assert.equal(await authn.identityByPassword('alice', new Secret('x')), undefined);
  const odd = { ...row, expires: undefined } as unknown as UserRow;
  assert.equal(make({ users: [odd] }).authn.identityByKey('alice', mine), undefined);
});

test('a password gives an identity by either method', async () => {
  const { authn } = make();
  const one = await authn.identityByPassword('alice', new Secret('x'));
  assert.equal(one?.method, 'password');
  const two = await authn.identityByPassword('alice', new Secret('x'), 'keyboard-interactive');
  assert.equal(two?.method, 'keyboard-interactive');
  assert.equal(two.keyFingerprint, '');
});

test('a commit counts for the next login', () => {
  const { authn, snapshots } = make();
  assert.ok(authn.identityByKey('alice', mine));
  snapshots.replace(new Snapshot(inventory({ commit: 8, users: [user('alice')] })));
  assert.equal(authn.identityByKey('alice', mine), undefined);
  snapshots.replace(Snapshot.empty());
  assert.equal(authn.identityByKey('mallory', theirs), undefined);
});

test('a user who is disabled or gets another password while the check runs is refused', async () => {
  const changes: UserRow[][] = [
    [],
    [user('alice', { passwordHash: HASH, disabled: true })],
    [user('alice', { passwordHash: HASH.replace('AAAA', 'BBBB') })],
    [user('alice', { passwordHash: HASH, id: 'another' })],
  ];
  for (const users of changes) {
    const checker: PasswordChecker = { verify: () => Promise.resolve(true) };
    const { authn, snapshots } = make({ passwords: checker });
    const login = authn.identityByPassword('alice', new Secret('x'));
    snapshots.replace(new Snapshot(inventory({ users })));
    assert.equal(await login, undefined);
  }
});

test('every kind of user costs exactly one password check', async () => {
  let checks = 0;
  const hasher: Hasher = {
    hash: () => Promise.resolve(HASH.replace('AAAA', 'dumm')),
    verify: () => {
      checks++;
      return Promise.resolve(true); // Even a check that says yes lets none of them in.
    },
  };
  const settings = parseConfig('', 'test').passwords;
  const { authn } = make({ passwords: await Passwords.create(settings, hasher) });
  const long = 'x'.repeat(5000);
  const tries: [string, string, boolean][] = [
    ['alice', 'right', true],
    ['alice', '', false],
    ['alice', long, false],
    ['nobody', 'x', false],
    ['nobody', '', false],
    ['nobody', long, false],
    ['', 'x', false],
    ['off', 'x', false],
    ['mallory', 'x', false],
  ];
  for (const [name, password, lets] of tries) {
    checks = 0;
    const identity = await authn.identityByPassword(name, new Secret(password));
    assert.equal(identity !== undefined, lets, name);
    assert.equal(checks, 1, `${name} with ${password.length} bytes`);
  }
});

test('a busy checker rejects for every kind of user alike', async () => {
  const busy: PasswordChecker = { verify: () => Promise.reject(new Error('busy')) };
  const { authn } = make({ passwords: busy });
  for (const name of ['alice', 'nobody', 'off', 'mallory']) {
    await assert.rejects(authn.identityByPassword(name, new Secret('x')), /busy/);
  }
});

test('failures take 5 to 9.2 ms, doubled until the time already spent is covered', () => {
  let now = 0;
  const { authn } = make({ nowUs: () => now });
  for (const name of ['alice', 'nobody', 'off', 'mallory', '']) {
    now = 0;
    const base = authn.failureDelay(name, 0);
    assert.ok(base >= 5 && base <= 9.2, `${name}: ${base}`);
    for (const spent of [1, base - 0.001, base + 0.001, 60, 130, 4000]) {
      now = spent * 1000;
      const whole = spent + authn.failureDelay(name, 0);
      const doublings = Math.log2(whole / base);
      assert.ok(whole >= spent);
      assert.ok(Math.abs(doublings - Math.round(doublings)) < 1e-6, `${name}: ${whole} of ${base}`);
      assert.ok(whole < 2 * Math.max(spent, base), 'no more than needed');
    }
  }
  now = 1000;
  assert.ok(authn.failureDelay('alice', 2000) >= 5, 'a start in the future is now');
  assert.equal(authn.failureDelay('alice', Number.NaN), 0, 'no endless loop');
  now = 1e12;
  assert.equal(authn.failureDelay('alice', 0), 0);
});

test('delays depend on name and process key, and known names do not stand out', () => {
  const known = Array.from({ length: 500 }, (_, i) => user(`known${i}`));
  const { authn } = make({ users: known });
  const mean = (prefix: string): number => {
    let sum = 0;
    for (let i = 0; i < 500; i++) sum += authn.failureDelay(`${prefix}${i}`, 0);
    return sum / 500;
  };
  assert.equal(authn.failureDelay('alice', 0), authn.failureDelay('alice', 0));
  assert.notEqual(authn.failureDelay('alice', 0), authn.failureDelay('alicf', 0));
  const other = make({ delayKey: new Secret(Buffer.alloc(32, 2)) }).authn;
  assert.notEqual(authn.failureDelay('alice', 0), other.failureDelay('alice', 0));
  // Even on 0-4.2 ms: 7.1 on average, with a deviation of the mean of 0.054.
  for (const prefix of ['known', 'unknown']) assert.ok(Math.abs(mean(prefix) - 7.1) < 0.3, prefix);
  assert.throws(() => make({ delayKey: new Secret('short') }), RangeError);
});
