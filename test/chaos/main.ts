/**
 * `make chaos`: the long loops of the tests in full, one scenario after the other, and at the end a table of what passes
 * and what was measured. The figures are the tests' own (`support/figure.ts`); exit code 1 when anything failed.
 *
 *   node test/chaos/main.ts [--only NAME[,NAME...]] [--scale N|full] [--seed N] [--list]
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { parseArgs } from 'node:util';
import { figuresIn } from '../support/figure.ts';
import { ROOT } from '../support/source-tree.ts';
import { SCENARIOS } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';

interface Row {
  readonly scenario: string;
  readonly pass: string;
  readonly measured: string;
  readonly verdict: 'pass' | 'FAIL';
}

const HOURS = 3_600_000;

/** Runs the tests of a scenario; a row for them, and one for each figure. */
async function play(scenario: Scenario, figures: string): Promise<Row[]> {
  const files = scenario.files.flatMap((pattern) => globSync(pattern, { cwd: ROOT })).sort();
  const { name } = scenario;
  if (files.length === 0) {
    return [{ scenario: name, pass: 'has tests', measured: 'no test files', verdict: 'FAIL' }];
  }
  const started = performance.now();
  process.env['SALLYPORT_FIGURES'] = figures;
  const count = { passed: 0, failed: 0, skipped: 0 };
  const stream = run({
    cwd: ROOT,
    files: files.map((file) => join(ROOT, file)),
    concurrency: 1,
    timeout: 4 * HOURS,
    execArgv: ['--import', join(ROOT, 'test/support/no-lingering.ts')],
  });
  stream.on('test:pass', ({ name: test, skip, details }) => {
    if (details.type === 'suite') return;
    if (skip === undefined) count.passed++;
    else count.skipped++;
    console.log(`  ${skip === undefined ? 'ok     ' : 'skipped'} ${test}`);
  });
  stream.on('test:fail', ({ name: test, details }) => {
    if (details.type === 'suite') return;
    count.failed++;
    console.log(`  FAILED  ${test}: ${String(details.error.cause)}`);
  });
  // Seeds, so that a failure can be repeated.
  stream.on('test:stdout', ({ message }) => process.stdout.write(`    ${message}`));
  // Read to its end, else nothing of it happens.
  await finished(stream.resume());
  const seconds = Math.round((performance.now() - started) / 1000);
  const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : '';
  const all = count.passed + count.failed;
  return [
    {
      scenario: name,
      pass: 'all tests pass',
      measured: `${count.passed} of ${all}${skipped}, ${seconds} s`,
      verdict: count.failed === 0 && count.passed > 0 ? 'pass' : 'FAIL',
    },
    ...figuresIn(figures).map(({ what, pass, measured, ok }): Row => ({
      scenario: `  ${what}`,
      pass,
      measured,
      verdict: ok ? 'pass' : 'FAIL',
    })),
  ];
}

function print(rows: readonly Row[]): void {
  const head = {
    scenario: 'scenario',
    pass: 'passes at',
    measured: 'measured',
    verdict: 'verdict',
  };
  const columns = ['scenario', 'pass', 'measured', 'verdict'] as const;
  const widths = columns.map((column) =>
    Math.max(...[head, ...rows].map((row) => row[column].length)),
  );
  for (const row of [head, ...rows]) {
    const cells = columns.map((column, at) => row[column].padEnd(widths[at] ?? 0));
    console.log(cells.join('  ').trimEnd());
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      scale: { type: 'string' },
      seed: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  });
  if (values.list) {
    for (const { name, what } of SCENARIOS) console.log(`${name.padEnd(12)} ${what}`);
    return 0;
  }
  const wanted = values.only?.split(',') ?? SCENARIOS.map(({ name }) => name);
  const unknown = wanted.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown.length > 0) {
    console.error(`no scenario ${unknown.join(', ')}; --list shows what there is`);
    return 2;
  }
  const peers = spawnSync(join(ROOT, 'test/peers'), { stdio: 'inherit' });
  if (peers.status !== 0) return 1;
  process.env['SALLYPORT_SCALE'] = values.scale ?? process.env['SALLYPORT_SCALE'] ?? 'full';
  const seed = values.seed ?? process.env['SALLYPORT_SEED'] ?? String(randomInt(2 ** 32));
  process.env['SALLYPORT_SEED'] = seed;
  console.log(`scale ${process.env['SALLYPORT_SCALE']}, again with: --seed ${seed}`);

  const folder = mkdtempSync(join(tmpdir(), 'sp-chaos-'));
  const rows: Row[] = [];
  try {
    for (const scenario of SCENARIOS.filter(({ name }) => wanted.includes(name))) {
      console.log(`\n${scenario.name}: ${scenario.what}`);
      rows.push(...(await play(scenario, join(folder, scenario.name))));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log('');
  print(rows);
  const failed = rows.filter(({ verdict }) => verdict === 'FAIL').length;
  console.log(failed === 0 ? '\nall pass' : `\n${failed} of ${rows.length} lines FAIL`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
