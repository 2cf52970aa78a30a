/** The client table as a document: one table for each way, and why a cell is not what it should be. */
import type { Cell, Row } from './play.ts';
import { FEATURES, TITLES } from './scene.ts';
import type { Way } from './scene.ts';

export interface TableFacts {
  /** Client and version, in the order of the rows. */
  readonly versions: readonly (readonly [name: string, version: string])[];
  readonly target: string;
  /** How much was moved, in words. */
  readonly amount: string;
}

const HEADINGS: Readonly<Record<Exclude<Way, 'direct'>, string>> = {
  named: 'By the login name (`alice@root@db1@gate`)',
  jump: 'Through the gate as a jump host (`-J alice@gate root@db1`)',
};

function counted(rows: readonly Row[]): string {
  const cells = rows.flatMap(({ cells: all }) => [...all.values()]);
  const of = (verdict: Cell['verdict']): number =>
    cells.filter((cell) => cell.verdict === verdict).length;
  const parts = [`${of('same')} cells the same as directly`, `${of('differs')} not`];
  const unplayed = of('unplayed');
  if (unplayed > 0) parts.push(`${unplayed} not played`);
  return parts.join(', ');
}

/** Transfers that were asked back from the gate. */
function filesIn(rows: readonly Row[]): number {
  let files = 0;
  for (const { cells } of rows) for (const cell of cells.values()) files += cell.files;
  return files;
}

/** The whole document. */
export function renderTable(
  rows: readonly Row[],
  { versions, target, amount }: TableFacts,
): string {
  const lines = [
    '# Clients',
    '',
    '<!-- Made by `make client-table`; change test/clients/ instead. -->',
    '',
    'What these clients do directly they do through the gate: for each cell the same scene was played straight at a',
    'target and through a gate before it, and exit codes, output and the SHA-256 of every file on both sides were',
    'compared. `same` is that; `-` is what the client does not have; a number names a cell that is not so, below.',
    '',
    `Of ${filesIn(rows)} transfers of a whole file each was had back from the gate (\`sallyport files get\`) with the`,
    `hash that it has on both sides. ${amount}`,
    '',
    `Target: ${target}. ${counted(rows)}.`,
    '',
    '| client | version |',
    '| --- | --- |',
    ...versions.map(([name, version]) => `| ${name} | ${version} |`),
    '',
  ];
  const notes: string[] = [];
  for (const way of ['named', 'jump'] as const) {
    const some = rows.filter((row) => row.way === way);
    if (some.length === 0) continue;
    lines.push(`## ${HEADINGS[way]}`, '');
    lines.push(`| client | ${FEATURES.map((feature) => TITLES[feature]).join(' | ')} |`);
    lines.push(`| --- |${' --- |'.repeat(FEATURES.length)}`);
    for (const { client, cells } of some) {
      const texts = FEATURES.map((feature) => {
        const cell = cells.get(feature);
        if (!cell || cell.verdict === 'none') return '-';
        if (cell.verdict === 'same') return 'same';
        const note = `${client.name}, ${TITLES[feature]}, ${way}: ${cell.reason}`;
        notes.push(note.replaceAll('|', '\\|'));
        return `${cell.verdict === 'differs' ? 'not yet' : 'not played'} (${notes.length})`;
      });
      lines.push(`| ${client.name} | ${texts.join(' | ')} |`);
    }
    lines.push('');
  }
  const without = rows.filter(({ client, way }) => way === 'jump' && client.noJump !== undefined);
  for (const { client } of without) lines.push(`${client.name} has no jump: ${client.noJump}.`);
  if (without.length > 0) lines.push('');
  if (notes.length > 0) {
    lines.push('## What is not so', '', ...notes.map((note, index) => `${index + 1}. ${note}`), '');
  }
  return lines.join('\n');
}
