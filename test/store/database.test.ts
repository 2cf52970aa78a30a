/** The database: made by migrations alone, one writer at a time, readers apart, and no where clause without a value. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import test from 'node:test';
import { initial } from '../../migrations/1795399963360-initial.ts';
import { MIGRATIONS } from '../../migrations/steps.ts';
import { newObjectId, newUuid } from '../../src/base/ids.ts';
import { connection } from '../../src/store/connections.ts';
import { openDatabase } from '../../src/store/database.ts';
import { GroupEntity } from '../../src/store/entities.ts';
import { testDatabase } from './setup.ts';

const group = (name: string) => ({ id: newObjectId(), uuid: name, name });

test('migrations make every table from nothing, without drift from the entities', async (t) => {
  const said: string[] = [];
  const { db, path } = await testDatabase(t, { onProgress: (text) => said.push(text) });
  assert.deepEqual(await db.schemaDrift(), []);
  assert.equal(said.length, 2);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await db.close();
  const again = await testDatabase(t, { path, onProgress: (text) => assert.fail(text) });
  assert.deepEqual(await again.db.schemaDrift(), []);
});

test('a schema that lacks an index is seen as drift', async (t) => {
  const lacking = {
    ...initial,
    async up(schema: Parameters<typeof initial.up>[0]) {
      await initial.up({
        ...schema,
        createTable: (table) => schema.createTable({ ...table, indices: [] }),
      });
    },
  };
  const { db } = await testDatabase(t, { migrations: [lacking] });
  assert.notDeepEqual(await db.schemaDrift(), []);
});

test('a failing migration leaves nothing behind', async (t) => {
  const failing = {
    name: 'Failing1795399963999',
    async up(schema: Parameters<typeof initial.up>[0]) {
      await schema.createTable({
        name: 'half',
        columns: [{ name: 'id', type: 'text', isPrimary: true }],
      });
      throw new Error('no more');
    },
    down: () => Promise.resolve(),
  };
  const { db, path } = await testDatabase(t);
  await db.close();
  const migrations = [...MIGRATIONS, failing];
  await assert.rejects(openDatabase({ path, migrations }), { code: 'dir-invalid' });
  const { db: after } = await testDatabase(t, { path });
  assert.deepEqual(await after.schemaDrift(), []);
});

test('a database of a newer version is refused', async (t) => {
  const later = { ...initial, name: 'Later1995399963360', up: () => Promise.resolve() };
  const { db, path } = await testDatabase(t, { migrations: [...MIGRATIONS, later] });
  await db.close();
  await assert.rejects(openDatabase({ path }), { code: 'dir-invalid', message: /newer version/ });
});

test('rows that are there outlive every later migration', async (t) => {
  const { db, path } = await testDatabase(t, { migrations: [initial] });
  const id = newUuid(1_800_000_000_000);
  await db.transaction(async (manager) => {
    const names = Object.entries({ id, shortId: 'x', instance: id, status: 'CONNECTED' });
    const texts = ['userId', 'user', 'loginName', 'sourceAddress', 'clientVersion', 'authMethod'];
    names.push(...[...texts, 'keyFingerprint'].map((name): [string, string] => [name, 'x']));
    const numbers = ['sourcePort', 'startedAt', 'bytesIn', 'bytesOut', 'lastSequence'];
    names.push(...numbers.map((name): [string, string] => [name, '0']));
    const columns = names.map(([name]) => `"${name}"`).join();
    const values = names.map(([, value]) => `'${value}'`).join();
    await manager.query(`INSERT INTO "connections" (${columns}) VALUES (${values})`);
    await manager.query(
      `INSERT INTO "channels" ("connectionId", "ordinal", "kind", "command", "openedAt", "bytesIn", "bytesOut")
       VALUES ('${id}', 0, 'shell', '', 0, 0, 0)`,
    );
  });
  await db.close();
  const { db: after } = await testDatabase(t, { path });
  const row = await connection(after, id);
  assert.equal(row?.kind, 'target');
  assert.equal(row.parentId, null);
  assert.equal(row.channels.length, 1);
  assert.deepEqual(await after.schemaDrift(), []);
});

test('100 concurrent transactions all happen, one after the other', async (t) => {
  const { db } = await testDatabase(t);
  let inside = 0;
  const work = Array.from({ length: 100 }, (_, i) =>
    db.transaction(async (manager) => {
      assert.equal(++inside, 1);
      const before = await manager.count(GroupEntity);
      await manager.insert(GroupEntity, group(`g${i}`));
      assert.equal(await manager.count(GroupEntity), before + 1);
      inside--;
      if (i % 10 === 9) throw new Error('undone');
    }),
  );
  const results = await Promise.allSettled(work);
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 90);
  assert.equal(await db.read((manager) => manager.count(GroupEntity)), 90);
});

test('a failed transaction leaves no rows, and saving inside one works', async (t) => {
  const { db } = await testDatabase(t);
  await assert.rejects(
    db.transaction(async (manager) => {
      await manager.save(GroupEntity, group('a'));
      await manager.insert(GroupEntity, { ...group('b'), name: 'a' });
    }),
    /UNIQUE/,
  );
  assert.equal(await db.read((manager) => manager.count(GroupEntity)), 0);
  await db.transaction((manager) => manager.save(GroupEntity, group('a')));
  assert.equal(await db.read((manager) => manager.count(GroupEntity)), 1);
});

test('a read sees one state while others write, and cannot write itself', async (t) => {
  const { db } = await testDatabase(t);
  await db.read(async (manager) => {
    assert.equal(await manager.count(GroupEntity), 0);
    await db.transaction((writer) => writer.insert(GroupEntity, group('a')));
    assert.equal(await manager.count(GroupEntity), 0);
    await assert.rejects(manager.insert(GroupEntity, group('b')), /readonly/);
  });
  assert.equal(await db.read((manager) => manager.count(GroupEntity)), 1);
});

test('a transaction holds the write lock from its start', async (t) => {
  const { db, path } = await testDatabase(t);
  const other = await testDatabase(t, { path, busyTimeoutMs: 1 });
  await db.transaction(async () => {
    await assert.rejects(
      other.db.transaction(() => assert.fail('the lock was not held')),
      /SQLITE_BUSY/,
    );
  });
  await other.db.transaction((manager) => manager.insert(GroupEntity, group('a')));
});

test('a where clause with undefined or null throws instead of finding the first row', async (t) => {
  const { db } = await testDatabase(t);
  await db.transaction((manager) => manager.insert(GroupEntity, group('a')));
  const find = (id: unknown) =>
    db.read((manager) => manager.findOneBy(GroupEntity, { id: id as string }));
  await assert.rejects(find(undefined), /Undefined value/);
  await assert.rejects(find(null), /Null value/);
});

test('a closed database refuses', async (t) => {
  const { db } = await testDatabase(t);
  await db.close();
  await db.close();
  await assert.rejects(
    db.transaction(() => Promise.resolve()),
    { code: 'internal' },
  );
  await assert.rejects(
    db.read(() => Promise.resolve()),
    { code: 'internal' },
  );
});
