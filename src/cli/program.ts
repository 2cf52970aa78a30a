/**
 * The command tree: names, flags and help, and nothing else; the one importer of commander. Each command lies in a file
 * of its own, loaded when it is used, so that `trail show` does not wait for the parts of a gate.
 *
 * The names and flags are relied on by scripts (DESIGN part 8): they change only with a note in the changelog.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';

import { VERSION } from '../base/version.ts';
import type { Output } from './output.ts';
import { say } from './words.ts';

const EXAMPLES = `
Examples:
  sallyport init --dir /srv/gate --ssh 0.0.0.0:2222
  sallyport apply --dir /srv/gate inventory.yaml
  sallyport serve --dir /srv/gate
  ssh -p 2222 alice@root@db1@gate                 user, account and target
  sallyport connections --dir /srv/gate
  sallyport trail show --dir /srv/gate 0199a3c4-5d6e
  sallyport trail verify --dir /srv/gate

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.`;

const DIR = ['--dir <dir>', 'folder of the gate'] as const;

/** Runs the command that the arguments name; resolves to the exit code. */
export async function runProgram(args: readonly string[], output: Output): Promise<number> {
  const tree = new Tree(output);
  try {
    await tree.program.parseAsync([...args], { from: 'user' });
    return tree.code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version end with 0, all else that commander itself says is wrong usage.
    return error.exitCode === 0 ? 0 : 2;
  }
}

class Tree {
  readonly program: Command;
  code = 0;
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
    this.program = new Command('sallyport')
      .description('A recording gateway for SSH and SFTP.')
      .version(VERSION, '-V, --version', 'print the version')
      .helpOption('-h, --help', 'print this help')
      .addHelpText('after', EXAMPLES)
      // `files` and `files get` both have --dir: each takes what stands behind its own name.
      .enablePositionalOptions()
      .exitOverride()
      .configureOutput({
        writeOut: (text) => void output.write(text).catch(() => undefined),
        writeErr: (text) => output.tell(text),
        outputError: (text, write) => write(oneLine(text)),
      })
      .argument('[command...]')
      .usage('COMMAND [options]')
      .action((words: string[]) => noCommand(this.program, words));
    this.#addGate();
    this.#addConnections();
    this.#addFiles();
    this.#addTrail();
    this.#addAudit();
    this.#addDemo();
  }

  #add(parent: Command, usage: string, description: string): Command {
    return parent.command(usage).description(description).allowExcessArguments(false);
  }

  /** A command that is only the first word of others. */
  #group(name: string, description: string): Command {
    const group = this.program.command(name).description(description);
    return group
      .argument('[command...]')
      .usage('COMMAND [options]')
      .action((words: string[]) => noCommand(group, words));
  }

  #addGate(): void {
    const output = this.#output;
    this.#add(this.program, 'init', 'make the folder of a new gate, with its keys')
      .requiredOption(...DIR)
      .option('--ssh <host:port>', 'where it listens for SSH')
      .option('--https <host:port>', 'where it serves the API')
      .option('--admin-password-stdin', 'make the user admin; the password is on standard input')
      .action(async (options: { dir: string }) =>
        (await import('./init.ts')).init(options, output),
      );
    this.#add(this.program, 'apply', 'apply an inventory file: users, groups, targets, rules')
      .requiredOption(...DIR)
      .option('--prune', 'remove what the file does not name')
      .option('--message <text>', 'why, for the audit log')
      .argument('<file>', 'inventory in YAML')
      .action(async (file: string, options: { dir: string }) =>
        (await import('./apply.ts')).apply(file, options, output),
      );
    this.#add(this.program, 'export-inventory', 'print the inventory, without its secrets')
      .requiredOption(...DIR)
      .action(async (options: { dir: string }) =>
        (await import('./export-inventory.ts')).exportInventoryFile(options, output),
      );
    this.#add(this.program, 'host-ca', 'print the known_hosts line for ssh -J through the gate')
      .requiredOption(...DIR)
      .option('--hosts <patterns>', 'host names it is believed for, as db*,10.0.*', '*')
      .action(async (options: { dir: string; hosts: string }) =>
        (await import('./host-ca.ts')).printHostCa(options, output),
      );
    this.#add(this.program, 'serve', 'run the gate')
      .requiredOption(...DIR)
      .action(async (options: { dir: string }) =>
        (await import('./serve.ts')).serve(options, output),
      );
  }

  #addDemo(): void {
    const output = this.#output;
    this.#add(this.program, 'demo', 'try it: a gate with a throw-away target, until Ctrl-C')
      .option('--dir <dir>', 'folder of the demo, made anew', 'demo')
      .option('--keep', 'go on with the recordings of the last demo')
      .action(async (options: { dir: string }) =>
        (await import('./demo.ts')).demo(options, output),
      );
  }

  #addConnections(): void {
    const output = this.#output;
    this.#add(this.program, 'connections', 'list connections, newest first')
      .requiredOption(...DIR)
      .option('--json', 'one JSON object per line')
      .option('--limit <n>', 'at most so many', wholeNumber)
      .action(async (options: { dir: string }) =>
        (await import('./connections.ts')).listConnections(options, output),
      );
    this.#add(
      this.program,
      'export',
      'write the evidence of a connection, readable without Sallyport',
    )
      .requiredOption(...DIR)
      .argument('<connection>', 'id, short id, beginning of the id, or "newest"')
      .argument('<outdir>', 'a folder that is not there, or empty')
      .action(async (connection: string, outDir: string, options: { dir: string }) => {
        const { exportConnection } = await import('./export.ts');
        if (!(await exportConnection(connection, outDir, options, output))) this.code = 1;
      });
    this.#add(this.program, 'terminate', 'end a connection that is open')
      .requiredOption(...DIR)
      .option('--reason <text>', 'told to the user and recorded', 'ended by an administrator')
      .argument('<connection>', 'id, short id, beginning of the id, or "newest"')
      .action(async (connection: string, options: { dir: string; reason: string }) =>
        (await import('./terminate.ts')).terminate(connection, options, output),
      );
  }

  #addFiles(): void {
    const output = this.#output;
    const about = 'list the files that crossed in a connection; without one, search all';
    const files = this.#add(this.program, 'files', about)
      .enablePositionalOptions()
      .option(...DIR)
      .option('--json', 'one JSON object per line')
      .option('--path <part>', 'search: part of the path')
      .option('--sha256 <hex>', 'search: hash of the content')
      .option('--direction <way>', 'search: upload or download')
      .option('--since <time>', 'search: closed at or after this time')
      .option('--until <time>', 'search: closed before this time')
      .option('--limit <n>', 'search: at most so many', wholeNumber)
      .argument('[connection]', 'id, short id, beginning of the id, or "newest"')
      .action(async (name: string | undefined, options: { dir?: string }) => {
        const { dir } = options;
        if (dir === undefined) files.error('--dir is required');
        await (await import('./files.ts')).listFiles(name, { ...options, dir: dir ?? '' }, output);
      });
    this.#add(files, 'get', 'write the content of a file to standard output')
      .requiredOption(...DIR)
      .addOption(new Option('--holes <how>', 'what did not cross').choices(['zero']))
      .argument('<connection>', 'id, short id, beginning of the id, or "newest"')
      .argument('<file>', 'id of the file, or its beginning')
      .action(async (name: string, id: string, options: { dir: string }) =>
        (await import('./files-get.ts')).getFile(name, id, options, output),
      );
  }

  #addTrail(): void {
    const output = this.#output;
    const about = 'show, export and verify recordings; works without a gate and a database';
    const trail = this.#group('trail', about);
    const connection = ['<connection>', 'id, short id, beginning of the id, or "newest"'] as const;
    this.#add(trail, 'show', 'tell what happened in a connection, or in one channel of it')
      .requiredOption(...DIR)
      .argument(...connection)
      .argument('[channel]', 'number of a channel: in more detail')
      .action(async (id: string, channel: string | undefined, options: { dir: string }) =>
        (await import('./trail-show.ts')).showTrail(id, channel, options, output),
      );
    this.#add(trail, 'export', 'write what was recorded to standard output')
      .requiredOption(...DIR)
      .addOption(
        new Option('--format <format>', 'form of the output')
          .choices(['jsonl', 'hex', 'raw-stdin', 'raw-stdout', 'raw-stderr', 'cast', 'text'])
          .makeOptionMandatory(),
      )
      .argument(...connection)
      .argument('<channel>', 'number of a channel, or "connection" for what is in none')
      .action(async (id: string, channel: string, options: { dir: string; format: string }) =>
        (await import('./trail-export.ts')).exportTrail(id, channel, options, output),
      );
    const verify = this.#add(trail, 'verify', 'check that recordings are as they were written')
      .option(...DIR)
      .option('--key <pub>', 'public key in PEM, for files alone; may be repeated', collect)
      .option('--allow-open', 'take a trail that is still being written for good')
      .argument('[what...]', 'with --dir a connection, with --key files')
      .action(async (what: string[], options: { dir?: string; key?: string[] }) => {
        const { dir, key } = options;
        if (dir === undefined && (key === undefined || what.length === 0)) {
          verify.error('either --dir DIR [CONNECTION] or --key PUB FILE... is required');
        }
        if (dir !== undefined && (key !== undefined || what.length > 1)) {
          verify.error('with --dir there is no --key and at most one connection');
        }
        const verifying = await import('./trail-verify.ts');
        if (!(await verifying.verifyTrails(what, options, output))) this.code = 1;
      });
  }

  #addAudit(): void {
    const output = this.#output;
    const audit = this.#group('audit', 'the log of configuration changes');
    this.#add(audit, 'verify', 'check that no commit was changed or removed')
      .requiredOption(...DIR)
      .action(async (options: { dir: string }) => {
        if (!(await (await import('./audit-verify.ts')).verifyCommits(options, output))) {
          this.code = 1;
        }
      });
  }
}

function noCommand(group: Command, [word]: readonly string[]): never {
  const name = group.name() === 'sallyport' ? '' : `${group.name()} `;
  const known = group.commands.map((command) => command.name()).join(', ');
  const what =
    word === undefined ? 'a command is missing' : `unknown command "${name}${say(word)}"`;
  return group.error(`${what}; there are ${known}`);
}

/** `error: unknown option '--x'` and a hint on a second line become one line of ours. */
function oneLine(text: string): string {
  const line = text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^error: /, '');
  return `sallyport: ${line} (see sallyport --help)\n`;
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text) || Number(text) > 100_000) {
    throw new InvalidArgumentError('expected a number from 1 to 100000');
  }
  return Number(text);
}
