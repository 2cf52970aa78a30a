/**
 * A recordings volume that fills up (P5, as far as it is built): what cannot be recorded is not delivered, the user is
 * told so without a word about where the recordings lie, nobody new gets in, and service returns with the space.
 */
import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasOpenSsh } from '../support/openssh.ts';
import { check, run } from '../support/process.ts';
import { defer } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import { ssh } from '../support/ssh-client.ts';
import { isRoot } from '../support/test-login.ts';

const skip = !hasOpenSsh() ? 'no OpenSSH server' : isRoot() ? false : 'only root may mount';
const TOLD = /this session cannot be recorded and ends here/;

test(
  'a full volume: refused with a clear text, nothing unrecorded, back by itself',
  { skip },
  async (t) => {
    const { gate, to } = await startSite(t);
    await gate.stop();
    const recordings = join(gate.dir, 'recordings');
    await rm(recordings, { recursive: true });
    await check(['mkdir', '-m', '700', recordings]);
    await check(['mount', '-t', 'tmpfs', '-o', 'size=3m,mode=700', 'tmpfs', recordings]);
    defer(t, async () => {
      await run(['umount', '-l', recordings]);
    });
    await gate.restart();

    const big = await ssh(to, 'head -c 10000000 /dev/zero');
    assert.notEqual(big.code, 0);
    assert.match(big.stderr.toString(), TOLD);
    assert.ok(big.stdout.length < 3 * 1024 * 1024, `${big.stdout.length} bytes came through`);

    const refused = await ssh(to, 'echo must not be seen');
    assert.equal(refused.stdout.toString(), '');
    assert.match(refused.stderr.toString(), TOLD);
    assert.doesNotMatch(refused.stderr.toString(), /recordings|\.trail|ENOSPC/);

    for (const name of await readdir(recordings)) {
      if (name !== 'ledgers') await rm(join(recordings, name), { recursive: true, maxRetries: 20 });
    }
    // The ledger is tried again every 2 s; a session that comes earlier is refused once more.
    const deadline = Date.now() + 10_000;
    let back = await ssh(to, 'echo back');
    while (back.code !== 0 && Date.now() < deadline) back = await ssh(to, 'echo back');
    assert.equal(back.stdout.toString(), 'back\n', back.stderr.toString());
    await gate.stop();
  },
);
