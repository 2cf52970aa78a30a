/**
 * Which instance runs in a folder now: its trails may be open. It asks the gate and needs nothing else, so that
 * recordings are read where there is no database; where nobody answers, nothing is taken for alive.
 */
import { connectControl } from '../ops/control-client.ts';

/** The instance id of the gate that runs in DIR; undefined when none does. */
export async function runningInstance(dir: string): Promise<string | undefined> {
  const gate = await connectControl(dir);
  if (!gate) return undefined;
  try {
    const { role } = await gate.who();
    return role === 'gate' ? (await gate.ping()).instance : undefined;
  } finally {
    gate.close();
  }
}
