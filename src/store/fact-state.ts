/**
 * What facts make of a connection and its channels: pure, so that the order and the repetition of facts can be tested
 * without a database. A fact at or below the last one taken in changes nothing; a fact for a connection that has no row
 * yet (its first was lost) makes one, so that nothing that ran is without a row.
 */
import { shortId, uuidTime } from '../base/ids.ts';
import type { Fact } from '../ops/facts.ts';
import type { ChannelRecord, ConnectionRecord } from './trail-entities.ts';

export interface ConnectionState {
  readonly row: ConnectionRecord;
  readonly channels: Map<number, ChannelRecord>;
}

/** Text from a peer as a database can hold it: no NUL (PostgreSQL refuses it), no lone surrogate. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

/** A connection of which nothing is known but its id. */
export function unknownConnection(id: string): ConnectionState {
  const row: ConnectionRecord = {
    id,
    shortId: shortId(id),
    kind: 'target',
    parentId: null,
    instance: '',
    userId: '',
    user: '',
    loginName: '',
    sourceAddress: '',
    sourcePort: 0,
    clientVersion: '',
    authMethod: '',
    keyFingerprint: '',
    targetId: null,
    target: null,
    accountId: null,
    account: null,
    address: null,
    port: null,
    rule: null,
    downstreamAlgorithms: null,
    upstreamAlgorithms: null,
    startedAt: uuidTime(id) * 1000,
    endedAt: null,
    bytesIn: 0,
    bytesOut: 0,
    status: 'CONNECTED',
    reason: null,
    lastSequence: -1,
  };
  return { row, channels: new Map() };
}

function channelOf(state: ConnectionState, ordinal: number): ChannelRecord {
  const known = state.channels.get(ordinal);
  if (known) return known;
  const made: ChannelRecord = {
    connectionId: state.row.id,
    ordinal,
    kind: '',
    command: '',
    destination: '',
    originator: '',
    protocol: '',
    openedAt: state.row.startedAt,
    endedAt: null,
    bytesIn: 0,
    bytesOut: 0,
    result: null,
  };
  state.channels.set(ordinal, made);
  return made;
}

/** Takes a fact into the state; false when it had been taken in before. */
export function applyFact(state: ConnectionState, fact: Fact): boolean {
  const { row } = state;
  const { sequence, value } = fact;
  if (sequence <= row.lastSequence) return false;
  row.lastSequence = sequence;
  switch (value.kind) {
    case 'connection-started':
      row.instance = value.instance;
      row.userId = value.userId;
      row.user = storable(value.user);
      row.loginName = storable(value.loginName);
      row.sourceAddress = storable(value.sourceAddress);
      row.sourcePort = value.sourcePort;
      row.clientVersion = storable(value.clientVersion);
      row.authMethod = value.authMethod;
      row.keyFingerprint = value.keyFingerprint;
      row.startedAt = value.startedAt;
      row.kind = value.connectionKind === 'gate' ? 'gate' : 'target';
      row.parentId = value.parent ?? null;
      break;
    case 'destination-chosen':
      // One that named none has chosen it from the list.
      row.kind = 'target';
      row.targetId = value.targetId;
      row.target = storable(value.target);
      row.accountId = value.accountId;
      row.account = storable(value.account);
      row.address = storable(value.address);
      row.port = value.port;
      row.rule = storable(value.rule);
      break;
    case 'leg-negotiated':
      row[value.leg === 'downstream' ? 'downstreamAlgorithms' : 'upstreamAlgorithms'] = storable(
        JSON.stringify(value.algorithms),
      );
      break;
    case 'channel-opened': {
      const channel = channelOf(state, value.channel);
      channel.kind = storable(value.type);
      channel.openedAt = value.openedAt;
      break;
    }
    case 'channel-changed': {
      const channel = channelOf(state, value.channel);
      channel.kind = storable(value.type);
      channel.command = storable(value.command);
      break;
    }
    case 'channel-forwards': {
      const channel = channelOf(state, value.channel);
      channel.kind = storable(value.type);
      channel.destination = storable(value.destination);
      channel.originator = storable(value.originator);
      break;
    }
    case 'channel-carries':
      channelOf(state, value.channel).protocol = storable(value.protocol);
      break;
    case 'channel-ended': {
      const channel = channelOf(state, value.channel);
      channel.endedAt = value.endedAt;
      channel.bytesIn = value.bytesIn;
      channel.bytesOut = value.bytesOut;
      channel.result = storable(value.end);
      break;
    }
    case 'connection-ended':
      row.status = value.status;
      row.reason = storable(value.reason);
      row.endedAt = value.endedAt;
      row.bytesIn = value.bytesIn;
      row.bytesOut = value.bytesOut;
      break;
    case 'file-moved':
    case 'files-unknown':
      // Files have rows of their own: `files.ts`.
      break;
    case 'host-key-learned':
      // The rows of the configuration are another matter: `trails.ts` makes it a commit.
      break;
  }
  return true;
}

/** Ends a connection that nobody will end any more, with its channels; nothing to do when it has ended. */
export function endState(state: ConnectionState, reason: string, endedAt: number): boolean {
  const { row } = state;
  if (row.status !== 'CONNECTED') return false;
  row.status = 'CRASHED';
  row.reason = reason;
  row.endedAt = Math.max(endedAt, row.startedAt);
  for (const channel of state.channels.values()) {
    row.bytesIn += channel.bytesIn;
    row.bytesOut += channel.bytesOut;
    if (channel.endedAt !== null) continue;
    channel.endedAt = Math.max(endedAt, channel.openedAt);
    channel.result = reason;
  }
  return true;
}
