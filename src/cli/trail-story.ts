/**
 * What a connection's own container tells of it: who, where to, its channels, how it ended, and the events on the way.
 * It reads the facts that the session noted there, so it needs no database; what is missing or of another form is left
 * out rather than guessed at.
 */
import { z } from '../config/schema.ts';
import { AgentView } from '../recording/agent-view.ts';
import type { TrailRecord } from '../recording/block-decoder.ts';
import { FATE, KINDS } from '../recording/container.ts';
import { describeRecord } from '../recording/describe-record.ts';
import type { Fields } from '../recording/describe-record.ts';
import { agentText } from './agent-text.ts';
import { eventText, pairs } from './event-text.ts';
import { say } from './words.ts';
import type { TimedText } from './channel-timeline.ts';

const OPENS: ReadonlySet<number> = new Set([
  KINDS['forward-new-channel-request'],
  KINDS['reverse-new-channel-request'],
]);

const text = z.string();
const whole = z.int().nonnegative();

const oneWay = z.object({ cipher: text, mac: text });
const algorithms = z.object({
  kex: text,
  hostKey: text,
  clientToServer: oneWay,
  serverToClient: oneWay,
});

/** The facts of `ops/facts.ts` as far as they are told to people. */
const facts = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('connection-started'),
    user: text,
    loginName: text,
    sourceAddress: text,
    sourcePort: whole,
    clientVersion: text,
    authMethod: text,
    keyFingerprint: text,
    startedAt: whole,
    connectionKind: text.optional(),
    parent: text.optional(),
  }),
  z.object({
    kind: z.literal('destination-chosen'),
    target: text,
    account: text,
    address: text,
    port: whole,
    rule: text,
  }),
  z.object({
    kind: z.literal('leg-negotiated'),
    leg: z.enum(['downstream', 'upstream']),
    algorithms,
  }),
  z.object({ kind: z.literal('channel-opened'), channel: whole, type: text }),
  z.object({ kind: z.literal('channel-changed'), channel: whole, type: text, command: text }),
  z.object({
    kind: z.literal('channel-forwards'),
    channel: whole,
    type: text,
    destination: text,
    originator: text,
  }),
  z.object({ kind: z.literal('channel-carries'), channel: whole, protocol: text }),
  z.object({
    kind: z.literal('channel-ended'),
    channel: whole,
    bytesIn: whole,
    bytesOut: whole,
    end: text,
  }),
  z.object({ kind: z.literal('connection-ended'), status: text, reason: text, endedAt: whole }),
  z.object({ kind: z.literal('host-key-learned'), target: text, hostKey: text }),
]);
type StoryFact = z.infer<typeof facts>;
type FactOf<K extends StoryFact['kind']> = Extract<StoryFact, { kind: K }>;

export interface ChannelStory {
  kind: string;
  /** Of a forward: where it leads. */
  command: string;
  /** What a forward turned out to carry. */
  carries: string;
  bytesIn: number;
  bytesOut: number;
  end: string;
}

export class TrailStory {
  started: FactOf<'connection-started'> | undefined;
  destination: FactOf<'destination-chosen'> | undefined;
  /** What each leg agreed on, in words. */
  readonly legs = new Map<'downstream' | 'upstream', string>();
  ended: FactOf<'connection-ended'> | undefined;
  readonly channels = new Map<number, ChannelStory>();
  readonly events: TimedText[] = [];
  /** Events beyond the limit. */
  leftOut = 0;
  readonly #maxEvents: number;
  readonly #agents = new Map<number, AgentView>();

  constructor(maxEvents: number) {
    this.#maxEvents = maxEvents;
  }

  /** Takes a record of the connection's container. */
  take(record: TrailRecord): void {
    const { kind, us } = record;
    const fields = describeRecord(record);
    if (kind === KINDS.header || kind === KINDS.note) {
      const data = kind === KINDS.header ? fields['data'] : fields;
      const fact = facts.safeParse((data as Fields | undefined)?.['fact']);
      if (fact.success) this.#note(us, fact.data);
      return;
    }
    if (kind === KINDS.login || kind === KINDS.transport) {
      const title = kind === KINDS.login ? 'login' : 'transport';
      this.#event(us, `${title}: ${pairs(fields)}`);
      return;
    }
    // An open that went its way is told by its fact.
    if (OPENS.has(kind) && record.fate !== FATE.withheld) return;
    const words = eventText(record);
    if (words !== undefined) this.#event(us, words);
  }

  /** A record of a channel's own container: its requests are told, and what an agent was asked. */
  takeOfChannel(channel: number, record: TrailRecord): void {
    const { kind } = record;
    const agent = this.#agents.get(channel) ?? AgentView.of(record);
    if (agent) {
      this.#agents.set(channel, agent);
      for (const event of agent.take(record)) {
        this.#event(record.us, `channel ${channel}  ${agentText(event)}`);
      }
    }
    if (kind !== KINDS['forward-request'] && kind !== KINDS['reverse-request']) return;
    const words = eventText(record);
    if (words !== undefined) this.#event(record.us, `channel ${channel}  ${words}`);
  }

  /** Lines of a channel that somebody else has put into words. */
  takeLines(channel: number, lines: readonly TimedText[]): void {
    for (const { us, text: words } of lines) this.#event(us, `channel ${channel}  ${words}`);
  }

  #event(us: number, words: string): void {
    if (this.events.length < this.#maxEvents) this.events.push({ us, text: words });
    else this.leftOut++;
  }

  #note(us: number, fact: StoryFact): void {
    switch (fact.kind) {
      case 'connection-started':
        this.started = fact;
        return;
      case 'destination-chosen':
        this.destination = fact;
        return;
      case 'leg-negotiated':
        this.legs.set(fact.leg, algorithmsText(fact.algorithms));
        return;
      case 'connection-ended':
        this.ended = fact;
        this.#event(us, `ended: ${say(fact.reason)}`);
        return;
      case 'host-key-learned':
        this.#event(us, `host key of ${say(fact.target)} accepted and pinned`);
        return;
      case 'channel-opened':
        this.#channel(fact.channel).kind = fact.type;
        this.#event(us, `channel ${fact.channel}  opened (${say(fact.type)})`);
        return;
      case 'channel-changed': {
        const channel = this.#channel(fact.channel);
        channel.kind = fact.type;
        channel.command = fact.command;
        return;
      }
      case 'channel-forwards': {
        const { channel, type, destination, originator } = fact;
        const to = destination === '' ? '' : ` to ${say(destination)}`;
        const from = originator === '' ? '' : ` from ${say(originator)}`;
        this.#channel(channel).kind = type;
        this.#channel(channel).command = destination;
        this.#event(us, `channel ${channel}  ${say(type)}${to}${from}`);
        return;
      }
      case 'channel-carries': {
        this.#channel(fact.channel).carries = fact.protocol;
        this.#event(us, `channel ${fact.channel}  carries ${say(fact.protocol)}`);
        return;
      }
      case 'channel-ended': {
        const channel = this.#channel(fact.channel);
        Object.assign(channel, { bytesIn: fact.bytesIn, bytesOut: fact.bytesOut, end: fact.end });
        this.#event(us, `channel ${fact.channel}  ended: ${say(fact.end)}`);
      }
    }
  }

  #channel(ordinal: number): ChannelStory {
    const known = this.channels.get(ordinal);
    if (known) return known;
    const channel = { kind: '', command: '', carries: '', bytesIn: 0, bytesOut: 0, end: '' };
    this.channels.set(ordinal, channel);
    return channel;
  }
}

/** `kex, host key, cipher and MAC`; both directions only where they differ. */
function algorithmsText({
  kex,
  hostKey,
  clientToServer: up,
  serverToClient: down,
}: z.infer<typeof algorithms>): string {
  const [there, back] = [up, down].map(({ cipher, mac }) => (mac ? `${cipher} ${mac}` : cipher));
  const protection = there === back ? there : `${there} to the server, ${back} to the client`;
  return [kex, hostKey, protection].join(', ');
}
