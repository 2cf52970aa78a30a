/**
 * The entry of the command line: runs one command and turns how it ends into an exit code and at most one line on
 * standard error. 0 done, 1 refused or failed, 2 wrong usage.
 */
import { AppError, reasonOf } from '../base/errors.ts';
import { Output, OutputClosed } from './output.ts';
import { runProgram } from './program.ts';
import { say } from './words.ts';

/** Runs the command line; resolves to its exit code and never rejects. */
export async function main(args: readonly string[], output: Output): Promise<number> {
  try {
    const code = await runProgram(args, output);
    await output.flushed();
    return code;
  } catch (error) {
    // Whoever stopped reading has what he wanted, as with `| head`.
    if (error instanceof OutputClosed) return 0;
    // It may repeat what somebody else wrote, as in an inventory.
    output.tell(`sallyport: ${say(reasonOf(error))}\n`);
    return error instanceof AppError && error.code === 'usage' ? 2 : 1;
  }
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2), new Output(process.stdout, process.stderr));
}
