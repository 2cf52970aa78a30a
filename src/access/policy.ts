/**
 * Who may reach what: pure functions from (snapshot, identity, wish) to a decision. Everything that
 * is absent, unknown or ambiguous is refused.
 *
 * The user is told the same line whatever was wrong, so that nobody learns which hosts exist;
 * `detail` says precisely what it was and is for the trail and the log alone.
 */
import { printable } from '../wire/channel-request.ts';
import type { AccountRow, ChannelKind, RuleRow, TargetRow } from '../store/rows.ts';
import type { ForwardAddress } from '../wire/forwarding.ts';
import type { Identity } from './authn.ts';
import { isEnabled } from './enabled.ts';
import { forwardTest } from './forward-target.ts';
import type { ForwardTest } from './forward-target.ts';
import type { Snapshot } from './snapshot.ts';

/** What a login name asks for. */
export interface Wish {
  readonly target?: string;
  readonly account?: string;
}

/** A target and account that an identity may reach, and over which kinds of channel. */
export interface Destination {
  readonly target: TargetRow;
  readonly account: AccountRow;
  /** Names of the rules that allow it, sorted; never empty. */
  readonly rules: readonly string[];
  /** Their ids, in the same order. */
  readonly ruleIds: readonly string[];
  /** The union of what these rules let through. */
  readonly channels: ReadonlySet<ChannelKind>;
  /** What each of these rules lets through: a forward must be allowed, as a whole, by one of them. */
  readonly grants: readonly Grant[];
}

/** One rule, as forwards ask for it. */
export interface Grant {
  readonly channels: ReadonlySet<ChannelKind>;
  /** Undefined: wherever the user likes. */
  readonly forwardTo: ForwardTest | undefined;
}

export type Decision =
  | { readonly kind: 'allowed'; readonly destination: Destination }
  /** No target is named: the gate itself answers, with the list or as a jump. */
  | { readonly kind: 'unnamed' }
  | {
      readonly kind: 'refused';
      /** For the user: the same whatever was wrong. */
      readonly text: string;
      /** For the trail: what was wrong. */
      readonly detail: string;
    };

/** Decides whether the identity may reach what it wishes, by the current configuration and the time (UTC, microseconds). */
export function decide(
  snapshot: Snapshot,
  identity: Identity | undefined,
  wish: Wish,
  wallUs: number,
): Decision {
  const refused = (detail: string): Decision => ({
    kind: 'refused',
    text: refusalText(wish),
    detail: oneLine(detail),
  });
  if (!identity) return refused('nobody is logged in');
  const user = snapshot.user(identity.userName);
  if (!isEnabled(user, wallUs) || user.id !== identity.userId) {
    return refused(`user "${identity.userName}" was removed or disabled since login, or expired`);
  }
  if (wish.target === undefined) return { kind: 'unnamed' };
  const target = snapshot.target(wish.target);
  if (!target) return refused(`unknown target "${wish.target}"`);
  const known = (name: string): AccountRow | undefined =>
    target.accounts.find((row) => row.name === name);
  if (wish.account !== undefined && !known(wish.account)) {
    return refused(`unknown account "${wish.account}" on target "${target.name}"`);
  }

  const groups = snapshot.groupsOf(user);
  const rules = snapshot.rulesFor(groups).filter((rule) => rule.targets.includes(target.name));
  const ofGroups = groups.length > 0 ? `groups ${groups.join(', ')}` : 'a user without groups';
  if (rules.length === 0) return refused(`no rule for ${ofGroups} on target "${target.name}"`);
  const reachable = target.accounts.filter((row) => rules.some((rule) => allows(rule, row)));
  const account =
    wish.account === undefined
      ? reachable.length === 1
        ? reachable[0]
        : undefined
      : reachable.find((row) => row.name === wish.account);
  if (!account) {
    if (wish.account !== undefined) {
      return refused(`no rule for ${ofGroups} on account "${wish.account}@${target.name}"`);
    }
    const names = reachable.map((row) => row.name).join(', ');
    return refused(
      names === ''
        ? `no rule for ${ofGroups} names an account of target "${target.name}"`
        : `several accounts on target "${target.name}" (${names}), name one`,
    );
  }
  return { kind: 'allowed', destination: makeDestination(target, account, rules) };
}

/** Every account that the identity may reach, by the current configuration; sorted by target and account. */
export function reachable(
  snapshot: Snapshot,
  identity: Identity,
  wallUs: number,
  targets: readonly TargetRow[] = snapshot.targets,
): readonly Destination[] {
  const user = snapshot.user(identity.userName);
  if (!isEnabled(user, wallUs) || user.id !== identity.userId) return [];
  const byTarget = Map.groupBy(
    snapshot
      .rulesFor(snapshot.groupsOf(user))
      .flatMap((rule) => rule.targets.map((target) => ({ target, rule }))),
    ({ target }) => target,
  );
  const found = targets.flatMap((target) => {
    const rules = (byTarget.get(target.name) ?? []).map(({ rule }) => rule);
    return target.accounts
      .filter((account) => rules.some((rule) => allows(rule, account)))
      .map((account) => makeDestination(target, account, rules));
  });
  return found.sort(
    (a, b) => inOrder(a.target.name, b.target.name) || inOrder(a.account.name, b.account.name),
  );
}

function inOrder(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** The line a user gets for anything that is not allowed. */
export function refusalText(wish: Wish): string {
  if (wish.target === undefined) {
    return 'no target named: log in as user@target or user@account@target';
  }
  const name = wish.account === undefined ? wish.target : `${wish.account}@${wish.target}`;
  const why = 'not known here, or no rule allows it; ask your administrator';
  return `no access to "${oneLine(name)}": ${why}`;
}

/** Whether a channel of this kind may be opened there. */
export function allowsChannel(
  destination: Destination | undefined,
  kind: ChannelKind | undefined,
): boolean {
  return destination !== undefined && kind !== undefined && destination.channels.has(kind);
}

/** Forwards of one kind, to one place where the kind has one. */
export interface ForwardWish {
  readonly kind: ChannelKind;
  /** Undefined where no rule's `forward_to` speaks of it. */
  readonly to: ForwardAddress | undefined;
}

/** Whether a forward may be made; with `nested`, whether it may carry SSH as well. */
export function allowsForward(
  destination: Destination | undefined,
  { kind, to }: ForwardWish,
  nested = false,
): boolean {
  if (!destination) return false;
  return destination.grants.some(
    ({ channels, forwardTo }) =>
      channels.has(kind) &&
      (!nested || channels.has('nested-ssh')) &&
      (to === undefined || forwardTo === undefined || forwardTo(to)),
  );
}

function oneLine(text: string): string {
  return printable(Buffer.from(text));
}

function allows(rule: RuleRow, account: AccountRow): boolean {
  return rule.accounts.includes(account.name);
}

function makeDestination(
  target: TargetRow,
  account: AccountRow,
  candidates: readonly RuleRow[],
): Destination {
  const rules = candidates.filter((rule) => allows(rule, account));
  return Object.freeze({
    target,
    account,
    rules: Object.freeze(rules.map((rule) => rule.name)),
    ruleIds: Object.freeze(rules.map((rule) => rule.id)),
    channels: new Set(rules.flatMap((rule) => rule.channels)),
    grants: rules.map(({ channels, forwardTo }) => ({
      channels: new Set(channels),
      forwardTo: forwardTo === null ? undefined : forwardTest(forwardTo),
    })),
  });
}
