/**
 * Who may do what over the API: groups have ACLs, an ACL names objects and a permission, a route says which object it
 * touches and how. Nothing is allowed that no ACL allows; the user `admin` may do everything (SPS contract, section 8).
 */
import type { AclRow } from '../store/rows.ts';

export type Permission = 'read' | 'write';

/** What ACLs may name beside paths below `/api/`, and what each is for. */
export const SPECIAL_OBJECTS = {
  '/special/basic': 'settings, the state of the gate, its nodes',
  '/special/auth': 'users, groups, passwords, ACLs',
  '/special/searchmenu': 'recorded sessions, their trails and files',
  '/special/changelog': 'what was changed in the configuration, by whom',
  '/special/pol': 'targets and their accounts',
  '/special/ssh': 'rules of who may reach what',
  '/special/active_sessions': 'closing sessions',
} as const;

export type SpecialObject = keyof typeof SPECIAL_OBJECTS;

/** What a caller was granted at his login. */
export interface Grant {
  readonly object: string;
  readonly permission: Permission;
}

/** The user who may do everything, whatever the ACLs say. */
export const ADMIN = 'admin';

/** What the ACLs grant to the members of these groups. */
export function grantsOf(groups: readonly string[], acls: readonly AclRow[]): Grant[] {
  const mine = new Set(groups);
  return acls
    .filter(({ group }) => mine.has(group))
    .flatMap(({ objects, permission }) => objects.map((object) => ({ object, permission })));
}

/** Whether one of the grants covers a use: of the special object, or of the path or one above it. */
export function isGranted(
  grants: readonly Grant[],
  object: SpecialObject,
  path: string,
  permission: Permission,
): boolean {
  return grants.some(
    (grant) =>
      (grant.permission === 'write' || permission === 'read') &&
      (grant.object === object || isAt(path, grant.object)),
  );
}

function isAt(path: string, above: string): boolean {
  return above.startsWith('/api/') && (path === above || path.startsWith(`${above}/`));
}
