/** Whether somebody may be here at all: he is there, not disabled, and his time is not over. */
import type { UserRow } from '../store/rows.ts';

/** Judges by the clock that it is given, in microseconds since 1970. */
export function isEnabled(user: UserRow | undefined, wallUs: number): user is UserRow {
  return whyNotEnabled(user, wallUs) === undefined;
}

/** The same as a word about him, for reasons: `undefined` when he may. */
export function whyNotEnabled(
  user: UserRow | undefined,
  wallUs: number,
): 'removed' | 'disabled' | 'expired' | undefined {
  if (!user) return 'removed';
  // Only a plain `false` enables, and only a plain null is for ever: a row without the field is refused.
  if ((user.disabled as unknown) !== false) return 'disabled';
  return user.expires === null || wallUs < user.expires ? undefined : 'expired';
}
