/**
 * The client table in small (proof 4): the clients that every machine with tests has do through the gate what they do
 * directly, file for file. `make client-table` plays all clients and features, and writes docs/clients.md.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { CLIENTS } from '../clients/all.ts';
import { startPlace } from '../clients/place.ts';
import type { Place } from '../clients/place.ts';
import { playAll } from '../clients/play.ts';
import { TITLES } from '../clients/scene.ts';
import type { Feature } from '../clients/scene.ts';
import { figure } from '../support/figure.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import { ManualScope } from '../support/scope.ts';
import { ROOT } from '../support/source-tree.ts';

/** Packages that `test/peers` brings; the others are only for the table. */
const PEERS = readFileSync(join(ROOT, 'test/peers'), 'utf8');

/** The rest is held by tests of its own, or dear. */
const PLAYED: readonly Feature[] = [
  ...(['shell', 'sftp', 'scp', 'rsync', 'git', 'mux'] as const),
  ...(['-L', '-R', '-D', '-W', '-A'] as const),
];

suite('client table', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let place: Place;
  before(async () => {
    place = await startPlace(scope);
  });

  for (const client of CLIENTS) {
    if (!PEERS.includes(`\n${client.package} `)) continue;
    test(client.name, { timeout: 290_000 }, async (t) => {
      if (!client.isThere()) {
        assert.notEqual(process.env['CI'], 'true', `${client.name} is missing, CI wants it`);
        t.skip(`${client.name} is not installed`);
        return;
      }
      const [row] = await playAll(place, [client], { features: PLAYED, ways: ['named'] });
      const cells = [...(row?.cells ?? [])].filter(([, { verdict }]) => verdict !== 'none');
      const wrong = cells.filter(([, { verdict }]) => verdict !== 'same');
      figure({
        scenario: 'clients',
        what: `${client.name}: cells the same as directly`,
        pass: `${cells.length} of ${cells.length}`,
        measured: `${cells.length - wrong.length} of ${cells.length}`,
        ok: wrong.length === 0,
      });
      const files = cells.reduce((sum, [, cell]) => sum + cell.files, 0);
      figure({
        scenario: 'clients',
        what: `${client.name}: whole files that the gate gave back`,
        pass: 'all',
        measured: String(files),
        ok: wrong.length === 0,
      });
      assert.notEqual(cells.length, 0);
      assert.deepEqual(wrong, []);
    });
  }
});

test('docs/clients.md has every client and every feature', () => {
  const file = join(ROOT, 'docs/clients.md');
  assert.ok(existsSync(file), 'run: make client-table');
  const text = readFileSync(file, 'utf8');
  for (const { name } of CLIENTS) assert.ok(text.includes(`| ${name} `), name);
  for (const title of Object.values(TITLES)) assert.ok(text.includes(`| ${title} `), title);
});
