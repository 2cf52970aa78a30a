/**
 * Plays the scenes: each directly first, which has to work, then through the gate; the results must be equal. Where the
 * gate keeps files, each file that crossed whole must be had back from it with the hash that the scene saw.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { each } from '../support/each.ts';
import { ManualScope } from '../support/scope.ts';
import { stageOf } from './place.ts';
import type { Place } from './place.ts';
import { CannotPlay, FEATURES } from './scene.ts';
import type { Client, Feature, Scene, Way } from './scene.ts';

/** `same`; `differs` or `broken`, with the reason; `none` where the client has no such thing. */
export interface Cell {
  readonly verdict: 'same' | 'differs' | 'unplayed' | 'none';
  readonly reason: string;
  /** Transfers of a whole file that the gate gave back, byte for byte. */
  readonly files: number;
}

/** A row: a client, and what became of it on one way. */
export interface Row {
  readonly client: Client;
  readonly way: Exclude<Way, 'direct'>;
  readonly cells: ReadonlyMap<Feature, Cell>;
}

const NONE: Cell = { verdict: 'none', reason: '', files: 0 };
const SCENE_MS = 240_000;

export interface PlayOptions {
  readonly features?: readonly Feature[];
  readonly ways?: readonly Exclude<Way, 'direct'>[];
  readonly onCell?: (client: Client, way: Way, feature: Feature, cell: Cell) => void;
}

/** Plays all scenes of these clients; rows in the order of clients within ways. */
export async function playAll(
  place: Place,
  clients: readonly Client[],
  options: PlayOptions = {},
): Promise<Row[]> {
  const { features = FEATURES, ways = ['named', 'jump'], onCell } = options;
  const keepsFiles = await hasFiles(place);
  const rows = ways.flatMap((way) =>
    clients.map((client) => ({ client, way, cells: new Map<Feature, Cell>() })),
  );
  for (const client of clients) {
    for (const feature of features) {
      const scene = client.scenes[feature];
      const direct = scene && client.isThere() ? await act(place, scene, 'direct') : undefined;
      for (const row of rows.filter((one) => one.client === client)) {
        const cell = await cellOf(place, row, scene, direct, keepsFiles);
        row.cells.set(feature, cell);
        onCell?.(client, row.way, feature, cell);
      }
    }
  }
  return rows;
}

/** Whether this gate can give files back. */
async function hasFiles({ gate }: Place): Promise<boolean> {
  const { stdout } = await gate.cli(['files', '--help']);
  return stdout.toString().startsWith('Usage: sallyport files');
}

type Performance = { readonly result: object } | { readonly error: string; readonly here: boolean };

async function act(place: Place, scene: Scene, way: Way): Promise<Performance> {
  const scope = new ManualScope();
  let timer: NodeJS.Timeout | undefined;
  try {
    const stage = await stageOf(scope, place, way);
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('did not end')), SCENE_MS);
    });
    return { result: await Promise.race([scene(stage), late]) };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { error: text, here: error instanceof CannotPlay };
  } finally {
    clearTimeout(timer);
    await scope.end();
  }
}

async function cellOf(
  place: Place,
  { client, way }: Row,
  scene: Scene | undefined,
  direct: Performance | undefined,
  keepsFiles: boolean,
): Promise<Cell> {
  if (!scene || (way === 'jump' && client.noJump !== undefined)) return NONE;
  if (!direct)
    return { ...NONE, verdict: 'unplayed', reason: `${client.package} is not installed` };
  if ('error' in direct) {
    const where = direct.here ? 'not on this machine' : 'fails directly too';
    return { ...NONE, verdict: 'unplayed', reason: `${where}: ${shown(direct.error)}` };
  }
  const hashes = 'hashes' in direct.result && keepsFiles;
  const before = new Set(hashes ? await connectionIds(place) : []);
  const through = await act(place, scene, way);
  if ('error' in through) return { ...NONE, verdict: 'differs', reason: shown(through.error) };
  if (!isDeepStrictEqual(through.result, direct.result)) {
    return { ...NONE, verdict: 'differs', reason: difference(direct.result, through.result) };
  }
  if (!hashes) return { verdict: 'same', reason: '', files: 0 };
  const { wrong, files } = await checkFiles(place, before, through.result);
  return { verdict: wrong === '' ? 'same' : 'differs', reason: wrong, files };
}

async function connectionIds({ gate }: Place): Promise<string[]> {
  return (await gate.connections()).map(({ id }) => String(id));
}

/** Hashes in a result: of files that crossed whole, and of others that may have. */
interface Hashes {
  readonly hashes?: readonly string[];
  readonly perhaps?: readonly string[];
}

/** Commands that ask the gate for files at a time. */
const ASKING = 2;

/**
 * Asks the gate for every file that it has whole of the connections since: content and hash must be those of one that the
 * scene saw, and each that crossed whole must be there. Tells what is wrong, or nothing, and how many files it got.
 */
async function checkFiles(
  place: Place,
  before: ReadonlySet<string>,
  { hashes = [], perhaps = [] }: Hashes,
): Promise<{ readonly wrong: string; readonly files: number }> {
  const { gate } = place;
  const seen = new Set([...hashes, ...perhaps]);
  const missing = new Set(hashes);
  const asked: { readonly connection: string; readonly file: Record<string, unknown> }[] = [];
  for (const connection of await connectionIds(place)) {
    if (before.has(connection)) continue;
    for (const line of (await gate.text(['files', connection, '--json'])).split('\n')) {
      if (line === '') continue;
      const file = JSON.parse(line) as Record<string, unknown>;
      if (file['whole'] === true) asked.push({ connection, file });
    }
  }
  let wrong = '';
  await each(asked, ASKING, async ({ connection, file }) => {
    const hash = String(file['sha256']);
    missing.delete(hash);
    const name = `files get: ${JSON.stringify(file['path'])}`;
    const id = String(file['id']);
    const { stdout, stderr, code } = await gate.cli(['files', 'get', connection, id]);
    if (code !== 0) wrong ||= `${name}: ${shown(stderr.toString())}`;
    else if (sha256(stdout) !== hash) wrong ||= `${name} has not the content of its hash`;
    else if (!seen.has(hash)) wrong ||= `${name} is not what the client moved`;
  });
  if (missing.size > 0) wrong ||= `${missing.size} of ${seen.size} files are not whole in the gate`;
  return { wrong, files: asked.length };
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The first thing in which two results differ. */
function difference(direct: object, through: object): string {
  const [one, other] = [direct, through] as unknown as [
    Record<string, unknown>,
    Record<string, unknown>,
  ];
  const key = Object.keys({ ...one, ...other }).find(
    (name) => !isDeepStrictEqual(one[name], other[name]),
  );
  const say = (value: unknown): string => shown(JSON.stringify(value ?? null), 120);
  return `${key}: ${say(one[key ?? ''])} directly, ${say(other[key ?? ''])} through the gate`;
}

/** One line, without what differs from run to run. */
function shown(text: string, most = 200): string {
  const line = text
    .replace(/\/tmp\/[\w./-]+/g, '...')
    .replace(/(\bport |:)\d{4,5}\b/g, '$1N')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > most ? `${line.slice(0, most)}...` : line;
}
