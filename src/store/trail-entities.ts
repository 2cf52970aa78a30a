/**
 * The tables that index the recordings: connections, channels and files. What stands in them can be rebuilt from the trails;
 * `connections.ts` has the shapes that leave.
 */
import type { ConnectionKind, ConnectionStatus } from '../ops/facts.ts';
import { big, entity, nullable, primary, text, uuid, whole } from './columns.ts';

export interface ConnectionRecord {
  id: string;
  shortId: string;
  kind: ConnectionKind;
  /** The connection that it came through. */
  parentId: string | null;
  instance: string;
  userId: string;
  user: string;
  loginName: string;
  sourceAddress: string;
  sourcePort: number;
  clientVersion: string;
  authMethod: string;
  keyFingerprint: string;
  targetId: string | null;
  target: string | null;
  accountId: string | null;
  account: string | null;
  address: string | null;
  port: number | null;
  rule: string | null;
  /** JSON object of `LegAlgorithms`; null for what was never agreed on, and in rows from before it was kept. */
  downstreamAlgorithms: string | null;
  upstreamAlgorithms: string | null;
  startedAt: number;
  endedAt: number | null;
  bytesIn: number;
  bytesOut: number;
  status: ConnectionStatus;
  reason: string | null;
  /** Sequence number of the last fact that this row has taken in; -1 before the first. */
  lastSequence: number;
}

export const ConnectionEntity = entity<ConnectionRecord>({
  name: 'Connection',
  tableName: 'connections',
  columns: {
    id: { ...uuid, ...primary },
    shortId: { type: 'varchar', length: 22 },
    kind: { ...text, default: 'target' },
    parentId: { ...uuid, ...nullable },
    instance: uuid,
    userId: text,
    user: text,
    loginName: text,
    sourceAddress: text,
    sourcePort: whole,
    clientVersion: text,
    authMethod: text,
    keyFingerprint: text,
    targetId: { ...text, ...nullable },
    target: { ...text, ...nullable },
    accountId: { ...text, ...nullable },
    account: { ...text, ...nullable },
    address: { ...text, ...nullable },
    port: { ...whole, ...nullable },
    rule: { ...text, ...nullable },
    downstreamAlgorithms: { ...text, ...nullable },
    upstreamAlgorithms: { ...text, ...nullable },
    startedAt: big,
    endedAt: { ...big, ...nullable },
    bytesIn: big,
    bytesOut: big,
    status: text,
    reason: { ...text, ...nullable },
    lastSequence: big,
  },
  indices: [
    { name: 'connections_short_id', columns: ['shortId'], unique: true },
    { name: 'connections_started', columns: ['startedAt'] },
    { name: 'connections_user', columns: ['user', 'startedAt'] },
    { name: 'connections_target', columns: ['target', 'startedAt'] },
    { name: 'connections_status', columns: ['status', 'startedAt'] },
  ],
});

export interface ChannelRecord {
  connectionId: string;
  ordinal: number;
  kind: string;
  command: string;
  /** Of a forward: where it leads and where it comes from; empty for other channels. */
  destination: string;
  originator: string;
  /** What its first bytes were: `ssh`, `tls`, `http`, `postgres`, `other`; empty while they are not there. */
  protocol: string;
  openedAt: number;
  endedAt: number | null;
  bytesIn: number;
  bytesOut: number;
  /** How it ended, in words; null while it runs. */
  result: string | null;
}

export const ChannelEntity = entity<ChannelRecord>({
  name: 'Channel',
  tableName: 'channels',
  columns: {
    connectionId: { ...uuid, ...primary },
    ordinal: { ...whole, ...primary },
    kind: text,
    command: text,
    destination: { ...text, default: '' },
    originator: { ...text, default: '' },
    protocol: { ...text, default: '' },
    openedAt: big,
    endedAt: { ...big, ...nullable },
    bytesIn: big,
    bytesOut: big,
    result: { ...text, ...nullable },
  },
  foreignKeys: [
    {
      name: 'channels_connection_fk',
      target: 'Connection',
      columnNames: ['connectionId'],
      referencedColumnNames: ['id'],
    },
  ],
});

export interface FileRow {
  id: string;
  connectionId: string;
  channel: number;
  ordinal: number;
  /** Printable text: bytes that are none are escaped. Empty where the row says that files are not known. */
  path: string;
  /** `upload`, `download`, or empty. */
  direction: string;
  flags: string;
  size: number | null;
  moved: number;
  whole: boolean;
  /** Of the whole file, or of what crossed of it. */
  sha256: string | null;
  status: string;
  error: string;
  openedAt: number;
  closedAt: number;
}

export const FileEntity = entity<FileRow>({
  name: 'File',
  tableName: 'files',
  columns: {
    id: { ...uuid, ...primary },
    connectionId: uuid,
    channel: whole,
    ordinal: big,
    path: text,
    direction: text,
    flags: text,
    size: { ...big, ...nullable },
    moved: big,
    whole: { type: 'boolean' },
    sha256: { type: 'varchar', length: 64, ...nullable },
    status: text,
    error: text,
    openedAt: big,
    closedAt: big,
  },
  indices: [
    { name: 'files_place', columns: ['connectionId', 'channel', 'ordinal'] },
    { name: 'files_sha256', columns: ['sha256'] },
    { name: 'files_closed', columns: ['closedAt'] },
  ],
  foreignKeys: [
    {
      name: 'files_connection_fk',
      target: 'Connection',
      columnNames: ['connectionId'],
      referencedColumnNames: ['id'],
    },
  ],
});

/** In an order in which each names only those before it. */
export const TRAIL_ENTITIES = [ConnectionEntity, ChannelEntity, FileEntity] as const;
