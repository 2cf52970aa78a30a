/**
 * The header of a container: its first record, from which everything about the file is known without the database.
 * What a file says of itself is checked here before anybody believes it.
 */
import { createHash } from 'node:crypto';
import { z } from '../config/schema.ts';
import { ProtocolError } from '../base/errors.ts';
import { isUuid } from '../base/ids.ts';
import { FORMAT_VERSION } from './container.ts';

const uuid = z.string().refine(isUuid);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const shape = z.strictObject({
  format: z.literal(FORMAT_VERSION),
  container: z.enum(['connection', 'channel', 'ledger']),
  instance: uuid,
  connection: z.union([uuid, z.literal('')]),
  channel: z.int().nonnegative().nullable(),
  wallUs: z.int().nonnegative(),
  keyId: digest,
  connectionHeader: z.union([digest, z.literal('')]),
  data: z.record(z.string(), z.unknown()),
});

/** All fields of a header; `container.ts` says what each means. */
export type TrailHeader = Readonly<z.infer<typeof shape>>;

/** What the maker of a container says; the writer adds format, key and clock. */
export type HeaderFields = Omit<TrailHeader, 'format' | 'keyId' | 'wallUs'>;

/** The header's payload. Keys stand in the order of the document, so equal headers have equal digests. */
export function encodeHeader(header: TrailHeader): Buffer {
  return Buffer.from(
    JSON.stringify({
      format: header.format,
      container: header.container,
      instance: header.instance,
      connection: header.connection,
      channel: header.channel,
      wallUs: header.wallUs,
      keyId: header.keyId,
      connectionHeader: header.connectionHeader,
      data: header.data,
    }),
  );
}

export function headerDigest(payload: Buffer): Buffer {
  return createHash('sha256').update(payload).digest();
}

/** Parses a header and checks that its parts agree with its kind of container. */
export function decodeHeader(payload: Buffer): TrailHeader {
  const header = shape.safeParse(parseJson(payload));
  if (!header.success) throw new ProtocolError('header of the container is not valid');
  const { container, connection, channel, connectionHeader } = header.data;
  const fits = {
    ledger: connection === '' && channel === null && connectionHeader === '',
    connection: connection !== '' && channel === null && connectionHeader === '',
    channel: connection !== '' && channel !== null && connectionHeader !== '',
  };
  if (!fits[container]) throw new ProtocolError(`header does not fit a ${container} container`);
  return header.data;
}

/** Any JSON value; anything else is a ProtocolError. */
export function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8')) as unknown;
  } catch (error) {
    throw new ProtocolError('payload is not JSON', { cause: error });
  }
}
