/**
 * What has ended stays ended, whatever was under way: a request that began before the logout does not bring its session
 * back, and a commit whose session ended takes nobody else's transaction away.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { Transactions } from '../../src/api/transactions.ts';
import type { Caller } from '../../src/api/route.ts';
import { openDatabase } from '../../src/store/database.ts';
import { readInventory } from '../../src/store/inventory.ts';
import { ADMIN_PASSWORD, startApiGate } from '../support/api-gate.ts';
import { defer } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

test('a request that outlasts the logout does not bring the session back', async (t) => {
  const place = await startApiGate(t);
  const admin = await place.admin();
  const cookie = admin.cookie ?? '';
  const [host = '', port = ''] = place.gate.https.split(':');
  const ca = readFileSync(join(place.gate.dir, 'tls/ca.pem'));
  const socket = connect({ host, port: Number(port), ca });
  defer(t, () => {
    socket.destroy();
  });
  let told = '';
  socket.on('data', (piece: Buffer) => (told += piece.toString()));
  const body = '{"status":"commit"}';
  socket.write(
    `PUT /api/transaction HTTP/1.1\r\nHost: ${place.gate.https}\r\nCookie: session_id=${cookie}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n` +
      'Connection: close\r\nExpect: 100-continue\r\n\r\n',
  );
  // The gate knows by now whose request it is.
  while (!told.includes('100 Continue')) await once(socket, 'data');
  assert.equal((await admin.delete('/api/authentication')).status, 200);
  socket.write(body);
  await once(socket, 'close');
  assert.match(told, /HTTP\/1\.1 409 /);
  const again = place.client();
  again.cookie = cookie;
  assert.equal((await again.get('/api/transaction')).status, 401);
  assert.equal((await again.login('admin', ADMIN_PASSWORD)).status, 200);
});

test('a commit whose session ends meanwhile leaves the next transaction alone', async (t) => {
  const db = await openDatabase({ path: join(tempDir(t), 'sallyport.db') });
  defer(t, () => db.close());
  const inventory = await readInventory(db);
  const writing = Promise.withResolvers<null>();
  const begun = Promise.withResolvers<undefined>();
  const alive = new Set(['first', 'second']);
  const transactions = new Transactions({
    current: () => inventory,
    aliveUntil: (session) => (alive.has(session) ? 1 : undefined),
    commit: () => {
      begun.resolve(undefined);
      return writing.promise;
    },
    isMessageRequired: () => false,
    opensImplicitly: () => false,
  });
  const caller = (session: string): Caller => ({
    ...{ session, userId: session, userName: session, mayChange: true, expiresMs: 1 },
  });
  transactions.open(caller('first'));
  const committing = transactions.commit(caller('first'), '');
  await begun.promise;
  assert.throws(() => transactions.open(caller('second')), { type: 'ConfigurationLocked' });
  alive.delete('first');
  transactions.sessionEnded('first');
  transactions.open(caller('second'));
  writing.resolve(null);
  await committing;
  assert.ok(transactions.isOpen(caller('second')));
  await transactions.drop(caller('second'));
  assert.ok(!transactions.isOpen(caller('second')));
});
