/**
 * A bounded table of what runs off: each key has a mark and a time at which it expires, which only
 * ever moves later. Full, it gives up the entry that expires soonest. Every call costs the
 * logarithm of its size, also under a flood of new keys.
 */

interface Entry {
  readonly key: string;
  expiresUs: number;
  active: boolean;
  /** The time by which the heap has it; at most `expiresUs`, put right when it comes to the top. */
  heapUs: number;
}

/** Keys with their time of expiry. */
export class ExpiryTable {
  readonly #max: number;
  readonly #entries = new Map<string, Entry>();
  /** Binary heap by `heapUs`, one place for each entry. */
  readonly #heap: Entry[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** When the key expires and its mark, or undefined when it is not there or has expired. */
  get(key: string, nowUs: number): { expiresUs: number; active: boolean } | undefined {
    const entry = this.#entries.get(key);
    return entry && entry.expiresUs > nowUs ? entry : undefined;
  }

  /** Sets time and mark of a key; an earlier time than it has is ignored. */
  set(key: string, expiresUs: number, active: boolean, nowUs: number): void {
    const known = this.#entries.get(key);
    if (known) {
      known.expiresUs = Math.max(known.expiresUs, expiresUs);
      known.active = active;
      return;
    }
    this.#dropExpired(nowUs);
    if (this.#entries.size >= this.#max) this.#dropSoonest();
    const entry = { key, expiresUs, active, heapUs: expiresUs };
    this.#entries.set(key, entry);
    this.#heap.push(entry);
    this.#up(this.#heap.length - 1);
  }

  #dropExpired(nowUs: number): void {
    for (let top = this.#settledTop(); top && top.expiresUs <= nowUs; top = this.#settledTop()) {
      this.#dropTop(top);
    }
  }

  #dropSoonest(): void {
    const top = this.#settledTop();
    if (top) this.#dropTop(top);
  }

  /** The entry that expires soonest, brought to the top of the heap. */
  #settledTop(): Entry | undefined {
    let top = this.#heap[0];
    while (top && top.heapUs < top.expiresUs) {
      top.heapUs = top.expiresUs;
      this.#down();
      top = this.#heap[0];
    }
    return top;
  }

  #dropTop(top: Entry): void {
    this.#entries.delete(top.key);
    const last = this.#heap.pop();
    if (last && last !== top) {
      this.#heap[0] = last;
      this.#down();
    }
  }

  #at(index: number): number {
    return this.#heap[index]?.heapUs ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first && second) {
      this.#heap[a] = second;
      this.#heap[b] = first;
    }
  }

  #up(start: number): void {
    for (let at = start; at > 0;) {
      const parent = (at - 1) >> 1;
      if (this.#at(parent) <= this.#at(at)) return;
      this.#swap(parent, at);
      at = parent;
    }
  }

  #down(): void {
    for (let at = 0; ;) {
      const left = 2 * at + 1;
      const child = this.#at(left + 1) < this.#at(left) ? left + 1 : left;
      if (this.#at(child) >= this.#at(at)) return;
      this.#swap(child, at);
      at = child;
    }
  }
}
