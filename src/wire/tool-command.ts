/**
 * Which tool a command line starts at the target to move files, which way, and about which paths: the server sides of
 * rsync, git and scp, as their clients call them. A view for people and searches: no rule is judged by it
 * (`access/channel-kind.ts` does that), and a line that is not certain names no tool.
 */
import type { ShellWord } from './shell-words.ts';
import { shellWords } from './shell-words.ts';
import { printable } from './channel-request.ts';

export type ToolName =
  'rsync' | 'scp' | 'git-upload-pack' | 'git-receive-pack' | 'git-upload-archive';

export interface ToolCommand {
  readonly name: ToolName;
  /** `upload` is from the user to the target. */
  readonly direction: 'upload' | 'download';
  /** Escaped for people; none where the tool tells them in its stream (`rsync -s`). */
  readonly paths: readonly string[];
  /** Whether a path is only what the target's shell makes of it: a glob, or `~`. */
  readonly expands: boolean;
}

/** The tool of a command line; undefined if it is none of them, or not certain. */
export function toolOf(command: Buffer): ToolCommand | undefined {
  const words = shellWords(command) ?? [];
  // `--rsync-path='sudo rsync'` is how backups are made.
  const [program, ...args] = textOf(words[0]) === 'sudo' ? words.slice(1) : words;
  if (!program || program.expands) return undefined;
  const name = textOf(program).replace(/^.*\//, '');
  switch (name) {
    case 'rsync':
      return rsync(args);
    case 'scp':
      return scp(args);
    case 'git-upload-pack':
    case 'git-receive-pack':
    case 'git-upload-archive':
      return git(name, args);
    case 'git': {
      const service = `git-${textOf(args[0])}`;
      return isService(service) ? git(service, args.slice(1)) : undefined;
    }
    default:
      return undefined;
  }
}

function textOf(word: ShellWord | undefined): string {
  return word?.bytes.toString('latin1') ?? '';
}

function found(
  name: ToolName,
  direction: ToolCommand['direction'],
  paths: readonly ShellWord[],
): ToolCommand {
  return {
    name,
    direction,
    paths: paths.map(({ bytes }) => printable(bytes)),
    expands: paths.some((path) => path.expands),
  };
}

/** Options of rsync whose value is a word of its own when its client calls the server side. */
const RSYNC_VALUES = new Set([
  '--backup-dir',
  '--compare-dest',
  '--copy-dest',
  '--files-from',
  '--link-dest',
  '--partial-dir',
  '--temp-dir',
]);

/**
 * `rsync --server [--sender] -flags [--options] . path...`: the target sends with `--sender`, otherwise it receives.
 * With `s` among the flags neither the dot nor paths follow: they come in the stream.
 */
function rsync(args: readonly ShellWord[]): ToolCommand | undefined {
  if (textOf(args[0]) !== '--server') return undefined;
  let direction: ToolCommand['direction'] = 'upload';
  let inStream = false;
  for (let at = 1; at < args.length; at++) {
    const option = textOf(args[at]);
    if (option === '.') return found('rsync', direction, args.slice(at + 1));
    if (!option.startsWith('-') || option === '--' || option === '--daemon') return undefined;
    if (option === '--sender') direction = 'download';
    // The letters behind `e` are for the protocol, none of the flags.
    const [flags = ''] = option.split('e');
    if (/^-[A-Za-z]+$/.test(flags)) inStream ||= flags.includes('s');
    if (RSYNC_VALUES.has(option)) at++;
  }
  return inStream ? found('rsync', direction, []) : undefined;
}

/** `scp -t path` takes, `scp -f path...` gives; `--` may stand before a path. */
function scp(args: readonly ShellWord[]): ToolCommand | undefined {
  let flags = '';
  let at = 0;
  for (; /^-[rpdvqtf]+$/.test(textOf(args[at])); at++) flags += textOf(args[at]);
  const isMarked = textOf(args[at]) === '--';
  const paths = args.slice(isMarked ? at + 1 : at);
  const takes = flags.includes('t');
  if (takes === flags.includes('f') || paths.length === 0) return undefined;
  if (takes && paths.length > 1) return undefined;
  // It would be one more option of the scp that runs there.
  if (!isMarked && textOf(paths[0]).startsWith('-')) return undefined;
  return found('scp', takes ? 'upload' : 'download', paths);
}

function isService(name: string): name is Exclude<ToolName, 'rsync' | 'scp'> {
  return ['git-upload-pack', 'git-receive-pack', 'git-upload-archive'].includes(name);
}

/** `git-receive-pack 'path'` takes what is pushed, the other two give. */
function git(
  name: Exclude<ToolName, 'rsync' | 'scp'>,
  args: readonly ShellWord[],
): ToolCommand | undefined {
  const [path, ...more] = args.filter((word) => !textOf(word).startsWith('--'));
  if (!path || more.length > 0 || textOf(path).startsWith('-')) return undefined;
  return found(name, name === 'git-receive-pack' ? 'upload' : 'download', [path]);
}
