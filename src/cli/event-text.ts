/**
 * One event of a trail in words, for people. What a peer chose is escaped before it gets here (`describe-record.ts`), so
 * a terminal shows it and does not obey it. Events that say nothing to a person give no text.
 */
import { CODES, DIRECTION, FATE, KINDS, kindName } from '../recording/container.ts';
import { describeRecord, requestIn } from '../recording/describe-record.ts';
import type { Fields } from '../recording/describe-record.ts';
import type { TrailRecord } from '../recording/block-decoder.ts';
import { toolOf } from '../wire/tool-command.ts';
import { say, shorten } from './words.ts';

const MAX_TEXT = 400;

/** The event in words; undefined for one that is not worth a line. */
export function eventText(record: TrailRecord): string | undefined {
  const fields = describeRecord(record);
  const text = wordsOf(record, fields);
  if (text === undefined) return undefined;
  return shorten(`${text}${fateText(record)}`, MAX_TEXT);
}

function wordsOf(record: TrailRecord, fields: Fields): string | undefined {
  const who = whoOf(record);
  if (fields['undecoded'] !== undefined) {
    return `${who}: ${kindName(record.kind)} that does not parse: ${say(fields['undecoded'])}`;
  }
  switch (record.kind) {
    case KINDS['forward-request']:
    case KINDS['reverse-request']:
      return `${who}: ${requestText(fields)}${toolText(record)}`;
    case KINDS['forward-reply']:
    case KINDS['reverse-reply']:
      return fields['success'] === false ? `${who}: the request before was refused` : undefined;
    case KINDS['forward-global-request']:
    case KINDS['reverse-global-request']:
      return `${who}: ${globalText(fields)}`;
    case KINDS['forward-new-channel-request']:
    case KINDS['reverse-new-channel-request']:
      return `${who}: opens a ${say(fields['type'])} channel${placeText(fields)}`;
    case KINDS['forward-new-channel-reply']:
    case KINDS['reverse-new-channel-reply']:
      return fields['success'] === false
        ? `${who}: refuses the channel: ${say(fields['description'])}`
        : undefined;
    case KINDS['extended-data']:
      return `${who}: ${say(fields['bytes'])} bytes of extended data, code ${say(fields['code'])}`;
    case KINDS.eof:
      return `${who}: end of data`;
    case KINDS.close:
      return `${who}: closes the channel`;
    case KINDS.other:
      return `${who}: message ${say(fields['message'])}`;
    case KINDS.checkpoint:
      return endText(fields);
    case KINDS.policy:
      return `policy: ${pairs(fields)}`;
    default:
      return undefined;
  }
}

function requestText(fields: Fields): string {
  const field = (name: string): string => say(fields[name]);
  switch (fields['type']) {
    case 'pty-req':
      return `terminal ${field('term')}, ${field('columns')}x${field('rows')}`;
    case 'window-change':
      return `terminal is now ${field('columns')}x${field('rows')}`;
    case 'env':
      return `environment ${field('name')}=${field('value')}`;
    case 'shell':
      return 'shell';
    case 'x11-req':
      return `X11${fields['single'] === true ? ', for one connection' : ''}`;
    case 'auth-agent-req@openssh.com':
      return 'offers the agent';
    case 'exec':
      return `command ${field('command')}`;
    case 'subsystem':
      return `subsystem ${field('name')}`;
    case 'signal':
      return `signal ${field('name')}`;
    case 'exit-status':
      return `exit ${field('status')}`;
    case 'exit-signal':
      return `ended by signal ${field('name')} ${field('message')}`.trimEnd();
    default:
      return `request ${field('type')}`;
  }
}

/** ` (rsync upload: /x)`; nothing for a command that is no tool. */
function toolText(record: TrailRecord): string {
  const request = requestIn(record);
  const tool = request?.type === 'exec' ? toolOf(request.command) : undefined;
  if (!tool) return '';
  const { name, direction, paths, expands } = tool;
  const where = paths.length === 0 ? 'paths in the stream' : paths.join(' ');
  return ` (${name} ${direction}: ${where}${expands ? ', as its shell expands it' : ''})`;
}

function globalText(fields: Fields): string {
  const type = say(fields['type']);
  if (fields['address'] === undefined) return `global request ${type}`;
  const address = say(fields['address']);
  return type.startsWith('cancel-')
    ? `asks the target to listen no more at ${address}`
    : `asks the target to listen at ${address}`;
}

function placeText({ to, from }: Fields): string {
  return `${to === undefined ? '' : ` to ${say(to)}`}${from === undefined ? '' : ` from ${say(from)}`}`;
}

function endText(fields: Fields): string | undefined {
  if (fields['checkpoint'] === 'live') return undefined;
  const how = fields['checkpoint'] === 'recovered' ? 'recovered after a crash' : 'end of the trail';
  return `${how}: ${say(fields['reason'])}`;
}

function whoOf({ direction, fate }: TrailRecord): string {
  if (fate === FATE.made) return direction === DIRECTION.down ? 'gate to user' : 'gate to target';
  if (direction === DIRECTION.none) return 'gate';
  return direction === DIRECTION.up ? 'user' : 'target';
}

function fateText({ fate, code }: TrailRecord): string {
  if (fate === FATE.withheld && code === CODES.leg) return ' (concerns the gate alone)';
  if (fate === FATE.withheld && code === CODES.gate) return ' (answered by the gate)';
  if (fate === FATE.withheld && code === CODES.splice) return ' (kept by the gate)';
  return fate === FATE.withheld ? ' (refused by the gate)' : '';
}

/** Fields as `name value, name value`. */
export function pairs(fields: Fields): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${say(value)}`)
    .join(', ');
}
