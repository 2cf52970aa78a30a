/**
 * Imports the files named on the command line, one after the other, and tells what each left behind that a mere import
 * must not: active handles, listeners on the process, changed environment. Prints one JSON object per guilty file at
 * the end; a file that prints by itself is seen by the caller, as is one that keeps this process alive.
 */
import { pathToFileURL } from 'node:url';

/** What of the process an import might change. */
function condition(): Record<string, string[]> {
  const listeners = process.eventNames().map((name) => {
    return `${String(name)} x${process.listenerCount(name)}`;
  });
  const handles = process.getActiveResourcesInfo().filter((name) => !name.includes('Wrap'));
  return {
    handles: handles.sort(),
    listeners: listeners.sort(),
    environment: Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ''}`),
  };
}

const guilty: string[] = [];
let before = condition();
for (const file of process.argv.slice(2)) {
  await import(pathToFileURL(file).href);
  // One turn of the event loop: what was started asynchronously has begun.
  await new Promise((resolve) => setImmediate(resolve));
  const now = condition();
  for (const [what, state] of Object.entries(now)) {
    const added = state.filter((one) => !before[what]?.includes(one));
    if (added.length > 0) guilty.push(JSON.stringify({ file, what, added }));
  }
  before = now;
}
for (const line of guilty) console.log(line);
