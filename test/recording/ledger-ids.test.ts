/**
 * P4: a ledger in which a name was changed to one that no connection or channel can have is told as bad like any other,
 * by the verifier, and stops neither it nor a recovery.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProtocolError } from '../../src/base/errors.ts';
import {
  decodeChannelDigest,
  decodeLedgerEnd,
  decodeLedgerRecovered,
  decodeLedgerStart,
} from '../../src/recording/ledger-records.ts';
import { Storage } from '../../src/recording/storage.ts';
import { tempDir } from '../support/tempdir.ts';
import { endConnection, startConnection, startInstance, verdicts } from './instance.ts';

const HEADER = 'a'.repeat(64);
const NAMES = {
  'of version 4': '0199a3c4-5d6e-4abc-8def-0123456789ab',
  'of a year that has five digits': 'ff99a3c4-5d6e-7abc-8def-0123456789ab',
};

for (const [name, connection] of Object.entries(NAMES)) {
  test(`a connection's id ${name} is no id`, () => {
    const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
    const end = { connection, digest: '', channels: [], reason: '' };
    const recovered = { connection, instance: connection, absent: true, digest: '', channels: [] };
    assert.throws(() => decodeLedgerStart(json({ connection, header: HEADER })), ProtocolError);
    assert.throws(() => decodeLedgerEnd(json(end)), ProtocolError);
    assert.throws(() => decodeLedgerRecovered(json(recovered)), ProtocolError);
  });
}

test('a channel beyond what a file can be named is no channel', () => {
  const payload = Buffer.from(JSON.stringify({ channel: 1e9, digest: '' }));
  assert.throws(() => decodeChannelDigest(payload), ProtocolError);
});

test('every byte of an id changed in a ledger is told, and the verifier goes on', async (t) => {
  const storage = new Storage(join(tempDir(t), 'recordings'));
  const ledger = await startInstance(storage);
  const live = await startConnection(storage, ledger, 1);
  await endConnection(ledger, live);
  await ledger.close('stopped');
  const path = storage.ledgerPath(ledger.instance);
  const bytes = readFileSync(path);
  const start = bytes.indexOf(live.id);
  assert.ok(start > 0);
  for (let at = start; at < start + live.id.length; at++) {
    for (const character of '04f-') {
      const changed = Buffer.from(bytes);
      changed[at] = character.charCodeAt(0);
      if (changed.equals(bytes)) continue;
      writeFileSync(path, changed);
      const bad = (await verdicts(storage, [])).filter(({ state }) => state === 'bad');
      assert.ok(
        bad.some((report) => report.path === path),
        `byte ${at - start} of the id`,
      );
    }
  }
});
