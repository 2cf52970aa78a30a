/**
 * A session on a connection that named no target. With a terminal it shows what the user may reach and asks where to go;
 * then the session goes on there in the same channel (`splice.ts`). Without one it prints the list with the exact
 * commands, and a command or subsystem gets one clear line. All that is typed and shown is recorded, but the password of
 * an account that asks for its own.
 *
 *   setup (requests are held) -> prompt <-> password -> joining -> the splice ; from anywhere -> over
 */
import { AppError, ProtocolError, reasonOf } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { allowsChannel, refusalText } from '../access/policy.ts';
import type { Decision, Destination } from '../access/policy.ts';
import { KINDS } from '../recording/container.ts';
import { decodeRequestFields, printable } from '../wire/channel-request.ts';
import { encodeChannelMessage, encodeData, MSG } from '../wire/messages.ts';
import type { ChannelRequest } from '../wire/messages.ts';
import type { AskedLogin } from './asked-login.ts';
import type { Endpoint, EndpointEvents } from './endpoint.ts';
import { LineEditor } from './line-editor.ts';
import type { LineEnd } from './line-editor.ts';
import { DOWN } from './mux.ts';
import type { HeldMessage } from './passage.ts';
import * as kinds from './record-kinds.ts';
import type { KeptSession } from './splice.ts';
import { TargetList, commandsFor, nameOf } from './target-list.ts';
import type { Screen } from './target-list.ts';

export interface ListOptions {
  readonly endpoint: Endpoint;
  readonly user: string;
  /** How the user has reached the gate, for the commands that are shown. */
  readonly gate: { readonly host: string; readonly port: number };
  /** What he may reach, in the order to show. */
  readonly destinations: () => Promise<readonly Destination[]>;
  /** What the rules say of one of them now: a prompt may stand longer than they do. */
  readonly judge: (destination: Destination) => Decision;
  /** The login at an account that asks for its password; undefined at any other. */
  readonly ask: (destination: Destination) => AskedLogin | undefined;
  /** Reaches the target for this connection; rejects with why not. */
  readonly choose: (destination: Destination, asked: AskedLogin | undefined) => Promise<void>;
  /** Takes the channel over. */
  readonly splice: (kept: KeptSession) => void;
}

const MAX_REQUESTS = 128;
const MAX_REQUEST_BYTES = 64 * 1024;
/** What is shown and not taken yet, above which nothing more is looked at. */
const MAX_OUT = 64 * 1024;
const NEWLINE = '\r\n';
/** As a shell exits after ^C. */
const INTERRUPTED = 130;
/** As ssh exits when it gets nowhere. */
const NOWHERE = 255;

type State = 'setup' | 'loading' | 'prompt' | 'password' | 'joining' | 'over';

export class ListSession implements EndpointEvents {
  readonly #options: ListOptions;
  #state: State = 'setup';
  #screen: Screen | undefined;
  readonly #requests: HeldMessage[] = [];
  #requestBytes = 0;
  #resize: Buffer | undefined;
  /** What was typed and not looked at yet. */
  #input: Buffer[] = [];
  /** What is for the target. */
  #ahead: Buffer[] = [];
  /** Nothing more will be typed. */
  #eof = false;
  #out = Buffer.alloc(0);
  /** Done when all is shown: the exit status, or the splice. */
  #after: number | 'splice' | undefined;
  #list = new TargetList([]);
  #editor = new LineEditor(true);
  #asked: AskedLogin | undefined;
  #chosen: Destination | undefined;
  #tries = 0;
  #reading = false;

  constructor(options: ListOptions) {
    this.#options = options;
  }

  // ---- what the user's side says

  onRequest(request: ChannelRequest, payload: Buffer): void {
    const { type, data, wantReply } = request;
    const { endpoint } = this.#options;
    const fields = decodeRequestFields(type, data);
    if (fields.type === 'window-change') {
      this.#screen = { rows: fields.rows, columns: fields.columns };
      this.#resize = Buffer.from(payload);
      endpoint.withhold(kinds.request(DOWN), payload);
      if (wantReply) endpoint.reply(true);
    } else if (this.#state !== 'setup') {
      endpoint.withhold(kinds.request(DOWN), payload);
      if (wantReply) endpoint.reply(false);
    } else if (fields.type === 'exec' || fields.type === 'subsystem') {
      endpoint.withhold(kinds.request(DOWN), payload);
      if (wantReply) endpoint.reply(true);
      endpoint.writeError(`${refusalText({})}; ssh without a command shows what there is`);
      this.#finish(1);
    } else {
      if (fields.type === 'pty-req') this.#screen = { rows: fields.rows, columns: fields.columns };
      this.#hold(payload);
      if (wantReply) endpoint.reply(true);
      if (fields.type === 'shell') void this.#begin();
    }
  }

  #hold(payload: Buffer): void {
    const { channel, passage } = this.#options.endpoint;
    this.#requestBytes += payload.length;
    if (this.#requests.length >= MAX_REQUESTS || this.#requestBytes > MAX_REQUEST_BYTES) {
      throw new ProtocolError('too much is asked before there is a target');
    }
    const kind = kinds.request(DOWN);
    this.#requests.push(passage.hold(channel.writer, kind, payload));
  }

  onData(data: Buffer): void {
    if (this.#state === 'over') this.#options.endpoint.consumed(data.length);
    else if (this.#state === 'joining' && !this.#asked) this.#keepAhead(Buffer.from(data));
    else {
      this.#input.push(Buffer.from(data));
      this.#read();
    }
  }

  onEof(): void {
    this.#eof = true;
    this.#read();
  }

  onOver(): void {
    this.#state = 'over';
    this.#asked?.close();
    this.#input = [];
    this.#ahead = [];
    this.#out = Buffer.alloc(0);
  }

  onWritable(): void {
    this.#flush();
  }

  // ---- the dialogue

  async #begin(): Promise<void> {
    this.#state = 'loading';
    const destinations = await this.#options.destinations();
    if (this.#isOver()) return;
    const { user, gate } = this.#options;
    if (destinations.length === 0) {
      this.#say(`There is nothing here that you may reach; ask your administrator.`);
      this.#finish(1);
    } else if (!this.#screen) {
      this.#write('No target was named. You may reach:\n');
      this.#write(commandsFor(user, gate, destinations));
      this.#finish(1);
    } else {
      this.#list = new TargetList(destinations);
      this.#write(`Where to, ${printable(Buffer.from(user))}?${NEWLINE}`);
      this.#write(this.#list.page(this.#screen));
      this.#state = 'prompt';
      this.#read();
    }
  }

  #isOver(): boolean {
    return this.#state === 'over';
  }

  /** Looks at what was typed, as far as it concerns the gate. */
  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    try {
      this.#readLines();
    } finally {
      this.#reading = false;
    }
  }

  #readLines(): void {
    while (this.#state === 'prompt' || this.#state === 'password') {
      // Who types and does not read what that shows is not read either.
      if (this.#out.length > MAX_OUT) return;
      const bytes = this.#input.shift();
      if (!bytes) {
        if (this.#eof) this.#finish(1);
        return;
      }
      const { taken, end, show } = this.#editor.take(bytes);
      if (taken < bytes.length) this.#input.unshift(bytes.subarray(taken));
      const { endpoint } = this.#options;
      if (this.#state === 'prompt') endpoint.withhold(KINDS.stdin, bytes.subarray(0, taken));
      endpoint.consumed(taken);
      this.#write(show);
      if (end) this.#onLine(end);
    }
  }

  #onLine(end: LineEnd): void {
    const { line } = this.#editor;
    this.#editor = new LineEditor(true);
    if (end === 'interrupt') this.#write('^C');
    this.#write(NEWLINE);
    if (end !== 'line') this.#finish(end === 'interrupt' ? INTERRUPTED : 1);
    else if (this.#state === 'password') void this.#try(new Secret(line));
    else this.#onChoice(line);
  }

  #onChoice(line: string): void {
    const screen = this.#screen ?? { rows: 0, columns: 0 };
    const choice = this.#list.choose(line, screen);
    if (choice.kind === 'show') {
      this.#write(choice.text);
      return;
    }
    const decision = this.#judge(choice.destination);
    if (decision.kind !== 'allowed') {
      this.#say(decision.text);
      void this.#begin();
      return;
    }
    const { destination } = decision;
    if (!allowsChannel(destination, 'shell')) {
      this.#say(`No rule allows a shell on ${nameOf(destination)}.`);
      this.#write(this.#list.page(screen));
      return;
    }
    this.#chosen = destination;
    this.#asked = this.#options.ask(destination);
    if (this.#asked) {
      this.#say(this.#asked.instruction);
      this.#askAgain();
    } else {
      void this.#join(destination);
    }
  }

  #judge(listed: Destination): Exclude<Decision, { kind: 'unnamed' }> {
    const decision = this.#options.judge(listed);
    if (decision.kind === 'allowed') return decision;
    const { text, detail } =
      decision.kind === 'refused' ? decision : { text: refusalText({}), detail: 'no target' };
    this.#options.endpoint.note({ refused: text, detail });
    return { kind: 'refused', text, detail };
  }

  #askAgain(): void {
    if (!this.#asked) return;
    this.#write(this.#asked.prompt);
    this.#editor = new LineEditor(false);
    this.#state = 'password';
  }

  /** Tries a password; what is typed meanwhile may be the next one, and is not recorded. */
  async #try(answer: Secret): Promise<void> {
    const asked = this.#asked;
    const destination = this.#chosen;
    if (!asked || !destination) return;
    this.#state = 'joining';
    this.#options.endpoint.note({ asked: nameOf(destination), answer: 'not recorded' });
    try {
      const right = await asked.attempt(answer);
      if (this.#isOver()) return;
      if (right) await this.#joinIfAllowed(destination);
      else if (++this.#tries >= asked.tries) {
        this.#say(`${asked.prompt.replace(/: $/, '')}: wrong ${asked.tries} times`);
        this.#finish(NOWHERE);
      } else {
        this.#askAgain();
        this.#read();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The password took its time. */
  async #joinIfAllowed(asked: Destination): Promise<void> {
    const decision = this.#judge(asked);
    if (decision.kind === 'allowed') await this.#join(decision.destination);
    else this.#fail(new AppError('not-allowed', decision.text));
  }

  async #join(destination: Destination): Promise<void> {
    const asked = this.#asked;
    this.#asked = undefined;
    this.#state = 'joining';
    for (const bytes of this.#input.splice(0)) this.#keepAhead(bytes);
    try {
      await this.#options.choose(destination, asked);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#isOver()) return;
    this.#after = 'splice';
    this.#flush();
  }

  #keepAhead(bytes: Buffer): void {
    const { channel } = this.#options.endpoint;
    // It is sent on, and counted, by the splice.
    channel.refund(DOWN, bytes.length);
    this.#ahead.push(encodeData(channel.number, bytes));
  }

  #fail(error: unknown): void {
    if (this.#isOver()) return;
    this.#say(reasonOf(error));
    this.#finish(NOWHERE);
  }

  // ---- what is shown

  #say(line: string): void {
    this.#write(`${printable(Buffer.from(line))}${this.#screen ? NEWLINE : '\n'}`);
  }

  #write(text: string): void {
    if (text === '') return;
    this.#out = Buffer.concat([this.#out, Buffer.from(text)]);
    this.#flush();
  }

  /** The session is over when all is shown. */
  #finish(status: number): void {
    this.#state = 'over';
    this.#input = [];
    this.#after = status;
    this.#flush();
  }

  #flush(): void {
    const { endpoint, splice } = this.#options;
    this.#out = this.#out.subarray(endpoint.write(this.#out));
    const after = this.#after;
    if (this.#out.length > 0) return;
    if (after === undefined) {
      if (this.#input.length > 0 && !this.#reading) this.#read();
      return;
    }
    this.#after = undefined;
    if (after === 'splice') {
      this.#state = 'over';
      endpoint.handOver();
      const end = encodeChannelMessage(MSG.channelEof, endpoint.channel.number);
      if (this.#eof) this.#ahead.push(end);
      splice({ requests: this.#requests, resize: this.#resize, ahead: this.#ahead });
      return;
    }
    endpoint.exit(after);
    endpoint.close();
  }
}
