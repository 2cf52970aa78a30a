/** What a user may reach, in the order in which the list shows it: where he was last comes first. */
import { withDeadline } from '../base/async.ts';
import { AppError } from '../base/errors.ts';
import type { Identity } from '../access/authn.ts';
import { decide, reachable } from '../access/policy.ts';
import type { Decision, Destination } from '../access/policy.ts';
import type { Gate, Visited } from './gate.ts';
import type { Arrival } from './newcomer.ts';

/** The list does not wait longer for what is only its order. */
const RECENT_MS = 1_000;

/** Never rejects: without an answer in time the order is that of the names. */
export async function destinationsFor(
  gate: Gate,
  identity: Identity,
): Promise<readonly Destination[]> {
  const late = (): AppError => new AppError('busy', 'the database is slow');
  const recent = await withDeadline(gate.recent(identity.userName), RECENT_MS, late).catch(
    (): readonly Visited[] => [],
  );
  const place = new Map(recent.map((visit, at) => [keyOf(visit), at]));
  const rank = ({ account, target }: Destination): number =>
    place.get(keyOf({ accountId: account.id, targetId: target.id })) ?? recent.length;
  const found = reachable(gate.snapshots.current, identity, gate.recording.wallUs());
  // Sorting keeps the order of names where nothing is recent.
  return found.toSorted((a, b) => rank(a) - rank(b));
}

/** Somebody has named what he may not reach: his source pays for it, and the log knows why. */
export function refusedDestination(
  { log, penalties }: Gate,
  connection: string,
  { address, identity }: Pick<Arrival, 'address' | 'identity'>,
  { detail, text }: Extract<Decision, { kind: 'refused' }>,
): AppError {
  penalties.penalise(address, 'refuseconnection');
  const user = identity.userName;
  log.audit({ event: 'destination-refused', connection, user, detail }, 'destination refused');
  return new AppError('not-allowed', text);
}

/** What the rules say now of what was chosen from a list, which may be older than a change of them. */
export function judgeChosen(
  { log, snapshots, recording }: Gate,
  connection: string,
  identity: Identity,
  { target, account }: Destination,
): Decision {
  const wish = { target: target.name, account: account.name };
  const decision = decide(snapshots.current, identity, wish, recording.wallUs());
  if (decision.kind === 'refused') {
    const { detail } = decision;
    const event = { event: 'destination-refused', connection, user: identity.userName, detail };
    log.audit(event, 'destination refused');
  }
  return decision;
}

function keyOf({ accountId, targetId }: Visited): string {
  return `${targetId} ${accountId}`;
}
