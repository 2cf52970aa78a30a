/**
 * Who ends what a test started. A `Scope` is anything with `after`: a test's `t`, or `{ after }` of node:test for a
 * whole file, or a `ManualScope` in a script that is no test. What was started last ends first, whatever order the
 * runner would use, so that a folder is removed after the processes that live in it.
 */

export interface Scope {
  after(fn: () => void | Promise<void>): void;
}

type Ending = () => void | Promise<void>;

const endings = new WeakMap<Scope, Ending[]>();

async function runAll(stack: Ending[]): Promise<void> {
  const errors: unknown[] = [];
  for (let ending = stack.pop(); ending; ending = stack.pop()) {
    try {
      await ending();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, 'cleaning up after a test failed');
}

/** Runs `ending` when the scope ends, before all that was deferred earlier. */
export function defer(scope: Scope, ending: Ending): void {
  let stack = endings.get(scope);
  if (!stack) {
    const created: Ending[] = [];
    stack = created;
    endings.set(scope, created);
    scope.after(() => runAll(created));
  }
  stack.push(ending);
}

/** A scope for scripts: benchmarks and long loops. */
export class ManualScope implements Scope {
  readonly #endings: Ending[] = [];

  after(fn: Ending): void {
    this.#endings.push(fn);
  }

  /** Ends everything; call it in `finally`. */
  async end(): Promise<void> {
    await runAll(this.#endings);
  }
}
