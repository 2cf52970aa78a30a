/**
 * What the demo tells of sessions while it runs: a line when one begins, and when it has ended what it was and the
 * command that shows it. It asks the gate, as `sallyport connections` does.
 */
import { reasonOf } from '../base/errors.ts';
import { z } from '../config/schema.ts';
import { connectControl } from '../ops/control-client.ts';
import type { GateEvent } from './demo-gate.ts';
import type { DemoFolder } from './demo-folder.ts';
import { say, shellWord, shorten } from './words.ts';

/** So many of the newest connections are looked through for the one that an event is about. */
const NEWEST = 200;
const MAX_COMMAND = 40;

const row = z.looseObject({
  id: z.string(),
  user: z.string(),
  target: z.string().nullable(),
  account: z.string().nullable(),
  reason: z.string().nullable(),
  started: z.string(),
  ended: z.string().nullable(),
  channels: z.array(
    z.looseObject({
      kind: z.string(),
      command: z.string().nullable(),
      result: z.string().nullable(),
    }),
  ),
});
type Row = z.infer<typeof row>;

export class DemoSessions {
  readonly #folder: DemoFolder;
  readonly #tell: (text: string) => Promise<void>;
  /** One question at a time, in the order of the events. */
  #last: Promise<void> = Promise.resolve();

  constructor(folder: DemoFolder, tell: (text: string) => Promise<void>) {
    this.#folder = folder;
    this.#tell = tell;
  }

  /** Takes an event of the gate's log. */
  take({ event, connection }: GateEvent): void {
    if (connection === undefined) return;
    if (event !== 'session-started' && event !== 'session-ended') return;
    this.#last = this.#last.then(async () => {
      const found = await this.#find(connection).catch((error: unknown) => reasonOf(error));
      // A gate that is ending answers no more.
      if (typeof found !== 'object') return;
      await this.#tell(event === 'session-started' ? began(found) : this.#ended(found));
    });
  }

  async #find(id: string): Promise<Row | undefined> {
    const gate = await connectControl(this.#folder.dir);
    if (!gate) return undefined;
    try {
      for await (const item of gate.items('connections', { limit: NEWEST })) {
        const parsed = row.safeParse(item);
        if (parsed.success && parsed.data.id === id) return parsed.data;
      }
      return undefined;
    } finally {
      gate.close();
    }
  }

  #ended({ id, user, target, reason, started, ended, channels }: Row): string {
    const { sallyport, shown } = this.#folder;
    const seconds = ended === null ? 0 : (Date.parse(ended) - Date.parse(started)) / 1000;
    const what = channels.map(({ kind, command, result }) => {
      const name = command === null || command === '' ? kind : `${kind} ${command}`;
      return `${shorten(say(name), MAX_COMMAND)}: ${say(result ?? 'open')}`;
    });
    const text = what.length > 0 ? what.join('; ') : say(reason ?? '');
    return `  ${say(user)} has left ${say(target ?? 'the gate')} after ${seconds.toFixed(1)} s (${text})
      ${sallyport} trail show --dir ${shellWord(shown)} ${id}\n`;
  }
}

function began({ user, target, account }: Row): string {
  return `  ${say(user)} is on ${say(target ?? 'no target yet')}${account === null ? '' : ` as ${say(account)}`}\n`;
}
