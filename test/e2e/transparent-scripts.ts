/**
 * The corpus of promise P7: what people do with ssh, as scripts that show the same wherever they are played. None
 * prints what differs by nature (ports, terminal names, times), and none waits for a time to pass.
 */
import { randomFrom, scale } from '../support/scale.ts';
import { runInPty, ssh, sshCommand, sshEnv, sshInPty, startSsh } from '../support/ssh-client.ts';
import type { PtyOptions, SshOptions } from '../support/ssh-client.ts';
import { run } from '../support/process.ts';
import { tempDir } from '../support/tempdir.ts';
import { FILE_SCRIPTS } from './transparent-files.ts';
import { shownBy, sshWithBytes } from './transparent-place.ts';
import type { Place, Script, Shown } from './transparent-place.ts';

const MIB = 1 << 20;

/** Bytes that compress badly and repeat from the length. */
export function noise(length: number): Buffer {
  return randomFrom(length).bytes(length);
}

/** One run of ssh with a command. */
function plain(name: string, command: string | undefined, options: SshOptions = {}): Script {
  return { name, play: async ({ to }) => shownBy(await ssh(to, command, options)) };
}

/** One run of ssh -tt in a real terminal. */
function terminal(name: string, command: string | undefined, options: PtyOptions = {}): Script {
  return { name, play: async ({ to }) => shownBy(await sshInPty(to, command, options)) };
}

const EXIT_CODES = [0, 1, 2, 42, 126, 127, 128, 137, 200, 254, 255].map((code) =>
  plain(`exit code ${code}`, `exit ${code}`),
);

/** Signals whose default is to stop: in a session without a terminal only SIGSTOP does. */
const SIGSTOP = 19;

const SIGNALS = Array.from({ length: 31 }, (_, index) => index + 1).map((signal) =>
  signal === SIGSTOP
    ? plain(
        'signal 19 stops, and SIGCONT goes on',
        `sh -c 'kill -19 $$; exit 3' & p=$!; until grep -q "^State:.T" /proc/$p/status; do :; done
         echo stopped; kill -18 $p; wait $p; echo $?`,
      )
    : plain(`signal ${signal}`, `ulimit -c 0; echo before; kill -${signal} $$; echo survived $?`),
);

const STREAMS: Script[] = [
  plain('both streams', 'echo out; echo err >&2'),
  plain('nothing at all', 'exec >&- 2>&-; exit 8'),
  plain('stderr after stdout has ended', 'echo out; exec >&-; echo err >&2; exit 4'),
  plain('stdout after stderr has ended', 'echo err >&2; exec 2>&-; echo out; exit 4'),
  plain('many small writes to both', 'for i in $(seq 500); do echo out $i; echo err $i >&2; done'),
  plain('bytes without a newline', `printf 'a\\000b\\377c'`),
  plain(
    'every byte value',
    `i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %o $i)"; i=$((i+1)); done`,
  ),
  plain('8 MiB out', 'yes 0123456789abcdef | head -c 8388608'),
  plain('1 MiB to stderr alone', 'yes error | head -c 1048576 >&2'),
  plain(
    '1 MiB to each at once',
    'yes error | head -c 1048576 >&2 & yes out | head -c 1048576; wait',
  ),
  plain(
    'a child that holds the output beyond the end',
    '(head -c 300000 /dev/zero; exit 9) & exit 5',
  ),
  plain('command not found', '/nowhere/to/be/found', { stdin: 'ignore' }),
];

const BLOCKS = [10, 100, 1000, 4096, 32_767, 32_768, 32_769, 65_536, MIB].map((size) => {
  const count = Math.max(1, Math.min(500, Math.floor((2 * MIB) / size)));
  return plain(
    `blocks of ${size} bytes, in and out`,
    `dd bs=${size} iflag=fullblock status=none | tee /dev/stderr | dd bs=${size} iflag=fullblock status=none`,
    { input: noise(size * count) },
  );
});

const INPUT: Script[] = [
  ...[0, 1, 32_767, 32_768, 32_769, 2 * MIB + 1].map((size) =>
    plain(`stdin of ${size} bytes, counted`, 'wc -c', { input: noise(size) }),
  ),
  plain('cat of 1 MiB', 'cat', { input: noise(MIB) }),
  plain('cat with a rekey every 64 KiB', 'cat', {
    input: noise(300_000),
    settings: ['RekeyLimit=64K'],
  }),
  plain('cat with compression asked for', 'cat', { input: noise(100_000), flags: ['-C'] }),
  plain('no stdin at all (-n)', 'cat; echo end', { flags: ['-n'], stdin: 'ignore' }),
  plain('stdin closed by the command while more comes', 'exec <&-; echo closed; exit 3', {
    input: noise(MIB),
  }),
  plain('stdin read in part', 'head -c 10 | od -An -tx1; exit 6', { input: noise(MIB) }),
  plain('stdin never read', 'exit 7', { input: noise(300_000) }),
  plain('stdin waits while output comes first', 'yes out | head -c 500000; wc -c', {
    input: noise(500_000),
  }),
  plain('a shell without a terminal, fed by stdin', undefined, {
    input: 'echo one\nfalse || echo two\ncat <<X\nthree\nX\nexit 6\n',
  }),
  {
    name: 'stdin closed late, after stdout has ended',
    play: async ({ scope, to }) => {
      const client = startSsh(scope, to, 'echo first; exec >&-; cat >&2; exit 5');
      await client.line(/^first$/);
      client.stdin?.end('last words');
      return shownBy(await client.exited);
    },
  },
  {
    name: 'question and answer, line by line',
    play: async ({ scope, to }) => {
      const client = startSsh(scope, to, 'while read x; do echo "<$x>"; done; echo end');
      for (let i = 0; i < 20; i++) {
        client.stdin?.write(`line ${i}\n`);
        await client.line(new RegExp(`^<line ${i}>$`));
      }
      client.stdin?.end();
      return shownBy(await client.exited);
    },
  },
  {
    name: 'yes | head ends, and so does the command',
    play: async ({ to }) => {
      const script = '"$@" | head -n 1000; echo "${PIPESTATUS[0]}"';
      const command = [...sshCommand(to), 'yes; echo "yes ended with $?" >&2'];
      return shownBy(
        await run(['/bin/bash', '-c', script, 'bash', ...command], {
          stdin: 'ignore',
          env: sshEnv(to),
          timeoutMs: 20_000,
        }),
      );
    },
  },
];

/** Every byte but NUL, quote and newline, in one order. */
const ALL_BYTES = Buffer.from(
  Array.from({ length: 255 }, (_, index) => index + 1).filter((byte) => byte !== 39 && byte !== 10),
);

const BYTES: Script[] = [
  ...(
    [
      ['every byte', ALL_BYTES],
      ['not UTF-8', Buffer.from([0x6c, 0x73, 0x20, 0xe9, 0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80])],
      ['UTF-8', Buffer.from('Grüße, 世界 🚪')],
      ['control characters', Buffer.from('\x1b[31mred\x07\x08\r\x7f\u2028')],
    ] as const
  ).map(([name, bytes]): Script => ({
    name: `a command with bytes: ${name}`,
    play: async ({ to }) => {
      const command = Buffer.concat([
        Buffer.from("printf %s '"),
        bytes,
        Buffer.from("' | od -An -tx1"),
      ]);
      return shownBy(await sshWithBytes(to, { command }));
    },
  })),
  {
    name: 'environment values of any bytes',
    play: async ({ to }) => {
      const env = {
        LC_BYTES: ALL_BYTES,
        LC_NOT_UTF8: Buffer.from([0xe9, 0xff, 0xfe]),
        LC_EMPTY: Buffer.alloc(0),
        LC_LONG: Buffer.alloc(20_000, 'x'),
      };
      const command = Buffer.from(
        'for n in BYTES NOT_UTF8 EMPTY LONG; do printenv LC_$n | od -An -tx1; done',
      );
      return shownBy(await sshWithBytes(to, { command, env }));
    },
  },
  plain('fifty environment variables', 'env | grep ^LC_V | sort', {
    settings: [`SetEnv=${Array.from({ length: 50 }, (_, i) => `LC_V${i}=${i}`).join(' ')}`],
  }),
  ...[1000, 10_000, 30_000].map((length) => {
    const [head, tail] = ["printf %s '", "' | sha256sum"];
    const middle = 'x'.repeat(length - head.length - tail.length);
    return plain(`a command of ${length} bytes`, head + middle + tail);
  }),
];

/** Prints its size, and again at each change; ends with the third. */
const PRINT_SIZE = `stty size; n=0; sleep 60 & trap "kill $!" EXIT
trap 'stty size; n=$((n+1)); [ $n -lt 3 ] || exit 5' WINCH; echo ready; while :; do wait; done`;

const TERMINALS: Script[] = [
  plain('stty -a with a terminal asked for without having one', 'stty -a', { flags: ['-tt'] }),
  terminal('stty -a in a terminal', 'stty -a'),
  terminal('stty -a in a terminal of odd size and modes', 'stty -a', {
    rows: 33,
    columns: 101,
    stty: ['-ixon', 'intr', '^K', 'erase', '^H', '-echoctl', 'iutf8', '-icrnl'],
  }),
  terminal('TERM as it is', 'echo "$TERM"', { env: { TERM: 'screen-256color' } }),
  terminal('a terminal of no size', 'stty size', { rows: 0, columns: 0 }),
  terminal('resizes', PRINT_SIZE, {
    steps: [
      { expect: 'ready' },
      { resize: [40, 90] },
      { expect: '40 90' },
      { resize: [1, 500] },
      { expect: '1 500' },
      { resize: [25, 80] },
    ],
  }),
  terminal('a shell with a prompt, and its exit code', undefined, {
    steps: [
      { expect: '$ ' },
      { send: 'echo $((6*7))\n' },
      { expect: '42' },
      { expect: '$ ' },
      { send: 'exit 9\n' },
    ],
  }),
  terminal('Ctrl-C ends a command in a terminal', 'stty -echo; echo ready; exec cat', {
    steps: [{ expect: 'ready' }, { send: 'x\n' }, { expect: 'x' }, { send: '\x03' }],
  }),
  terminal('Ctrl-C is a byte in raw mode', 'stty raw -echo; echo ready; head -c 3 | od -An -tx1', {
    steps: [{ expect: 'ready' }, { send: '\x03\x04\x1a' }],
  }),
  terminal('two streams become one in a terminal', 'echo out; echo err >&2; exit 2'),
  plain('input by a pipe into a terminal', 'cat', { flags: ['-tt'], input: 'a\nb\n\x04' }),
  {
    name: 'a password prompt without echo',
    play: async ({ to }) => {
      const command = 'stty -echo; printf "Password: "; read p; stty echo; echo; echo "got $p"';
      const steps = [{ expect: 'Password: ' }, { send: 'hunter2\n' }];
      return shownBy(
        await runInPty([...sshCommand(to), '-tt', command], { steps, env: sshEnv(to) }),
      );
    },
  },
];

/** Directly there is no delay; what the user sees must be the same whatever the delay is. */
const DELAYS = scale() === 1 ? [0, 500, 1500, 3000, 5000] : [0, 100, 300];

const SLOW: Script[] = DELAYS.flatMap((delay): Script[] => [
  {
    name: `login at the target ${delay} ms late, stdin waiting`,
    play: async ({ slow }) =>
      shownBy(await ssh(slow(delay), 'cat; exit 3', { input: noise(100_000) })),
  },
  {
    name: `login at the target ${delay} ms late, a shell and its end waiting`,
    play: async ({ slow }) =>
      shownBy(await ssh(slow(delay), undefined, { input: 'echo $((6*7)); exit 4\n' })),
  },
]);

/** Plays `commands` at once as channels of one connection, the client's ControlMaster. */
async function shared({ scope, to }: Place, commands: readonly string[]): Promise<Shown> {
  const socket = `${tempDir(scope)}/m`;
  const settings = [`ControlPath=${socket}`];
  const master = startSsh(scope, to, 'echo up; cat', {
    settings: [...settings, 'ControlMaster=yes'],
  });
  await master.line(/^up$/);
  const ends = await Promise.all(
    commands.map((command) => ssh(to, command, { settings, input: noise(50_000) })),
  );
  master.stdin?.end();
  const own = await master.exited;
  const shown = ends.flatMap((end, index) =>
    Object.entries(shownBy(end)).map(([key, value]) => [`${index} ${key}`, value] as const),
  );
  return { ...Object.fromEntries(shown), ...shownBy(own) };
}

const SHARED: Script[] = [
  {
    name: 'ten channels on one connection',
    // The master's own and nine more: ten sessions are what sshd allows by default.
    play: (place) =>
      shared(
        place,
        Array.from({ length: 9 }, (_, i) => `cat; echo err ${i} >&2; exit ${i}`),
      ),
  },
  {
    name: 'channels of different ends on one connection',
    play: (place) =>
      shared(place, [
        'kill -9 $$',
        'exec >&-; exit 4',
        'head -c 1',
        'yes | head -c 300000',
        'cat >&2',
      ]),
  },
];

const SUBSYSTEMS: Script[] = [
  plain('a subsystem that does not exist', 'nosuch', { flags: ['-s'], stdin: 'ignore' }),
  {
    name: 'the sftp subsystem answers INIT',
    play: async ({ scope, to }) => {
      const client = startSsh(scope, to, 'sftp', { flags: ['-s'] });
      client.stdin?.write(Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]));
      const whole = (bytes: Buffer): boolean =>
        bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0);
      await client.until(({ stdout }) => (whole(stdout) ? true : undefined), 'VERSION');
      client.stdin?.end();
      return shownBy(await client.exited);
    },
  },
];

/** All of it. */
export const SCRIPTS: readonly Script[] = [
  ...EXIT_CODES,
  ...SIGNALS,
  ...STREAMS,
  ...BLOCKS,
  ...INPUT,
  ...BYTES,
  ...TERMINALS,
  ...SLOW,
  ...SHARED,
  ...SUBSYSTEMS,
  ...FILE_SCRIPTS,
];
