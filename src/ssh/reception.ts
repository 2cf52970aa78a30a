/**
 * What becomes of the channels of a connection that named no target: a `direct-tcpip` to a target is a jump, a session
 * gets the list, and all else is refused. What is refused is told in words that are the same whatever is there, so that
 * nobody learns from them what exists.
 */
import type { AppError } from '../base/errors.ts';
import { refusalText } from '../access/policy.ts';
import type { Destination } from '../access/policy.ts';
import { CODES } from '../recording/container.ts';
import type { ChannelOpen } from '../wire/messages.ts';
import { judgeChosen } from './destinations.ts';
import { Endpoint } from './endpoint.ts';
import { prohibited } from './gatekeeper.ts';
import type { OpenRefusal } from './gatekeeper.ts';
import { Jump } from './jump.ts';
import type { JumpOptions } from './jump.ts';
import { ListSession } from './list-session.ts';
import type { ListOptions } from './list-session.ts';
import type { Channel } from './mux.ts';
import type { Relay } from './relay.ts';
import type { Receiver } from './relay-options.ts';
import type { EndStatus } from './session-record.ts';
import { Splice } from './splice.ts';

/** The most that a user may send before there is a target. */
const WINDOW = 32 * 1024;
const NOWHERE = 255;

export interface ReceptionOptions extends JumpOptions, Pick<ListOptions, 'ask' | 'choose'> {
  /** How the user has reached the gate. */
  readonly reached: ListOptions['gate'];
  /** What he may reach, in the order to show. */
  readonly destinations: () => Promise<readonly Destination[]>;
  readonly relay: () => Relay;
}

export class Reception {
  readonly #options: ReceptionOptions;
  readonly #jump: Jump;

  constructor(options: ReceptionOptions) {
    this.#options = options;
    this.#jump = new Jump(options);
  }

  /** Who takes a channel that the user opens, or why nobody does. */
  receive(open: ChannelOpen): Receiver | OpenRefusal {
    if (open.type === 'direct-tcpip') return this.#jump.receive(open);
    if (open.type !== 'session') return prohibited(refusalText({}));
    return (channel, forget) => this.#list(open, channel, forget);
  }

  #list(open: ChannelOpen, channel: Channel, forget: () => void): Endpoint {
    const { connection, gate, identity, passage, reached, relay, writer } = this.#options;
    const endpoint = new Endpoint({
      channel,
      passage,
      connection: writer,
      window: WINDOW,
      maxPacket: open.maxPacket,
      code: CODES.splice,
      recordsData: true,
      forget,
    });
    const session = new ListSession({
      endpoint,
      user: identity.userName,
      gate: reached,
      destinations: this.#options.destinations,
      judge: (destination) => judgeChosen(gate, connection, identity, destination),
      ask: this.#options.ask,
      choose: this.#options.choose,
      splice: (kept) => {
        const splice = new Splice({
          channel,
          passage,
          relay: relay(),
          connection: writer,
          kept,
          maxPacket: open.maxPacket,
          onRefused: (why) => {
            channel.local = endpoint;
            endpoint.write(Buffer.from(`the target refuses the session: ${why}\r\n`));
            endpoint.exit(NOWHERE);
            endpoint.close();
          },
          onUseless: () => {
            endpoint.write(Buffer.from('the target gives no shell\r\n'));
            endpoint.exit(NOWHERE);
            relay().refuse(channel, 'the target gives no shell');
          },
        });
        splice.begin();
      },
    });
    endpoint.confirm(session);
    return endpoint;
  }

  /** The connection ends, and with it what came through it; `gone` when the user has left. */
  end(reason: AppError, status: EndStatus, gone: boolean): void {
    this.#jump.end(reason, status, gone);
  }
}
