/**
 * `sallyport trail show`: what happened in a connection, for people: who, from where, to what, by which rule, how long;
 * its channels; whether the recording verifies; then a time line. With a channel, everything in that channel. It works
 * on the recordings alone, also while they are written, and nothing in them can act on the terminal.
 */
import { AppError } from '../base/errors.ts';
import { shortId } from '../base/ids.ts';
import { rfc3339 } from '../base/time.ts';
import type { TrailRecord } from '../recording/block-decoder.ts';
import { TrailFile } from '../recording/reader.ts';
import { loadPublicKeys } from '../recording/seal.ts';
import type { PublicKeys } from '../recording/seal.ts';
import { Storage } from '../recording/storage.ts';
import { verifyTrail } from '../recording/verify-trail.ts';
import type { TrailReport } from '../recording/verify-trail.ts';
import { ChannelTimeline } from './channel-timeline.ts';
import type { TimedText } from './channel-timeline.ts';
import { TransferText } from './transfer-text.ts';
import { grouped, say } from './words.ts';
import { findConnection } from './find-connection.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';
import { runningInstance } from './running-instance.ts';
import { table } from './table.ts';
import { findChannel } from './trail-export.ts';
import { TrailStory } from './trail-story.ts';
import type { ChannelStory } from './trail-story.ts';

/** Events of a connection that are shown; its channels have their own time lines. */
const MAX_EVENTS = 2_000;

/** All that showing needs of a folder. */
interface Place {
  readonly storage: Storage;
  readonly keys: PublicKeys;
  readonly connection: string;
  readonly instance: string | undefined;
}

export async function showTrail(
  name: string,
  channel: string | undefined,
  { dir }: { readonly dir: string },
  output: Output,
): Promise<void> {
  const { recordings, keys: keysFolder } = openGateFolder(dir);
  const storage = new Storage(recordings);
  const connection = await findConnection(storage, name);
  const keys = await loadPublicKeys(keysFolder);
  const place = { storage, keys, connection, instance: await runningInstance(dir) };
  if (channel === undefined) await showConnection(place, output);
  else await showChannel(place, await findChannel(storage, connection, channel), output);
}

async function showConnection(place: Place, output: Output): Promise<void> {
  const { storage, connection } = place;
  const story = new TrailStory(MAX_EVENTS);
  const own = await check(place, storage.connectionPath(connection), (r) => story.take(r));
  const reports = new Map<number, TrailReport>();
  for (const channel of await storage.channels(connection)) {
    const path = storage.channelPath(connection, channel);
    const transfers = new TransferText(connection, channel, path);
    const report = await check(place, path, (record) => {
      story.takeOfChannel(channel, record);
      story.takeLines(channel, transfers.take(record));
    });
    story.takeLines(channel, transfers.end(report.state === 'open'));
    reports.set(channel, report);
  }
  const wallUs = own.header?.wallUs ?? 0;
  await output.write(headOf(connection, story, own));
  await output.write(channelTable(story, reports));
  await output.write('\n');
  for (const { us, text } of story.events.sort((a, b) => a.us - b.us)) {
    await output.line(`${clock(wallUs + us)}  ${text}`);
  }
  if (story.leftOut > 0) {
    const how = 'show a channel, or use trail export';
    await output.line(`... ${grouped(story.leftOut)} more events: ${how}`);
  }
}

async function check(
  { keys, instance }: Place,
  path: string,
  onRecord: (record: TrailRecord) => void,
): Promise<TrailReport> {
  const report = await verifyTrail(path, keys, { onRecord, live: false });
  // Only the gate that writes it can say that a trail without an end is alive.
  const lives = instance !== undefined && report.header?.instance === instance;
  if (lives && report.state !== 'complete' && report.state !== 'recovered') {
    return await verifyTrail(path, keys, { live: true });
  }
  return report;
}

function headOf(connection: string, story: TrailStory, report: TrailReport): string {
  const { started, destination, ended } = story;
  const rows: [string, string][] = [['connection', `${connection}  (${shortId(connection)})`]];
  if (started) {
    const { authMethod, keyFingerprint: key, sourceAddress, sourcePort } = started;
    rows.push(
      ['user', `${say(started.user)}, as ${say(started.loginName)}`],
      ['from', `${say(sourceAddress)} port ${sourcePort}, ${say(started.clientVersion)}`],
      ['login', key === '' ? say(authMethod) : `${say(authMethod)} ${say(key)}`],
    );
    if (started.parent !== undefined) rows.push(['through', say(started.parent)]);
  }
  if (destination) {
    const { account, target, address, port, rule } = destination;
    rows.push(
      ['target', `${say(account)}@${say(target)} (${say(address)} port ${port})`],
      ['rule', say(rule)],
    );
  } else if (started?.connectionKind === 'gate') {
    rows.push(['target', 'none named: answered by the gate']);
  } else {
    rows.push(['target', 'none was reached']);
  }
  for (const [leg, text] of story.legs) rows.push([leg, say(text)]);
  if (started) {
    const from = started.startedAt;
    const to = ended?.endedAt ?? (report.header?.wallUs ?? 0) + report.lastUs;
    const until = ended ? 'lasted' : report.state === 'open' ? 'runs for' : 'seen for';
    rows.push(['started', `${rfc3339(from)}, ${until} ${duration(to - from)}`]);
  }
  rows.push(
    ['ended', ended ? `${say(ended.status)}: ${say(ended.reason)}` : endOf(report)],
    ['recording', `${report.state}${report.reason === '' ? '' : `: ${say(report.reason)}`}`],
  );
  return `${rows.map(([key, value]) => `${key.padEnd(11)} ${value}`).join('\n')}\n`;
}

function endOf({ state }: TrailReport): string {
  if (state === 'open') return 'not yet';
  return state === 'recovered' ? 'CRASHED: the gate stopped without ending it' : 'not recorded';
}

function channelTable(story: TrailStory, reports: ReadonlyMap<number, TrailReport>): string {
  const ordinals = [...new Set([...story.channels.keys(), ...reports.keys()])].sort(
    (a, b) => a - b,
  );
  if (ordinals.length === 0) return '\nno channels\n';
  const rows = ordinals.map((ordinal) => {
    const told = story.channels.get(ordinal);
    const report = reports.get(ordinal);
    const bytes = (count: number | undefined): string => grouped(count ?? 0);
    return [
      String(ordinal),
      told?.kind ?? '-',
      bytes(report?.stdin),
      bytes(report?.stdout),
      bytes(report?.stderr),
      report === undefined ? 'missing' : report.state,
      told?.end === '' || told === undefined ? '-' : told.end,
      told === undefined ? '' : purposeOf(told),
    ];
  });
  const headings = ['CHANNEL', 'KIND', 'STDIN', 'STDOUT', 'STDERR', 'TRAIL', 'END', 'COMMAND'];
  return `\n${table(headings, rows)}`;
}

function purposeOf({ command, carries }: ChannelStory): string {
  return carries === '' ? command : `${command} (${carries})`.trimStart();
}

async function showChannel(place: Place, channel: number, output: Output): Promise<void> {
  const { storage, connection } = place;
  const path = storage.channelPath(connection, channel);
  const report = await check(place, path, () => undefined);
  const { state, reason, stdin, stdout, stderr, records } = report;
  const sizes = `stdin ${grouped(stdin)}, stdout ${grouped(stdout)}, stderr ${grouped(stderr)}`;
  await output.line(`connection  ${connection}  (${shortId(connection)})`);
  await output.line(`channel     ${channel}: ${sizes} bytes in ${grouped(records)} records`);
  await output.line(`recording   ${state}${reason === '' ? '' : `: ${say(reason)}`}\n`);
  const file = await TrailFile.open(path);
  try {
    const { wallUs } = await file.header();
    const timeline = new ChannelTimeline();
    const transfers = new TransferText(connection, channel, path);
    const tell = async (lines: Iterable<TimedText>): Promise<void> => {
      for (const { us, text } of lines) await output.line(`${clock(wallUs + us)}  ${text}`);
    };
    for await (const record of file.records()) {
      await tell(transfers.take(record));
      if (!transfers.replaces(record)) await tell(timeline.push(record));
    }
    await tell(transfers.end(state === 'open'));
    await tell(timeline.end());
  } catch (error) {
    if (!(error instanceof AppError) || state !== 'bad') throw error;
    await output.line(`from here on it cannot be read: ${say(error.message)}`);
  } finally {
    await file.close();
  }
}

/** `14:03:22.123`, UTC. */
function clock(micros: number): string {
  return rfc3339(micros).slice(11, 23);
}

function duration(micros: number): string {
  const seconds = Math.max(0, micros) / 1_000_000;
  if (seconds < 60) return `${seconds.toFixed(3)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = Math.floor(seconds % 60);
  if (minutes < 60) return `${minutes} min ${rest} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
