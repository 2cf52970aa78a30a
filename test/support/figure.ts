/**
 * What a test measured, beside whether it passed: one line of JSON for each figure, in the file that
 * `SALLYPORT_FIGURES` names. `make chaos` makes its table of them; without the variable nothing is written.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

export interface Figure {
  /** What was put to the test, such as `kill`. */
  readonly scenario: string;
  readonly what: string;
  /** What passes, in words. */
  readonly pass: string;
  readonly measured: string;
  readonly ok: boolean;
}

/** Notes a figure. Call it before the assertion that may fail on it. */
export function figure(one: Figure): void {
  const file = process.env['SALLYPORT_FIGURES'];
  // One write below PIPE_BUF: lines of test files that run at once do not mix.
  if (file !== undefined && file !== '') appendFileSync(file, `${JSON.stringify(one)}\n`);
}

/** The figures in a file; lines that are none are left out. */
export function figuresIn(file: string): Figure[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line): unknown => JSON.parse(line))
    .filter(isFigure);
}

function isFigure(value: unknown): value is Figure {
  return (
    typeof value === 'object' &&
    value !== null &&
    'scenario' in value &&
    'what' in value &&
    'pass' in value &&
    'measured' in value &&
    'ok' in value
  );
}
