/**
 * A command line names its tool, direction and paths: what the real rsync, git and scp send, and what a real shell makes
 * of the same words. A line that a shell might understand otherwise names nothing.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { printable, printedBytes } from '../../src/wire/channel-request.ts';
import { shellWords } from '../../src/wire/shell-words.ts';
import { toolOf } from '../../src/wire/tool-command.ts';
import { check, run } from '../support/process.ts';
import { rounds } from '../support/scale.ts';
import { tempDir } from '../support/tempdir.ts';

const PYTHON = '/usr/bin/python3';

/** Takes the place of ssh: keeps the command as sshd would get it, and fails. */
const SPY = `#!${PYTHON}
import os, sys
words = sys.argv[1:]
while words and words[0].startswith('-'):
    words = words[2:] if words[0] == '-o' else words[1:]
open(os.environ['SPY'], 'wb').write(b' '.join(os.fsencode(w) for w in words[1:]))
sys.exit(1)
`;

function tool(command: string): string | undefined {
  const found = toolOf(Buffer.from(command));
  if (!found) return undefined;
  const { name, direction, paths, expands } = found;
  return [name, direction, ...paths, ...(expands ? ['(expands)'] : [])].join(' | ');
}

interface Call {
  readonly say: string;
  readonly command: readonly [string, ...string[]];
  readonly tool: string;
}

const CALLS: readonly Call[] = [
  {
    say: 'rsync sends',
    command: ['rsync', '-e', 'SPY', '-a', '--delete', '--temp-dir', '.', './d', 'h:/x/a b;c/'],
    tool: 'rsync | upload | /x/a b;c/',
  },
  {
    say: 'rsync fetches several',
    command: ['rsync', '-e', 'SPY', '-az', '--compare-dest=/o', "h:/x/it's", ':~/logs/*.gz', './d'],
    tool: "rsync | download | /x/it's | ~/logs/*.gz | (expands)",
  },
  {
    say: 'rsync with secluded arguments',
    command: ['rsync', '-e', 'SPY', '-as', 'h:/x/a b', './d'],
    tool: 'rsync | download',
  },
  {
    say: 'rsync as root',
    command: ['rsync', '-e', 'SPY', '-a', '--rsync-path=sudo /usr/bin/rsync', './d', 'h:/etc'],
    tool: 'rsync | upload | /etc',
  },
  {
    say: 'git fetches',
    command: ['git', 'ls-remote', "h:srv/a b/it's $HOME.git"],
    tool: "git-upload-pack | download | srv/a b/it's $HOME.git",
  },
  {
    say: 'git fetches an archive',
    command: ['git', 'archive', '--remote=ssh://h/r.git', 'HEAD'],
    tool: 'git-upload-archive | download | /r.git',
  },
  {
    say: 'git pushes',
    command: ['git', '-C', 'r', 'push', '-q', 'h:/r.git', 'HEAD'],
    tool: 'git-receive-pack | upload | /r.git',
  },
  {
    say: 'scp sends',
    command: ['scp', '-O', '-rpq', '-S', 'SPY', './d', "h:'a b'"],
    tool: 'scp | upload | a b',
  },
  {
    say: 'scp fetches',
    command: ['scp', '-O', '-S', 'SPY', 'h:*.c', './d'],
    tool: 'scp | download | *.c | (expands)',
  },
  {
    say: 'scp fetches what looks like an option',
    command: ['scp', '-O', '-S', 'SPY', 'h:-x', './d'],
    tool: 'scp | download | -x',
  },
];

test('the real clients are understood', async (t) => {
  const folder = tempDir(t);
  const spy = join(folder, 'spy');
  writeFileSync(spy, SPY);
  chmodSync(spy, 0o755);
  mkdirSync(join(folder, 'd'));
  const env = {
    ...process.env,
    SPY: join(folder, 'command'),
    GIT_SSH_COMMAND: spy,
    GIT_SSH_VARIANT: 'ssh',
    GIT_CONFIG_GLOBAL: '/dev/null',
  };
  await check(['git', 'init', '-q', 'r'], { cwd: folder, env });
  const author = ['-c', 'user.name=a', '-c', 'user.email=a@b'] as const;
  const commit = ['commit', '-q', '--allow-empty', '-m', 'x'] as const;
  await check(['git', '-C', 'r', ...author, ...commit], { cwd: folder, env });
  for (const { say, command, tool: wanted } of CALLS) {
    await t.test(say, async (one) => {
      const [program, ...args] = command;
      if ((await run(['/bin/sh', '-c', `command -v ${program}`])).code !== 0) {
        one.skip(`no ${program} here`);
        return;
      }
      rmSync(env.SPY, { force: true });
      const words = args.map((word) => word.replace('SPY', spy));
      const { stderr } = await run([program, ...words], { cwd: folder, env });
      const line = readFileSync(env.SPY);
      assert.equal(tool(line.toString()), wanted, `${line.toString()}\n${stderr.toString()}`);
    });
  }
});

test('a line that is not certain, or no tool, names nothing', () => {
  for (const line of [
    '',
    'ls',
    'rsync',
    'rsync --version',
    'rsync --server --daemon .',
    'rsync --server -a x .',
    'rsync --server -a --sender . $HOME',
    'rsync --server -a . `id`',
    'rsync --server -a . /x; rm -rf /',
    'rsync --server -a . /x && true',
    'rsync --server -a . /{a,b}',
    'rsync --server -a . /x >out',
    "rsync --server -a . '/x",
    'rsync --server -a . "/$x"',
    'rsync --server -a . /x\\',
    'rsync --server -a . /x\nid',
    'rsync --server -a . /x # not',
    'RSYNC=1 rsync --server -a . /x',
    'sudo -u bob rsync --server -a . /x',
    'sudo',
    'rsyn? --server -a . /x',
    'scp -t',
    'scp -t a b',
    'scp -tf a',
    'scp a b',
    'scp -t -x',
    'scp -S sh -t x',
    'git-upload-pack',
    'git-upload-pack a b',
    'git-upload-pack -x',
    'git push',
    'xrsync --server -a . /x',
    'rsync --server -a . /x\0',
  ]) {
    assert.equal(tool(line), undefined, JSON.stringify(line));
  }
  assert.equal(toolOf(Buffer.alloc(1 << 20, "rsync --server '"))?.name, undefined);
});

test('names are bytes, and shown escaped', () => {
  const found = toolOf(Buffer.from("git-receive-pack '/caf\xe9\x1b[31m\n.git'", 'latin1'));
  assert.deepEqual(found?.paths, ['/caf\\xe9\\x1b[31m\\x0a.git']);
  assert.equal(tool('scp -f -- ~/x'), 'scp | download | ~/x | (expands)');
  assert.equal(tool("scp -f '~/*' \\?"), 'scp | download | ~/* | ?');
  assert.equal(
    tool('"/usr/bin/git" upload-pack --strict "/a\\"b"'),
    'git-upload-pack | download | /a"b',
  );
});

const PARTS = ' |\t|"|\'|\\|a|b|c|~|*|?|[|]|#|=|-|.|/|!|%|+|:|,|@|^|é|\\"|$|;|\n|\\\n'.split('|');

/** Words of characters that shells care about, and of quotes that may or may not be closed. */
const line = fc.array(fc.constantFrom(...PARTS), { maxLength: 24 }).map((parts) => parts.join(''));

test('where the words are certain, a real shell makes the same of them', async (t) => {
  const folder = tempDir(t);
  const script = `#!${PYTHON}\nimport os, sys\nsys.stdout.buffer.write(b''.join(os.fsencode(w) + b'\\0' for w in sys.argv[1:]))\n`;
  const words = join(folder, 'words');
  writeFileSync(words, script);
  chmodSync(words, 0o755);
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(line, async (text) => {
      const parsed = shellWords(Buffer.from(text));
      if (!parsed || parsed.some(({ expands }) => expands)) return;
      compared++;
      const { stdout, code } = await run(['/bin/sh', '-c', `./words ${text}`], { cwd: folder });
      const wanted = parsed.map(({ bytes }) => `${bytes.toString()}\0`).join('');
      assert.equal(stdout.toString(), wanted);
      assert.equal(code, 0);
    }),
    { numRuns: rounds(4_000, 150) },
  );
  assert.ok(compared > 20);
});

test('any bytes give words or none, and a text that was printed gives its bytes back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const command = Buffer.from(bytes);
      toolOf(command);
      assert.deepEqual(printedBytes(printable(command)), command);
    }),
    { numRuns: 2_000 },
  );
  assert.deepEqual(printedBytes(printable(Buffer.from('\\x41\\\\'))), Buffer.from('\\x41\\\\'));
});
