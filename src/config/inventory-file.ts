/**
 * The inventory file, from YAML text to a checked document in which every object and every reference knows its line.
 * Keys are parsed, private key files read, duplicates refused; what needs the database (unknown references, accounts
 * without a credential) is checked by `store/inventory-plan.ts` with the lines given here.
 *
 * No error repeats a secret: they name the file, the line, the object and the field.
 */
import { dirname, resolve } from 'node:path';
import { AppError, reasonOf } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import type { ChannelKind } from './channel-kinds.ts';
import { inventoryShape } from './inventory-shape.ts';
import type { AccountShape, InventoryShape } from './inventory-shape.ts';
import { parseYaml } from './yaml.ts';
import type { ParsedYaml } from './yaml.ts';

/** A name that must exist elsewhere, and where it was written. */
export interface Reference {
  readonly name: string;
  readonly line: number;
}

/** A way to log in to an account as the file gives it; a key or password is still plain. */
export type GivenCredential =
  | { readonly kind: 'private-key' | 'password'; readonly secret: Secret }
  | { readonly kind: 'agent' }
  | { readonly kind: 'ask' };

export interface UserEntry extends Reference {
  /** Null takes the password away. */
  readonly password?: Secret | null;
  readonly keys?: readonly string[];
  readonly groups?: readonly Reference[];
  readonly disabled?: boolean;
  /** Microseconds since 1970; null: never. */
  readonly expires?: number | null;
}

export interface AccountEntry extends Reference {
  readonly credential?: GivenCredential;
}

export interface TargetEntry extends Reference {
  readonly address?: string;
  readonly port?: number;
  readonly hostKeys?: readonly string[];
  readonly hostKeyPolicy?: 'pinned' | 'accept-new';
  readonly algorithms?: Readonly<Record<'kex' | 'hostKey' | 'cipher' | 'mac', readonly string[]>>;
  readonly accounts: readonly AccountEntry[];
}

export interface RuleEntry extends Reference {
  readonly groups: readonly Reference[];
  readonly targets: readonly Reference[];
  readonly accounts: readonly Reference[];
  readonly channels: readonly ChannelKind[];
  /** Null: wherever the user likes. */
  readonly forwardTo?: readonly string[] | null;
}

export interface AclEntry {
  readonly group: Reference;
  readonly line: number;
  readonly objects: readonly string[];
  readonly permission: 'read' | 'write';
}

/** A field that is left out is absent: it stays as it is. */
export interface InventoryDocument {
  /** As the operator named it; error messages start with it. */
  readonly file: string;
  readonly users: readonly UserEntry[];
  readonly groups: readonly Reference[];
  readonly targets: readonly TargetEntry[];
  readonly rules: readonly RuleEntry[];
  readonly acls: readonly AclEntry[];
  /** Those that are said, by the names of `store/rows.ts`. */
  readonly settings?: Readonly<Record<string, boolean>>;
}

/** What reading the file needs from elsewhere; each may throw, and the message becomes the reason. */
export interface InventoryTools {
  /** `parseAuthorizedKey` of `wire/publickey.ts`. */
  publicKey(line: string): {
    readonly type: string;
    readonly blob: Buffer;
    readonly comment: string;
  };
  /** Throws unless the text is a private key that the gate can use, e.g. `parsePrivateKey`. */
  privateKey(text: string): unknown;
  /** The text of a private key file at an absolute path. */
  readFile(path: string): string;
}

/** The error of an inventory file: `file:line: reason`. */
export function inventoryError(
  file: string,
  line: number,
  reason: string,
  options?: { cause?: unknown },
): AppError {
  return new AppError('inventory-invalid', `${file}:${line}: ${reason}`, options);
}

/** Parses and checks the text of an inventory file; paths in it are relative to the folder of `file`. */
export function parseInventory(
  text: string,
  file: string,
  tools: InventoryTools,
): InventoryDocument {
  const yaml = parseYaml(text, file, 'inventory-invalid');
  const checked = inventoryShape.safeParse(yaml.value ?? {});
  if (!checked.success) throw shapeError(file, yaml, checked.error.issues);
  return new InventoryReader(file, yaml, tools).read(checked.data);
}

type Path = readonly (string | number)[];

interface ShapeIssue {
  readonly code?: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
}

/** The first fault in the order of lines, in words. */
function shapeError(file: string, yaml: ParsedYaml, issues: readonly ShapeIssue[]): AppError {
  const faults = issues.map((issue) => {
    const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
    const [unknown] = issue.keys ?? [];
    const line = yaml.lineOf(unknown === undefined ? path : [...path, unknown]);
    const { title, rest } = describe(yaml.value, path);
    const what = unknown === undefined ? issue.message : `unknown key ${quote(unknown)}`;
    return { line, reason: [title, ...rest, what].filter((part) => part !== '').join(': ') };
  });
  const [first] = faults.sort((a, b) => a.line - b.line);
  return inventoryError(file, first?.line ?? 1, first?.reason ?? 'not an inventory');
}

const TITLES: Readonly<Record<string, string | undefined>> = {
  users: 'user',
  groups: 'group',
  targets: 'target',
  rules: 'rule',
  acls: 'acl',
};

/** A text in quotes with its control characters escaped and its length bounded. */
function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

function nameAt(value: unknown, path: Path): string {
  let item = value;
  for (const step of path) {
    item =
      typeof item === 'object' && item !== null ? (item as Record<string, unknown>)[step] : null;
  }
  const { name } = (item ?? {}) as { name?: unknown };
  return typeof name === 'string' ? quote(name) : `${Number(path.at(-1)) + 1}`;
}

/** The object that a path lies in, for people, and what is left of the path. */
function describe(value: unknown, path: Path): { title: string; rest: string[] } {
  const [section = '', index] = path;
  const title = TITLES[section];
  if (title === undefined || index === undefined) return { title: '', rest: path.map(String) };
  const outer = `${title} ${nameAt(value, path.slice(0, 2))}`;
  if (path[2] === 'accounts' && section === 'targets' && path[3] !== undefined) {
    const account = `account ${nameAt(value, path.slice(0, 4))}`;
    return { title: `${account} of ${outer}`, rest: path.slice(4).map(String) };
  }
  return { title: outer, rest: path.slice(2, 3).map(String) };
}

/** Names of the file are those of the rows with underscores. */
function settingsOf(said: Readonly<Record<string, boolean | undefined>>): Record<string, boolean> {
  const entries = Object.entries(said).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [[name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()), value] as const],
  );
  return Object.fromEntries(entries);
}

/** Turns checked values into entries with lines; holds what every step of it needs. */
class InventoryReader {
  readonly #file: string;
  readonly #yaml: ParsedYaml;
  readonly #tools: InventoryTools;

  constructor(file: string, yaml: ParsedYaml, tools: InventoryTools) {
    this.#file = file;
    this.#yaml = yaml;
    this.#tools = tools;
  }

  read(shape: InventoryShape): InventoryDocument {
    const users = (shape.users ?? []).map((user, i): UserEntry => {
      const { name, password, keys, groups, disabled, expires } = user;
      const path = ['users', i];
      const title = `user ${quote(name)}`;
      return {
        ...this.#entry(name, path),
        ...(password === undefined
          ? {}
          : { password: password === null ? null : new Secret(password) }),
        ...(keys ? { keys: this.#keys(title, keys, [...path, 'keys'], true) } : {}),
        ...(groups ? { groups: this.#references(title, groups, [...path, 'groups']) } : {}),
        ...(disabled === undefined ? {} : { disabled }),
        ...(expires === undefined ? {} : { expires }),
      };
    });
    const groups = (shape.groups ?? []).map(({ name }, i) => this.#entry(name, ['groups', i]));
    const targets = (shape.targets ?? []).map((target, i) => this.#target(target, ['targets', i]));
    const rules = (shape.rules ?? []).map((rule, i): RuleEntry => {
      const path = ['rules', i];
      const title = `rule ${quote(rule.name)}`;
      const { forward_to: forwardTo } = rule;
      const list = (field: 'groups' | 'targets' | 'accounts') =>
        this.#references(title, rule[field], [...path, field]);
      return {
        ...this.#entry(rule.name, path),
        groups: list('groups'),
        targets: list('targets'),
        accounts: list('accounts'),
        channels: [...new Set(rule.channels)],
        ...(forwardTo === undefined ? {} : { forwardTo: forwardTo && [...new Set(forwardTo)] }),
      };
    });
    const acls = (shape.acls ?? []).map((acl, i): AclEntry => {
      const group = { name: acl.group, line: this.#yaml.lineOf(['acls', i, 'group']) };
      const { objects, permission } = acl;
      return { group, line: group.line, objects: [...new Set(objects)], permission };
    });
    this.#unique('user', users);
    this.#unique('group', groups);
    this.#unique('target', targets);
    this.#unique('rule', rules);
    this.#unique(
      'acl of group and permission',
      acls.map(({ group, permission, line }) => ({ name: `${group.name} ${permission}`, line })),
    );
    const settings = settingsOf(shape.settings ?? {});
    return { file: this.#file, users, groups, targets, rules, acls, settings };
  }

  #target(target: NonNullable<InventoryShape['targets']>[number], path: Path): TargetEntry {
    const { name, address, port, host_keys: keys, host_key_policy: policy, algorithms } = target;
    const title = `target ${quote(name)}`;
    const accounts = (target.accounts ?? []).map((account, i): AccountEntry => {
      const accountPath = [...path, 'accounts', i];
      const accountTitle = `account ${quote(account.name)} of ${title}`;
      const credential = this.#credential(accountTitle, account, accountPath);
      return { ...this.#entry(account.name, accountPath), ...(credential ? { credential } : {}) };
    });
    this.#unique(`${title}: account`, accounts);
    const extra = {
      kex: algorithms?.kex ?? [],
      hostKey: algorithms?.host_key ?? [],
      cipher: algorithms?.cipher ?? [],
      mac: algorithms?.mac ?? [],
    };
    return {
      ...this.#entry(name, path),
      ...(address === undefined ? {} : { address }),
      ...(port === undefined ? {} : { port }),
      ...(keys ? { hostKeys: this.#keys(title, keys, [...path, 'host_keys'], false) } : {}),
      ...(policy ? { hostKeyPolicy: policy } : {}),
      ...(algorithms ? { algorithms: extra } : {}),
      accounts,
    };
  }

  #credential(title: string, account: AccountShape, path: Path): GivenCredential | undefined {
    const { private_key_file: keyFile, private_key: key, password, agent, ask } = account;
    const given = Object.keys(account).filter((field) => field !== 'name');
    if (given.length > 1) {
      this.#fail([...path, given[1] ?? ''], `${title}: ${given.join(' and ')} exclude each other`);
    }
    if (keyFile !== undefined) {
      const at = [...path, 'private_key_file'];
      const where = resolve(dirname(this.#file), keyFile);
      return this.#privateKey(title, at, () => this.#tools.readFile(where));
    }
    if (key !== undefined) return this.#privateKey(title, [...path, 'private_key'], () => key);
    if (password !== undefined) return { kind: 'password', secret: new Secret(password) };
    if (agent) return { kind: 'agent' };
    return ask ? { kind: 'ask' } : undefined;
  }

  #privateKey(title: string, path: Path, read: () => string): GivenCredential {
    try {
      const text = read();
      this.#tools.privateKey(text);
      return { kind: 'private-key', secret: new Secret(text) };
    } catch (error) {
      return this.#fail(path, `${title}: ${String(path.at(-1))}: ${reasonOf(error)}`, error);
    }
  }

  /** Keys in one spelling each: type, base64, and for users the comment. */
  #keys(title: string, lines: readonly string[], path: Path, comments: boolean): string[] {
    const seen = new Set<string>();
    return lines.map((line, i) => {
      try {
        const { type, blob, comment } = this.#tools.publicKey(line);
        const key = `${type} ${blob.toString('base64')}`;
        if (seen.has(key)) throw new AppError('inventory-invalid', 'this key occurs twice');
        seen.add(key);
        return comments && comment !== '' ? `${key} ${comment}` : key;
      } catch (error) {
        const field = `${String(path.at(-1))} ${i + 1}`;
        return this.#fail([...path, i], `${title}: ${field}: ${reasonOf(error)}`, error);
      }
    });
  }

  #references(title: string, names: readonly string[], path: Path): Reference[] {
    const list = names.map((name, i) => this.#at(name, [...path, i]));
    this.#unique(`${title}: ${String(path.at(-1))}:`, list);
    return list;
  }

  #unique(title: string, entries: readonly Reference[]): void {
    const lines = new Map<string, number>();
    for (const { name, line } of entries) {
      const first = lines.get(name);
      if (first !== undefined) {
        const reason = `${title} ${quote(name)} occurs twice, first on line ${first}`;
        throw inventoryError(this.#file, line, reason);
      }
      lines.set(name, line);
    }
  }

  #entry(name: string, path: Path): Reference {
    return this.#at(name, [...path, 'name']);
  }

  #at(name: string, path: Path): Reference {
    return { name, line: this.#yaml.lineOf(path) };
  }

  #fail(path: Path, reason: string, cause?: unknown): never {
    throw inventoryError(this.#file, this.#yaml.lineOf(path), reason, { cause });
  }
}
