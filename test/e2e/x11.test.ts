/** `ssh -Y` through the gate: a program at the target talks to the X server on the user's side. */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startSite } from '../support/site.ts';
import { ssh } from '../support/ssh-client.ts';
import { tempDir } from '../support/tempdir.ts';
import { ALL, channelsOf, startEcho } from './forward-place.ts';

const XAUTH = '/usr/bin/xauth';

test(
  'a program at the target reaches the X server, by the channel that it asked for',
  { skip: existsSync(XAUTH) ? false : 'no xauth here' },
  async (t) => {
    // Answers what it gets in upper case, so the first byte of the byte order `l` comes back as `L`.
    const server = await startEcho(t);
    const site = await startSite(t, { channels: ALL });
    const dir = tempDir(t);
    chmodSync(dir, 0o755);
    const program = join(dir, 'x11.py');
    copyFileSync(join(import.meta.dirname, '../support/x11.py'), program);
    chmodSync(program, 0o644);
    const display = `127.0.0.1:${server.port - 6000}`;
    const options = { flags: ['-Y'], env: { DISPLAY: display, HOME: dir } };
    const { stdout, stderr } = await ssh(site.to, `/usr/bin/python3 ${program}`, options);
    assert.equal(stdout.toString(), "answer b'L'\n", stderr.toString());
    assert.ok(server.received().toString('latin1').startsWith('l\0\x0b\0'));
    const channels = await channelsOf(site.gate, (all) => typeof all[1]?.result === 'string');
    assert.equal(channels[1]?.kind, 'x11');
    assert.match(await site.gate.text(['trail', 'show', 'newest']), /user: X11/);
    const without = await startSite(t, { channels: ['exec'] });
    const refused = await ssh(without.to, 'echo "[$DISPLAY]"', options);
    assert.equal(refused.stdout.toString(), '[]\n');
    assert.match(
      await without.gate.text(['trail', 'show', 'newest']),
      /X11 \(refused by the gate\)/,
    );
  },
);
