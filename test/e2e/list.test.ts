/**
 * A login that names no target: with a terminal a list and a prompt, from which the session goes on as if the target had
 * been named; without one the list with the commands to type.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { Reader, Writer } from '../../src/wire/buffer.ts';
import { MSG } from '../../src/wire/messages.ts';
import { eventually } from '../support/eventually.ts';
import { hasOpenSsh } from '../support/openssh.ts';
import {
  adjustMessage,
  dataMessage,
  loginRaw,
  openMessage,
  requestMessage,
} from '../support/raw-client.ts';
import { run } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { ssh, sshCommand, sshEnv, sshInPty } from '../support/ssh-client.ts';
import type { Endpoint, PtyStep } from '../support/ssh-client.ts';
import { targetOf } from '../support/gate.ts';
import { recordsIn, storageOf, verdictsOn } from '../support/trail-files.ts';

const PROMPT = 'Number or part of a name, ^D to leave: ';
const MANY = 40;

suite('list', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  const scope = new ManualScope();
  after(() => scope.end());
  let site: Site;
  let bare: Endpoint;

  before(async () => {
    site = await startSite(scope, {
      inventory: (usual, target) => {
        const names = Array.from({ length: MANY }, (_, i) => `web${String(i + 10)}`);
        const others = names.map((name) => targetOf(name, target));
        return {
          ...usual,
          targets: [...(usual.targets ?? []), ...others],
          rules: (usual.rules ?? []).map((rule) => ({ ...rule, targets: ['db1', ...names] })),
        };
      },
    });
    bare = site.as('alice');
  });

  const inTerminal = (steps: PtyStep[], more: Parameters<typeof sshInPty>[2] = {}) =>
    sshInPty(bare, undefined, { rows: 60, columns: 100, ...more, steps });

  test('a number or a part of a name goes on there in the same channel', async () => {
    for (const typed of ['1\r', 'DB1\r', 'xx\b\x7fdb1\r', 'junk\x15db1\n', '\x1b[A\x1bOAdb1\r']) {
      const { stdout, code } = await inTerminal([
        { expect: PROMPT },
        { send: typed },
        { send: 'echo in""side; exit 7\r' },
        { expect: 'inside' },
      ]);
      assert.equal(code, 7, stdout.toString());
    }
    const row = await eventually('its row', async () => {
      const [newest] = await site.gate.connections();
      return newest?.['status'] === 'DISCONNECTED' ? newest : undefined;
    });
    assert.equal(row['kind'], 'target');
    assert.equal(row['target'], 'db1');
    assert.equal(row['account'], site.target.user);
    const [channel] = row['channels'] as Record<string, unknown>[];
    assert.equal(channel?.['kind'], 'shell');
    assert.equal(channel['result'], 'exit 7');
    for (const report of await verdictsOn(site.gate.dir, String(row['id']))) {
      assert.equal(report.state, 'complete', report.reason);
    }
    // What was typed at the prompt is recorded, and is nothing that the target was sent.
    const path = storageOf(site.gate.dir).channelPath(String(row['id']), 0);
    const records = await recordsIn(path);
    assert.ok(records.some(({ payload }) => payload.toString('latin1').includes(PROMPT)));
    const raw = await site.gate.text([
      'trail',
      'export',
      String(row['id']),
      '0',
      '--format',
      'raw-stdin',
    ]);
    assert.equal(raw, 'echo in""side; exit 7\r');
  });

  test('the session equals one with the target named: size, settings, environment, bytes', async () => {
    const script = [
      'PS1=; stty -echo; printf "be""gin\\n"',
      'stty -a; echo "$TERM $LC_TEST $COLUMNS"; tty >/dev/null && echo tty',
      'printf "e""nd\\n"; exit 3',
      '',
    ].join('\r');
    const options = {
      rows: 50,
      columns: 200,
      stty: ['intr', '^T', 'erase', '^H', '-ixon'],
      settings: ['SetEnv=LC_TEST=some-thing'],
      env: { TERM: 'vt220' },
    };
    const between = (text: string): string =>
      (/begin\r?\n([^]*)end\r?\n/.exec(text)?.[1] ?? text).replace(/ echo[a-z]* /g, ' ');
    const named = await sshInPty(site.to, undefined, { ...options, steps: [{ send: script }] });
    // A fast typist: all of it before the list is even there.
    const listed = await inTerminal([{ send: `db1\r${script}` }], options);
    assert.equal(named.code, 3, named.stdout.toString());
    assert.equal(listed.code, 3, listed.stdout.toString());
    assert.equal(between(listed.stdout.toString()), between(named.stdout.toString()));
    assert.match(between(listed.stdout.toString()), /rows 50; columns 200/);
    assert.match(between(listed.stdout.toString()), /vt220 some-thing/);
  });

  test('a terminal that changes its size at the prompt has the new one at the target', async () => {
    const { stdout, code } = await inTerminal([
      { expect: PROMPT },
      { resize: [33, 77] },
      { send: 'nothing-like-it\r' },
      { expect: 'Nothing here is called "nothing-like-it"' },
      { expect: PROMPT },
      { send: 'db1\r' },
      { send: 'stty size; exit\r' },
      { expect: '33 77' },
    ]);
    assert.equal(code, 0, stdout.toString());
  });

  test('10 MB both ways after it, within every window', async (t) => {
    const { target } = site;
    const size = 10_000_000;
    const peer = await loginRaw(t, bare);
    const window = 100_000;
    peer.send(openMessage({ sender: 3, window }));
    const confirmation = new Reader(await peer.next(MSG.channelOpenConfirmation), 5);
    const at = confirmation.uint32();
    let credit = confirmation.uint32();
    assert.ok(credit <= 32_768, `${credit} granted before there is a target`);
    let granted = window;
    let seen = Buffer.alloc(0);
    let total = 0;
    const digest = createHash('sha256');
    let counting = false;
    const take = (payload: Buffer): void => {
      if (payload[0] === MSG.channelWindowAdjust) credit += payload.readUInt32BE(5);
      if (payload[0] !== MSG.channelData) return;
      const data = payload.subarray(9);
      granted -= data.length;
      assert.ok(granted >= 0, 'more came than was granted');
      if (counting) {
        total += data.length;
        digest.update(data);
      } else {
        seen = Buffer.concat([seen, data]);
      }
      if (granted < window / 2) {
        peer.send(adjustMessage(at, window - granted));
        granted = window;
      }
    };
    const until = async (what: string, done: () => boolean): Promise<void> => {
      for (;;) {
        for (const payload of peer.received.splice(0)) take(payload);
        if (done()) return;
        await peer.until(() => peer.received.length > 0, what, 60_000);
      }
    };
    const send = async (data: Buffer): Promise<void> => {
      for (let from = 0; from < data.length;) {
        await until('a window', () => credit > 0);
        const piece = data.subarray(from, from + Math.min(credit, 30_000));
        credit -= piece.length;
        from += piece.length;
        peer.send(dataMessage(at, piece));
      }
    };
    const pty = new Writer().string('xterm').uint32(80).uint32(24).uint32(0).uint32(0).string('');
    peer.send(requestMessage(at, 'pty-req', true, pty.done()));
    peer.send(requestMessage(at, 'shell', true));
    // Longer than what is granted in all, and nothing of it for the target.
    await send(Buffer.from(`${'x\x15'.repeat(40_000)}${'nothing\r'.repeat(100)}db1\r`));
    await send(Buffer.from(`stty raw -echo; printf REA""DY; head -c ${size} | sha256sum; `));
    await send(Buffer.from(`printf TAK""E; head -c ${size} /dev/zero; exit 5\r`));
    await until('the shell', () => seen.includes('READY'));
    const bytes = Buffer.alloc(size, 'sallyport ');
    await send(bytes);
    await until('the sum', () => seen.includes('TAKE'));
    const sum = createHash('sha256').update(bytes).digest('hex');
    assert.ok(seen.includes(sum), 'the target got something else');
    const rest = seen.subarray(seen.indexOf('TAKE') + 4);
    total = rest.length;
    digest.update(rest);
    counting = true;
    await until('the end of the data', () => total >= size);
    assert.equal(total, size);
    assert.equal(
      digest.digest('hex'),
      createHash('sha256').update(Buffer.alloc(size)).digest('hex'),
    );
    assert.equal(target.user, site.target.user);
  });

  test('who leaves is let go: ^C, ^D and a wrong word', async () => {
    const interrupted = await inTerminal([{ expect: PROMPT }, { send: 'db\x03' }]);
    assert.equal(interrupted.code, 130, interrupted.stdout.toString());
    const left = await inTerminal([{ expect: PROMPT }, { eof: true }]);
    assert.equal(left.code, 1, left.stdout.toString());
    const row = await eventually('the row', async () => {
      const [newest] = await site.gate.connections();
      return newest?.['status'] === 'DISCONNECTED' ? newest : undefined;
    });
    assert.equal(row['kind'], 'gate');
    assert.equal(row['target'], null);
  });

  test('where he was last comes first, and many come in pages', async () => {
    const to = site.as(`alice@${site.target.user}@web33`);
    assert.equal((await ssh(to, 'true')).code, 0);
    await eventually(
      'the row',
      async () => (await site.gate.connections())[0]?.['target'] === 'web33',
    );
    const { stdout, code } = await inTerminal(
      [
        { expect: `1 to 21 of ${MANY + 1}, Enter for more. ` },
        { send: '\r' },
        { expect: `22 to ${MANY + 1} of ${MANY + 1}` },
        { send: 'web4\r' },
        { expect: 'web49' },
        { expect: PROMPT },
        { send: '\x04' },
      ],
      { rows: 24 },
    );
    assert.equal(code, 1, stdout.toString());
    const lines = stdout.toString().split(/\r\n/);
    const first = lines.find((line) => /^ +1 /.test(line)) ?? '';
    assert.ok(first.includes(`${site.target.user}@web33`), first);
    const part = lines.slice(lines.findIndex((line) => line.includes('web4')));
    assert.ok(part.some((line) => line.includes('web40')));
  });

  test('without a terminal the commands are printed, and they work', async () => {
    const { stdout, stderr, code } = await ssh(bare, undefined, { stdin: 'ignore' });
    assert.equal(code, 1, stderr.toString());
    const lines = stdout
      .toString()
      .split('\n')
      .filter((line) => line.startsWith('  ssh '));
    assert.equal(lines.length, MANY + 1);
    const words = (lines.find((line) => line.includes('@db1@')) ?? '').trim().split(' ');
    const options = sshCommand(bare).slice(1, sshCommand(bare).indexOf('-p'));
    const [program = '', ...rest] = words;
    const done = await run([program, ...options, ...rest, 'echo works'], { env: sshEnv(bare) });
    assert.equal(done.stdout.toString(), 'works\n', done.stderr.toString());
  });

  test('a command, sftp and scp get one clear line and nothing else', async () => {
    const line = /^no target named: log in as [^\n]+\n$/;
    const exec = await ssh(bare, 'id');
    assert.equal(exec.code, 1);
    assert.equal(exec.stdout.length, 0);
    assert.match(exec.stderr.toString(), line);
    const sftp = await ssh(bare, 'sftp', { flags: ['-s'] });
    assert.equal(sftp.code, 1);
    assert.equal(sftp.stdout.length, 0);
    assert.match(sftp.stderr.toString(), line);
    const row = await eventually('the row', async () => {
      const [newest] = await site.gate.connections();
      return newest?.['status'] === 'DISCONNECTED' ? newest : undefined;
    });
    const channels = row['channels'] as Record<string, unknown>[];
    assert.equal(channels[0]?.['result'], 'exit 1');
  });

  test('what was taken from him while the list stood is refused, and the list is shown anew', async (t) => {
    const own = await startSite(t, {
      inventory: (usual, target) => ({
        ...usual,
        targets: [...(usual.targets ?? []), targetOf('web1', target)],
        rules: [
          ...(usual.rules ?? []),
          ...(usual.rules ?? []).map((rule) => ({ ...rule, name: 'more', targets: ['web1'] })),
        ],
      }),
    });
    const peer = await loginRaw(t, { ...own.to, user: 'alice' });
    peer.send(openMessage({ sender: 7, window: 2 ** 20 }));
    const at = new Reader(await peer.next(MSG.channelOpenConfirmation), 5).uint32();
    const size = new Writer().string('vt220').uint32(80).uint32(24).uint32(0).uint32(0).string('');
    peer.send(requestMessage(at, 'pty-req', false, size.done()));
    peer.send(requestMessage(at, 'shell', false));
    const shown = async (end: string): Promise<string> => {
      let text = '';
      while (!text.endsWith(end)) text += (await peer.next(MSG.channelData)).toString('utf8', 9);
      return text;
    };
    assert.match(await shown(PROMPT), /@web1 /);
    const more = own.inventory.rules?.at(-1);
    const without = await own.gate.apply({ rules: [{ ...more, targets: ['db1'] }] });
    assert.equal(without.code, 0, without.stderr.toString());
    peer.send(dataMessage(at, 'web1\r'));
    const anew = await shown(PROMPT);
    assert.match(anew, /no access to ".*@web1": not known here, or no rule allows it/);
    assert.doesNotMatch(anew.slice(anew.indexOf('Where to')), /web1/);
    // Where sessions are left alone, the next choice is judged all the same.
    const disabled = await own.gate.apply(
      'settings: { end_sessions_on_change: false }\nusers: [{ name: alice, disabled: true }]',
    );
    assert.equal(disabled.code, 0, disabled.stderr.toString());
    peer.send(dataMessage(at, 'db1\r'));
    assert.match(await shown('administrator.\r\n'), /nothing here that you may reach/);
    await peer.next(MSG.channelClose);
    peer.destroy();
    assert.doesNotMatch(own.target.log(), /Accepted/);
    const told = await own.gate.text(['trail', 'show', 'newest', '0']);
    assert.match(told, /removed or disabled since login/);
  });
});
