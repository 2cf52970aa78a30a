/** Changes settings in the `sallyport.yaml` of a gate that does not run yet; `init` has written all defaults into it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseYaml } from '../../src/config/yaml.ts';

type Settings = Readonly<Record<string, unknown>>;

function isSettings(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function merged(base: Settings, changes: Settings): Settings {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(changes)) {
    const old = base[key];
    result[key] = isSettings(old) && isSettings(value) ? merged(old, value) : value;
  }
  return result;
}

/** A `configure` for `startGate`: lays these settings over the ones there are. */
export function withSettings(changes: Settings): (dir: string) => void {
  return (dir) => {
    const file = join(dir, 'sallyport.yaml');
    const { value } = parseYaml(readFileSync(file, 'utf8'), file, 'config-invalid');
    if (!isSettings(value)) throw new Error(`${file} holds no settings`);
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(merged(value, changes), null, 2));
  };
}
