/**
 * `sallyport apply`: an inventory file becomes at most one commit, through the gate where one runs. The file is parsed
 * and its private keys are read here, as the operator who runs the command may read them and in his words; what needs
 * the database is checked where it is applied, all or nothing.
 */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';

import { AppError, reasonOf } from '../base/errors.ts';
import { parseInventory } from '../config/inventory-file.ts';
import type { InventoryDocument } from '../config/inventory-file.ts';
import { MAX_TEXT } from '../config/yaml.ts';
import type { ControlClient } from '../ops/control-client.ts';
import { readApplied } from '../ops/control-messages.ts';
import type { ApplyAnswer } from '../ops/control-messages.ts';
import { applyInventory } from '../store/apply.ts';
import { parseAuthorizedKey } from '../wire/publickey.ts';
import { parsePrivateKey } from '../wire/ssh2.ts';
import { planTools, unixUser, withConfiguration } from './configuration.ts';
import type { Output } from './output.ts';
import { counted, grouped, say } from './words.ts';

export interface ApplyOptions {
  readonly dir: string;
  readonly prune?: boolean;
  readonly message?: string;
}

/** Many passwords take argon2 many times. */
const DEADLINE_MS = 10 * 60_000;
const MAX_VALUE = 60;
const MAX_KEY = 64 * 1024;

export async function apply(file: string, options: ApplyOptions, output: Output): Promise<void> {
  const { dir, prune = false, message = `apply ${file}` } = options;
  const { text, document, keyFiles } = readInventoryFile(file);
  const by = { author: unixUser(), message, prune };
  const applied = await withConfiguration(dir, {
    running: (gate) => applyAtGate(gate, file, { text, keyFiles, ...by }),
    offline: async (db) => {
      const result = await applyInventory(db, document, { ...(await planTools(dir)), ...by });
      return readApplied(result);
    },
  });
  await output.write(`${describe(applied).join('\n')}\n`);
}

/** A key is a file: a pipe that nobody writes would be waited for. An inventory may come through one. */
function readText(path: string, max: number, pipe = false): string {
  const about = statSync(path);
  if (!about.isFile() && !(pipe && about.isFIFO())) throw new Error('not a regular file');
  if (about.size > max) throw new Error(`larger than ${grouped(max)} bytes`);
  return readFileSync(path, 'utf8');
}

interface InventoryFile {
  readonly text: string;
  readonly document: InventoryDocument;
  /** The private key files that it names, by absolute path. */
  readonly keyFiles: Readonly<Record<string, string>>;
}

function readInventoryFile(file: string): InventoryFile {
  let text: string;
  try {
    text = readText(file, MAX_TEXT, true);
  } catch (cause) {
    throw new AppError('inventory-invalid', `cannot read ${file}: ${reasonOf(cause)}`, { cause });
  }
  const keyFiles: Record<string, string> = {};
  const document = parseInventory(text, file, {
    publicKey: parseAuthorizedKey,
    privateKey: parsePrivateKey,
    readFile: (path) => {
      const key = readText(path, MAX_KEY);
      keyFiles[path] = key;
      return key;
    },
  });
  return { text, document, keyFiles };
}

async function applyAtGate(
  gate: ControlClient,
  file: string,
  request: object,
): Promise<ApplyAnswer> {
  // The gate has another working folder, so it is told the whole path, and its errors say that one.
  const path = resolve(file);
  try {
    const params = { file: path, ...request };
    return readApplied(await gate.call('apply', params, { deadlineMs: DEADLINE_MS }));
  } catch (error) {
    if (error instanceof AppError && error.message.startsWith(`${path}:`)) {
      throw new AppError(error.code, file + error.message.slice(path.length), { cause: error });
    }
    throw error;
  }
}

const SIGNS = { created: '+', changed: '~', removed: '-' } as const;

/** What was done, a line per object. */
export function describe({ commit, changes }: ApplyAnswer): string[] {
  if (commit === null) return ['nothing to change'];
  const lines = changes.map(({ action, kind, name, fields = [], before, after }) => {
    const what = fields.map((field) => difference(field, before?.[field], after?.[field]));
    return `${SIGNS[action]} ${kind} ${name}${what.length > 0 ? `: ${what.join(', ')}` : ''}`;
  });
  return [...lines.map(say), `commit ${commit}: ${counted(changes.length, 'change')}`];
}

/** `port 22 → 2200`; lists by what came and went, secrets only by their name. */
function difference(field: string, before: unknown, after: unknown): string {
  if (Array.isArray(before) && Array.isArray(after)) {
    const [was, is] = [before.map(short), after.map(short)];
    const gone = was.filter((item) => !is.includes(item)).map((item) => `-${item}`);
    const come = is.filter((item) => !was.includes(item)).map((item) => `+${item}`);
    const both = [...gone, ...come];
    return both.length > 0 ? `${field} ${both.join(' ')}` : `${field} in another order`;
  }
  const [was, is] = [short(before), short(after)];
  return was === is ? `${field} changed` : `${field} ${was} → ${is}`;
}

function short(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE - 3)}...` : text;
}
