/**
 * The gate as a jump host (`ssh -J alice@gate root@db1`): a channel to a target's SSH port is answered by the gate
 * itself, which plays that target with a host key of its own for it, lets the user in as the account that he names, and
 * relays like any connection. Nothing is ever dialled by what a client asks for: the address is only compared with those
 * of the targets that this user may reach, so that no other host can be reached, probed or guessed at.
 */
import { AppError } from '../base/errors.ts';
import type { Identity } from '../access/authn.ts';
import { decide, reachable } from '../access/policy.ts';
import type { Decision, Destination } from '../access/policy.ts';
import { CODES } from '../recording/container.ts';
import type { ContainerWriter } from '../recording/writer.ts';
import { Reader } from '../wire/buffer.ts';
import { HOST_CERTIFICATE } from '../wire/certificate.ts';
import { printable } from '../wire/channel-request.ts';
import { OPEN_FAILURE } from '../wire/messages.ts';
import type { ChannelOpen } from '../wire/messages.ts';
import { ChannelLeg } from './channel-leg.ts';
import type { Door } from './door.ts';
import { Endpoint } from './endpoint.ts';
import type { Gate } from './gate.ts';
import { prohibited } from './gatekeeper.ts';
import type { OpenRefusal } from './gatekeeper.ts';
import { makeOffer } from './make-protocol.ts';
import type { Channel } from './mux.ts';
import { Newcomer } from './newcomer.ts';
import type { Arrival } from './newcomer.ts';
import type { Passage } from './passage.ts';
import type { Receiver } from './relay-options.ts';
import type { EndStatus } from './session-record.ts';

/** What a user may send into a jump before the gate has taken it. */
const WINDOW = 1024 * 1024;
const MAX_HOST = 255;

/** A connection that somebody else owns. */
export interface RunningConnection {
  readonly id: string;
  end(reason: AppError, status?: EndStatus): Promise<void>;
}

export interface JumpOptions {
  readonly gate: Gate;
  /** The connection that the jumps go through. */
  readonly connection: string;
  readonly identity: Identity;
  readonly address: string;
  readonly port: number;
  readonly passage: Passage;
  /** The connection's own container. */
  readonly writer: ContainerWriter;
  /** A jump says what it is. */
  readonly onKind: (channel: Channel, command: string) => void;
  /** Takes over somebody who has logged in through a jump. */
  readonly welcome: (arrival: Arrival) => RunningConnection;
}

type Target = Destination['target'];

interface Inner {
  readonly leg: ChannelLeg;
  readonly newcomer: Newcomer;
  connection: RunningConnection | undefined;
}

export class Jump {
  readonly #options: JumpOptions;
  readonly #inner = new Set<Inner>();
  #places = 0;

  constructor(options: JumpOptions) {
    this.#options = options;
  }

  /** Who takes a `direct-tcpip`, or why nobody does. */
  receive(open: ChannelOpen): Receiver | OpenRefusal {
    const { gate, identity } = this.#options;
    const asked = decodeAsked(open.data);
    const snapshot = gate.snapshots.current;
    const targets = asked ? snapshot.targetsAt(asked.host, asked.port) : [];
    const found = reachable(snapshot, identity, gate.recording.wallUs(), targets);
    const allowed = new Set(found.map(({ target }) => target));
    const [first] = allowed;
    if (!asked || !first) {
      const name = asked ? printable(Buffer.from(`${asked.host}:${asked.port}`)) : 'this';
      return prohibited(
        `no access to "${name}" through this gate: only targets that a rule allows, by name or by address and port`,
      );
    }
    if (this.#places >= gate.config.limits.jumps) {
      const text = `more than ${gate.config.limits.jumps} connections through one`;
      return { reason: OPEN_FAILURE.resourceShortage, text, code: CODES.limit };
    }
    return (channel, forget) => this.#begin(open, channel, forget, asked.host, first, [...allowed]);
  }

  #begin(
    open: ChannelOpen,
    channel: Channel,
    forget: () => void,
    host: string,
    target: Target,
    targets: readonly Target[],
  ): Endpoint {
    const { gate, passage, writer, onKind } = this.#options;
    channel.kind = 'jump';
    onKind(channel, host === target.name ? target.name : `${target.name} as ${host}`);
    const endpoint = new Endpoint({
      channel,
      passage,
      connection: writer,
      window: WINDOW,
      maxPacket: open.maxPacket,
      code: CODES.gate,
      recordsData: false,
      forget,
    });
    const leg = new ChannelLeg(endpoint, gate.innerBuffer);
    const newcomer: Newcomer = new Newcomer(gate, leg, this.#door(host, target, targets), {
      onArrival: (arrival) => {
        const connection = this.#options.welcome(arrival);
        inner.connection = connection;
        endpoint.note({ jump: target.name, connection: connection.id });
        channel.end = `jump to ${target.name}, connection ${connection.id}`;
      },
      onGone: () => {
        channel.end = `jump to ${target.name}, not logged in`;
      },
    });
    const inner: Inner = { leg, newcomer, connection: undefined };
    this.#inner.add(inner);
    this.#places++;
    leg.socket.once('close', () => {
      this.#places--;
      this.#inner.delete(inner);
    });
    newcomer.start();
    return endpoint;
  }

  /** The door of a target: `none` and any key open it for the user who is known already, as every account of his. */
  #door(host: string, target: Target, targets: readonly Target[]): Door {
    const { gate, connection, identity, address, port } = this.#options;
    const { algorithms } = gate.config;
    const names = new Set([host, host.toLowerCase(), target.name, target.address]);
    const seconds = gate.recording.wallUs() / 1_000_000;
    const { key, certificate } = gate.hostAuthority.hostKeyOf(target.id, [...names], seconds);
    return {
      address,
      port,
      reached: { host: target.name, port: target.port },
      parent: connection,
      offer: makeOffer('downstream', {
        kex: algorithms.kex,
        hostKey: [HOST_CERTIFICATE, 'ssh-ed25519'],
        cipher: algorithms.cipher,
        mac: algorithms.mac,
      }),
      hostKeys: { 'ssh-ed25519': key },
      hostCertificate: certificate,
      methods: ['publickey'],
      known: identity,
      prover: {
        // Many clients never try `none`; that the key signs is checked by who asks.
        identityByKey: () => identity,
        identityByPassword: () => Promise.resolve(undefined),
        failureDelay: (user, startedAt) => gate.authenticator.failureDelay(user, startedAt),
      },
      parseName: (bytes) => ({
        text: printable(bytes.subarray(0, MAX_HOST)),
        user: identity.userName,
        account: bytes.toString('utf8'),
        target: target.name,
      }),
      decide: (who, { account = '' }) => {
        const now = gate.recording.wallUs();
        const decisions = targets.map((one) =>
          decide(gate.snapshots.current, who, { target: one.name, account }, now),
        );
        const found = decisions.find((decision) => decision.kind === 'allowed') ?? decisions[0];
        return found ?? NOBODY;
      },
      // He has logged in; what he does at his targets' doors says nothing about his source.
      penalise: () => undefined,
    };
  }

  /** The connection ends: all that goes through it ends too, delivering what is owed where the user has `gone`. */
  end(reason: AppError, status: EndStatus, gone: boolean): void {
    const text = `the connection that it came through has ended: ${reason.message}`;
    for (const { connection, leg, newcomer } of this.#inner) {
      const why = new AppError(reason.code, text, { cause: reason });
      if (gone) leg.socket.destroy(why);
      else if (connection) void connection.end(why, status);
      else newcomer.close(why);
    }
  }
}

const NOBODY: Decision = { kind: 'refused', text: 'no access', detail: 'no target' };

/**
 * RFC 4254 section 7.2, behind the fixed part of the open:
 *   string    host to connect
 *   uint32    port to connect
 *   string    originator IP address
 *   uint32    originator port
 * Undefined where no target can have such an address.
 */
function decodeAsked(data: Buffer): { readonly host: string; readonly port: number } | undefined {
  const reader = new Reader(data);
  const host = reader.string();
  const port = reader.uint32();
  if (host.length === 0 || host.length > MAX_HOST || port > 65_535) return undefined;
  const text = host.toString('utf8');
  return Buffer.from(text).equals(host) ? { host: text, port } : undefined;
}
