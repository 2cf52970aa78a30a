/**
 * Which bytes of a file crossed, and where in the stream each of them stands: disjoint ranges in the order of the file,
 * the latest write on top. A transfer in packets is as many pieces as packets, alike in length and distance, so a run
 * says all of them at once and a large file takes one or two runs. Memory is bounded by a budget that the files of a
 * channel share; what does not fit is counted and not placed.
 */

/** `count` pieces of `length` bytes, next to each other in the file, `stride` apart in the stream. */
export interface Run {
  readonly offset: number;
  readonly length: number;
  readonly count: number;
  /** Of the first piece, in the stream. */
  readonly at: number;
  /** From one piece to the next, in the stream; 0 for a single one. */
  readonly stride: number;
}

/** So many runs the open files of a channel may take together, and one file alone. */
export const MAX_RUNS = 65_536;

/** Counts the runs of all files of a channel. */
export class RunBudget {
  used = 0;
}

function endOf(run: Run): number {
  return run.offset + run.length * run.count;
}

/** The part of a run that lies in [from, to) of the file, in up to three runs. */
function slice(run: Run, from: number, to: number): Run[] {
  const start = Math.max(from, run.offset);
  const end = Math.min(to, endOf(run));
  if (start >= end) return [];
  if (start === run.offset && end === endOf(run)) return [run];
  const parts: Run[] = [];
  const first = Math.floor((start - run.offset) / run.length);
  const last = Math.floor((end - 1 - run.offset) / run.length);
  const piece = (index: number): Run => {
    const pieceAt = run.offset + index * run.length;
    const skipped = Math.max(0, start - pieceAt);
    const length = Math.min(end, pieceAt + run.length) - pieceAt - skipped;
    const at = run.at + index * run.stride + skipped;
    return { offset: pieceAt + skipped, length, count: 1, at, stride: 0 };
  };
  if (first === last) return [piece(first)];
  const isWhole = (index: number): boolean => piece(index).length === run.length;
  const wholeFrom = isWhole(first) ? first : first + 1;
  const wholeTo = isWhole(last) ? last : last - 1;
  if (wholeFrom > first) parts.push(piece(first));
  if (wholeTo >= wholeFrom) {
    const count = wholeTo - wholeFrom + 1;
    parts.push({
      offset: run.offset + wholeFrom * run.length,
      length: run.length,
      count,
      at: run.at + wholeFrom * run.stride,
      stride: count === 1 ? 0 : run.stride,
    });
  }
  if (wholeTo < last) parts.push(piece(last));
  return parts;
}

/** One run for two that follow each other, if there is one. */
function joined(a: Run, b: Run): Run | undefined {
  if (b.count !== 1 || endOf(a) !== b.offset) return undefined;
  if (a.count === 1 && a.at + a.length === b.at) return { ...a, length: a.length + b.length };
  if (b.length !== a.length) return undefined;
  const stride = b.at - a.at - a.stride * (a.count - 1);
  if (stride <= 0 || (a.count > 1 && stride !== a.stride)) return undefined;
  return { ...a, count: a.count + 1, stride };
}

export class Extents {
  readonly #budget: RunBudget;
  #runs: Run[] = [];
  #total = 0;
  #dropped = 0;
  #sequential = 0;

  constructor(budget: RunBudget) {
    this.#budget = budget;
  }

  /** In the order of the file. */
  get runs(): readonly Run[] {
    return this.#runs;
  }

  /** Bytes that have a place. */
  get total(): number {
    return this.#total;
  }

  /** Bytes that crossed and found no place within the budget. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Where the last byte that is known ends. */
  get end(): number {
    const last = this.#runs.at(-1);
    return Math.max(last === undefined ? 0 : endOf(last), this.#dropped > 0 ? this.#sequential : 0);
  }

  /** Whether every byte of [0, size) crossed and nothing beyond. */
  covers(size: number): boolean {
    if (this.#dropped > 0) return this.#sequential === size;
    return this.#total === size && this.end === size;
  }

  /** Bytes at a place of the file, which stand at `at` in the stream; they replace what was there. */
  put(offset: number, length: number, at: number): void {
    if (length <= 0) return;
    const run: Run = { offset, length, count: 1, at, stride: 0 };
    this.#sequential = offset === this.#sequential ? offset + length : -1;
    const last = this.#runs.at(-1);
    if (last !== undefined && offset < endOf(last)) this.cut(offset, length);
    const index = this.#indexOf(offset);
    const before = this.#runs[index - 1];
    const one = before && joined(before, run);
    if (one) {
      this.#runs[index - 1] = one;
    } else if (this.#budget.used >= MAX_RUNS) {
      this.#dropped += length;
      return;
    } else {
      if (index === this.#runs.length) this.#runs.push(run);
      else this.#runs.splice(index, 0, run);
      this.#budget.used++;
    }
    this.#total += length;
  }

  /** Counts bytes whose place in the file is not known. */
  drop(length: number): void {
    this.#dropped += length;
    this.#sequential = -1;
  }

  /** Forgets a range; true if anything was known of it. */
  cut(offset: number, length: number): boolean {
    const to = offset + length;
    const from = this.#indexOf(offset);
    let until = from;
    const kept: Run[] = [];
    let removed = 0;
    for (let run = this.#runs[until]; run && run.offset < to; run = this.#runs[++until]) {
      const parts = [...slice(run, run.offset, offset), ...slice(run, to, endOf(run))];
      kept.push(...parts);
      removed += run.length * run.count;
      for (const part of parts) removed -= part.length * part.count;
    }
    if (offset < this.#sequential) this.#sequential = to === Infinity ? offset : -1;
    if (until === from) return false;
    if (this.#budget.used + kept.length - (until - from) > MAX_RUNS) {
      // Cutting a run in the middle makes more of them; where there is no room its ends are given up too.
      for (const part of kept.splice(0)) {
        removed += part.length * part.count;
        this.#dropped += part.length * part.count;
      }
    }
    this.#runs.splice(from, until - from, ...kept);
    this.#budget.used += kept.length - (until - from);
    this.#total -= removed;
    return removed > 0;
  }

  /** Gives its part of the budget back; the runs stay with whoever took them. */
  release(): void {
    this.#budget.used -= this.#runs.length;
    this.#runs = [];
  }

  /** The first run that ends behind a place. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#runs.length;
    const last = this.#runs[high - 1];
    if (last === undefined || endOf(last) <= offset) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      const run = this.#runs[middle];
      if (run && endOf(run) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
