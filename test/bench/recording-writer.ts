/**
 * What recording costs the process: CPU seconds per GB of 32 KiB records, and microseconds per 40-byte record, chain,
 * commitments and writes included. Run: node test/bench/recording-writer.ts [folder] [runs]
 * `system` time is the kernel's copy into the page cache; it varies with where the machine's free memory comes from.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { newUuid } from '../../src/base/ids.ts';
import { DIRECTION, FATE, KINDS } from '../../src/recording/container.ts';
import { SigningKey } from '../../src/recording/seal.ts';
import { WriteGate } from '../../src/recording/write-gate.ts';
import { ContainerWriter } from '../../src/recording/writer.ts';

/** Bytes put and not written at which a relay would pause its peer. */
const HIGH_WATER = 1024 * 1024;
const key = new SigningKey(SigningKey.generatePem());
const gate = new WriteGate();

async function run(path: string, count: number, size: number, perTick: number): Promise<void> {
  const buffers = Array.from({ length: 64 }, (_, i) => Buffer.alloc(size, i));
  const instance = newUuid(Date.now());
  const before = process.cpuUsage();
  const start = performance.now();
  await new Promise<void>((resolve, reject) => {
    let put = 0;
    let scheduled = false;
    const tick = (): void => {
      scheduled = false;
      for (let i = 0; i < perTick && put < count; i++, put++) {
        const payload = buffers[put & 63] ?? Buffer.alloc(size);
        writer.put(KINDS.stdout, DIRECTION.down, FATE.passed, 0, payload);
      }
      more();
    };
    const more = (): void => {
      if (put === count && writer.pendingBytes === 0) resolve();
      else if (put < count && !scheduled && writer.pendingBytes < HIGH_WATER) {
        scheduled = true;
        setImmediate(tick);
      }
    };
    const writer = new ContainerWriter({
      path,
      header: {
        container: 'connection',
        instance,
        connection: instance,
        channel: null,
        connectionHeader: '',
        data: {},
      },
      key,
      gate,
      nowUs: () => performance.now() * 1_000,
      wallUs: () => Date.now() * 1_000,
      onWritten: more,
      onError: reject,
    });
    tick();
  });
  const wall = (performance.now() - start) / 1_000;
  const cpu = process.cpuUsage(before);
  const total = (cpu.user + cpu.system) / 1e6;
  const gigabytes = (count * size) / 1e9;
  console.log(
    `${count} x ${size} B: user ${(cpu.user / 1e6).toFixed(2)} s, ` +
      `system ${(cpu.system / 1e6).toFixed(2)} s, wall ${wall.toFixed(2)} s; ` +
      `${(total / gigabytes).toFixed(2)} CPU s/GB, ${((total * 1e6) / count).toFixed(2)} us/record`,
  );
  rmSync(path);
}

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'sallyport-bench-'));
try {
  console.log(
    `load ${loadavg()
      .map((value) => value.toFixed(2))
      .join(' ')}`,
  );
  for (let i = 0; i < Number(process.argv[3] ?? 3); i++) {
    await run(join(folder, 'a.trail'), 32_768, 32_768, 4);
    await run(join(folder, 'a.trail'), 1_000_000, 40, 64);
  }
} finally {
  rmSync(folder, { recursive: true });
}
