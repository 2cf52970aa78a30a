/** Small trails for tests, made by the real writer, with a clock and faults under the test's control. */
import { newUuid } from '../../src/base/ids.ts';
import type { BlockHead } from '../../src/recording/container.ts';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import type { TrailFile } from '../../src/recording/reader.ts';
import { PublicKeys, SigningKey } from '../../src/recording/seal.ts';
import { diskFs } from '../../src/recording/trail-fs.ts';
import type { TrailFs } from '../../src/recording/trail-fs.ts';
import { WriteGate } from '../../src/recording/write-gate.ts';
import { ContainerWriter } from '../../src/recording/writer.ts';
import type { ContainerEnd, WriterOptions } from '../../src/recording/writer-options.ts';

export const key = new SigningKey(SigningKey.generatePem());
export const keys = new PublicKeys([key.publicPem()]);
export const instance = newUuid(Date.now());

/** A writer whose clock advances by a millisecond per look. */
export function writerAt(
  path: string,
  options: Partial<WriterOptions> = {},
): ContainerWriter & { whenWritten(ordinal: number): Promise<void> } {
  let us = 0;
  const waiting: { ordinal: number; resolve: () => void }[] = [];
  const { onWritten, ...rest } = options;
  const writer = new ContainerWriter({
    path,
    header: {
      container: 'connection',
      instance,
      connection: newUuid(Date.now()),
      channel: null,
      connectionHeader: '',
      data: { fact: 'sample' },
    },
    key,
    gate: new WriteGate(),
    nowUs: () => (us += 1_000),
    wallUs: () => 1_700_000_000_000_000 + us,
    onWritten: () => {
      onWritten?.();
      for (const { ordinal, resolve } of waiting) if (ordinal < writer.written) resolve();
    },
    onError: (error) => {
      throw error;
    },
    ...rest,
  });
  const whenWritten = (ordinal: number): Promise<void> =>
    ordinal < writer.written
      ? Promise.resolve()
      : new Promise((resolve) => waiting.push({ ordinal, resolve }));
  return Object.assign(writer, { whenWritten });
}

export interface SampleOptions extends Partial<WriterOptions> {
  /** Live checkpoints between the rounds. */
  readonly live?: boolean;
  /** Without an end. */
  readonly open?: boolean;
  readonly rounds?: number;
}

/** A trail of some rounds, each one block of a request, stdin, stdout and stderr. */
export async function sampleTrail(
  path: string,
  options: SampleOptions = {},
): Promise<ContainerEnd> {
  const { live = true, open = false, rounds = 3, ...rest } = options;
  const writer = writerAt(path, { checkpointMs: live ? 1 : 60_000, ...rest });
  for (let round = 0; round < rounds; round++) {
    writer.put(KINDS['forward-request'], DIRECTION.up, FATE.passed, 0, Buffer.from([98, round]));
    writer.put(KINDS.stdin, DIRECTION.up, FATE.passed, 0, Buffer.from(`in ${round}`));
    writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, Buffer.from(`out ${round}\n`));
    const last = writer.put(KINDS.stderr, DIRECTION.down, FATE.passed, 0, Buffer.from('!'));
    // The next ordinal is the live checkpoint, which the timer adds.
    await writer.whenWritten(live ? last + 1 : last);
  }
  if (!open) return writer.close({ reason: 'exit 0' });
  await writer.abandon();
  return { digest: Buffer.alloc(0), records: writer.written };
}

/** A TrailFs in which single calls can be replaced. */
export function faultyFs(faults: Partial<TrailFs>): TrailFs {
  return { ...diskFs, ...faults };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export async function headsOf(file: TrailFile): Promise<BlockHead[]> {
  return (await collect(file.blocks())).map((block) => block.head);
}
