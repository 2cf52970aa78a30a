/**
 * `make client-table`: plays every client and feature directly and through the gate, and writes `docs/clients.md`. Exit
 * code 1 when a cell differs; what is not built yet stands in the table as such.
 *
 *   node test/clients/main.ts [--only NAME[,NAME...]] [--feature F[,F...]] [--way named|jump] [--print]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { format } from 'prettier';
import { check, run } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { ROOT } from '../support/source-tree.ts';
import { CLIENTS } from './all.ts';
import { startPlace } from './place.ts';
import { playAll } from './play.ts';
import { OBJECTS } from './git.ts';
import { FEATURES } from './scene.ts';
import { SIZES } from './steps.ts';
import { renderTable } from './table.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    feature: { type: 'string' },
    way: { type: 'string' },
    print: { type: 'boolean', default: false },
  },
});

/** Those of a list that an option names; all without it. */
function chosen<T extends string>(all: readonly T[], option: string | undefined): T[] {
  const names = option?.split(',');
  return all.filter((one) => names?.includes(one) ?? true);
}

async function version(name: string): Promise<string> {
  const { stdout } = await run(['dpkg-query', '-W', '-f', '${Version}', name]);
  return stdout.toString() || 'not installed';
}

const packages = [...new Set(CLIENTS.map((client) => client.package))];
const installed = await run([join(ROOT, 'test/peers'), ...packages], { timeoutMs: 600_000 });
process.stdout.write(installed.stdout);
process.stderr.write(installed.stderr);

const names = chosen(
  CLIENTS.map(({ name }) => name),
  values.only,
);
const clients = CLIENTS.filter(({ name }) => names.includes(name));
const scope = new ManualScope();
const rows = await (async () => {
  try {
    return await playAll(await startPlace(scope), clients, {
      features: chosen(FEATURES, values.feature),
      ways: chosen(['named', 'jump'], values.way),
      onCell: (client, way, feature, { verdict, reason }) => {
        if (verdict !== 'none')
          console.log([client.name, way, feature, verdict, reason].join('  '));
      },
    });
  } finally {
    await scope.end();
  }
})();
const versions = await Promise.all(
  clients.map(async (client) => [client.name, await version(client.package)] as const),
);
const system = /PRETTY_NAME="(.*)"/.exec(await check(['cat', '/etc/os-release']))?.[1] ?? 'Linux';
const target = `OpenSSH ${await version('openssh-server')} on ${system}`;
const megabytes = Math.round((SIZES.at(-1) ?? 0) / 2 ** 20);
const amount = `Files had up to ${megabytes} MiB, git's repository ${OBJECTS} files.`;
const text = await format(renderTable(rows, { versions, target, amount }), { parser: 'markdown' });
const { only, feature, way } = values;
if (values.print || (only ?? feature ?? way) !== undefined) {
  console.log(text);
} else {
  mkdirSync(join(ROOT, 'docs'), { recursive: true });
  writeFileSync(join(ROOT, 'docs/clients.md'), text);
  console.log('wrote docs/clients.md');
}
const differs = rows.some(({ cells }) => [...cells.values()].some((c) => c.verdict === 'differs'));
process.exitCode = differs ? 1 : 0;
