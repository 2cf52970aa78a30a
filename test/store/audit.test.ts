/** The audit chain: what was written verifies, and any row that is edited, removed or moved is named. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import {
  appendCommit,
  auditHead,
  canonicalJson,
  commits,
  verifyAudit,
} from '../../src/store/audit.ts';
import type { Database } from '../../src/store/database.ts';
import { CommitEntity } from '../../src/store/entities.ts';
import type { CommitRecord } from '../../src/store/entities.ts';
import { testDatabase } from './setup.ts';

const COUNT = 7;

async function chain(db: Database): Promise<CommitRecord[]> {
  for (let i = 1; i <= COUNT; i++) {
    const diff = [{ kind: 'user', name: `u${i}`, after: { b: 1, a: null } }];
    const commit = { author: 'root', time: 1_800_000_000_000_000 + i, message: `m${i}`, diff };
    assert.equal(await db.transaction((manager) => appendCommit(manager, commit)), i);
  }
  return db.read((manager) => manager.find(CommitEntity, { order: { number: 'ASC' } }));
}

/** Puts other rows in place of the chain, as somebody with the file in hand could. */
async function replace(db: Database, rows: readonly CommitRecord[]): Promise<void> {
  await db.transaction(async (manager) => {
    await manager.clear(CommitEntity);
    await manager.insert(CommitEntity, [...rows]);
  });
}

test('an untouched chain verifies, from no commit to many', async (t) => {
  const { db } = await testDatabase(t);
  const empty = { number: 0, digest: '0'.repeat(64) };
  assert.deepEqual(await verifyAudit(db), { ok: true, head: empty });
  await chain(db);
  const head = await auditHead(db);
  assert.equal(head.number, COUNT);
  assert.deepEqual(await verifyAudit(db, [empty, head]), { ok: true, head });
  assert.deepEqual(
    (await commits(db, 2)).map(({ number }) => number),
    [7, 6],
  );
});

test('the digest covers exactly the bytes that the file says', async (t) => {
  const { db } = await testDatabase(t);
  const [first, second] = await chain(db);
  const text =
    '{"author":"root","diff":[{"after":{"a":null,"b":1},"kind":"user","name":"u2"}],' +
    '"message":"m2","number":2,"time":1800000000000002}';
  const digest = createHash('sha256')
    .update(Buffer.from(first?.digest ?? '', 'hex'))
    .update(text);
  assert.equal(second?.digest, digest.digest('hex'));
});

test('every edit of every field of every row is found', async (t) => {
  const { db } = await testDatabase(t);
  const rows = await chain(db);
  const edits: ((row: CommitRecord) => CommitRecord)[] = [
    (row) => ({ ...row, author: 'Root' }),
    (row) => ({ ...row, time: row.time + 1 }),
    (row) => ({ ...row, message: `${row.message} ` }),
    (row) => ({ ...row, diff: row.diff.replace('user', 'User') }),
    (row) => ({ ...row, diff: `${row.diff} ` }),
    (row) => ({ ...row, digest: row.digest.replace(/^./, (c) => (c === '0' ? '1' : '0')) }),
  ];
  for (const [i, row] of rows.entries()) {
    for (const edit of edits) {
      await replace(db, rows.with(i, edit(row)));
      const verdict = await verifyAudit(db);
      assert.ok(!verdict.ok && verdict.number === i + 1, `${i} ${String(edit)}`);
    }
  }
});

test('a removed, inserted or moved row is found', async (t) => {
  const { db } = await testDatabase(t);
  const rows = await chain(db);
  const head = await auditHead(db);
  const at = (i: number): CommitRecord => rows[i] ?? assert.fail();
  for (let i = 0; i < COUNT; i++) {
    await replace(db, rows.toSpliced(i, 1));
    // That the last one is gone shows only against a head that was kept elsewhere.
    const verdict = await verifyAudit(db, [head]);
    assert.ok(!verdict.ok && verdict.number === i + 1, `removed ${i + 1}`);
    assert.match(verdict.reason, /missing/);
    // Closing the gap by renumbering what follows.
    await replace(
      db,
      rows.toSpliced(i, 1).map((row, n) => ({ ...row, number: n + 1 })),
    );
    assert.equal((await verifyAudit(db, [head])).ok, false, `removed and renumbered ${i + 1}`);
  }
  for (let i = 0; i + 1 < COUNT; i++) {
    const swapped = rows
      .with(i, { ...at(i + 1), number: i + 1 })
      .with(i + 1, { ...at(i), number: i + 2 });
    await replace(db, swapped);
    assert.equal((await verifyAudit(db)).ok, false, `swapped ${i + 1}`);
  }
  await replace(db, [...rows, { ...at(0), number: COUNT + 1 }]);
  assert.equal((await verifyAudit(db)).ok, false);
  for (const number of [0, -3]) {
    await replace(db, [...rows, { ...at(0), number }]);
    assert.equal((await verifyAudit(db)).ok, false, `a row with number ${number}`);
  }
});

test('a chain written anew does not match a head that was kept elsewhere', async (t) => {
  const { db } = await testDatabase(t);
  await chain(db);
  const head = await auditHead(db);
  await db.transaction((manager) => manager.clear(CommitEntity));
  for (let i = 0; i < COUNT; i++) {
    const commit = { author: 'eve', time: i, message: '', diff: [] };
    await db.transaction((manager) => appendCommit(manager, commit));
  }
  assert.equal((await verifyAudit(db)).ok, true);
  assert.equal((await verifyAudit(db, [head])).ok, false);
});

test('a chain of more than one page is walked to its end', async (t) => {
  const { db } = await testDatabase(t);
  await db.transaction(async (manager) => {
    for (let i = 0; i < 1_001; i++) {
      await appendCommit(manager, { author: 'a', time: i, message: '', diff: [] });
    }
  });
  const verdict = await verifyAudit(db);
  assert.ok(verdict.ok && verdict.head.number === 1_001);
});

test('canonical JSON has one form, and text that no database can hold stays verifiable', async (t) => {
  assert.equal(
    canonicalJson({ b: [1, 'x'], a: { d: null, c: true } }),
    '{"a":{"c":true,"d":null},"b":[1,"x"]}',
  );
  assert.equal(canonicalJson({ é: 1, z: 2, Z: undefined }), '{"z":2,"é":1}');
  assert.throws(() => canonicalJson(1.5), { code: 'internal' });
  assert.throws(() => canonicalJson(() => 1), { code: 'internal' });
  const { db } = await testDatabase(t);
  const odd = '\uD800 "\\\u2028\n';
  await db.transaction((manager) =>
    appendCommit(manager, { author: odd, time: 1, message: odd, diff: [odd] }),
  );
  assert.equal((await verifyAudit(db)).ok, true);
});
