/** Figures as text: medians, percentiles, one line per series, and the bars of the project with how far they are met. */

/** The value that `share` (0 to 1) of the figures lie at or below. */
export function percentile(figures: readonly number[], share: number): number {
  const sorted = [...figures].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** The middle figure, or the mean of the two in the middle. */
export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** Every figure and the median, under a name. */
export function seriesLine(name: string, figures: readonly number[], digits = 2): string {
  const all = figures.map((value) => value.toFixed(digits).padStart(7)).join(' ');
  return `  ${name.padEnd(26)} ${all}   median ${median(figures).toFixed(digits)}`;
}

/** A promise in figures: at most so much. */
export interface Bar {
  readonly name: string;
  readonly measured: number;
  readonly atMost: number;
  readonly unit: string;
}

/** One line per bar: what was allowed, what was measured, met or missed by how much. */
export function barTable(bars: readonly Bar[]): string {
  const width = Math.max(...bars.map(({ name }) => name.length));
  const lines = bars.map(({ name, measured, atMost, unit }) => {
    const off = measured - atMost;
    const verdict =
      measured <= atMost
        ? 'met'
        : `missed by ${off.toFixed(2)}${unit} (${((off / atMost) * 100).toFixed(1)} %)`;
    const bar = `${atMost.toFixed(2)}${unit}`.padStart(11);
    return `${name.padEnd(width)}  at most ${bar}  measured ${`${measured.toFixed(2)}${unit}`.padStart(11)}  ${verdict}`;
  });
  return lines.join('\n');
}
