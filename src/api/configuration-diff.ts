/**
 * What a transaction would change, object by object, with the bodies that its routes show: so a secret is never in it,
 * and a path is one that can be asked for.
 */
import { canonicalJson } from '../store/audit.ts';
import type { Staged } from './transactions.ts';

/** Objects of one kind as the API shows them. */
export interface Shown {
  /** The path of an object; for the only one of its kind that of the kind. */
  readonly path: string;
  readonly body: object;
}

export interface Change {
  readonly type: 'create' | 'delete' | 'replace';
  readonly path: string;
  readonly old_value?: object;
  readonly new_value?: object;
}

/** The changes between two states: what is made first, then what is changed, then what is gone. */
export function diffShown(before: readonly Shown[], after: readonly Shown[]): Change[] {
  const old = new Map(before.map(({ path, body }) => [path, body]));
  const made: Change[] = [];
  const changed: Change[] = [];
  for (const { path, body } of after) {
    const was = old.get(path);
    old.delete(path);
    if (was === undefined) made.push({ type: 'create', path, new_value: body });
    else if (canonicalJson(was) !== canonicalJson(body)) {
      changed.push({ type: 'replace', path, old_value: was, new_value: body });
    }
  }
  const gone = [...old].map(([path, body]): Change => ({ type: 'delete', path, old_value: body }));
  return [...made, ...changed, ...gone];
}

/** A configuration without passwords that are staged: what a diff starts from. */
export function unstaged(content: Staged['content']): Staged {
  return { content, passwords: new Map() };
}
