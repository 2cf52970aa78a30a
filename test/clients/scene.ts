/**
 * The client table in words: which clients, which features, which ways. A scene is one client using one feature; it is
 * played directly and through the gate, and what it returns must be the same. Nothing in a result may depend on the way
 * (no ports, no paths, no times).
 */
import type { Scope } from '../support/scope.ts';
import type { Place } from './place.ts';

export const FEATURES = [
  'shell',
  'exec',
  'stdin',
  'sftp',
  'scp',
  'rsync',
  'git',
  '-L',
  '-R',
  '-D',
  '-W',
  '-A',
  'mux',
] as const;
export type Feature = (typeof FEATURES)[number];

/** What stands at the head of a column. */
export const TITLES: Readonly<Record<Feature, string>> = {
  shell: 'shell',
  exec: 'exec',
  stdin: 'exec with stdin',
  sftp: 'sftp',
  scp: 'scp',
  rsync: 'rsync',
  git: 'git',
  '-L': '-L',
  '-R': '-R',
  '-D': '-D',
  '-W': '-W',
  '-A': '-A',
  mux: 'ControlMaster',
};

/** Straight to the target; through the gate by the login name; through the gate as a jump host. */
export const WAYS = ['direct', 'named', 'jump'] as const;
export type Way = (typeof WAYS)[number];

/** Where a client logs in, and as whom. */
export interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Private key in OpenSSH's format; the public one lies beside it. */
  readonly key: string;
}

export interface Route extends Login {
  readonly way: Way;
  /** The gate, where it is the jump host. */
  readonly hop?: Login;
}

/** All that a scene has to play with. */
export interface Stage {
  readonly scope: Scope;
  readonly place: Place;
  readonly route: Route;
  /** A folder on the user's side. */
  readonly local: string;
  /** A folder on the target, of the account's. */
  readonly remote: string;
}

export type Scene = (stage: Stage) => Promise<object>;

export interface Client {
  readonly name: string;
  /** The Debian package that has it, and a program or file that tells whether it is there. */
  readonly package: string;
  readonly isThere: () => boolean;
  /** Why the jump way is none of this client's, if it is none. */
  readonly noJump?: string;
  readonly scenes: Readonly<Partial<Record<Feature, Scene>>>;
}

/** A scene cannot be played on this machine; that is no verdict on the gate. */
export class CannotPlay extends Error {}
