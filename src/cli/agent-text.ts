/**
 * What an agent was asked and answered, in words for people: which keys it listed, which one signed what for whom. Texts
 * in an event are escaped by the decoder already.
 */
import type { AgentEvent } from '../wire/agent.ts';
import type { AgentKey } from '../wire/agent-key.ts';
import type { AgentAnswer, AgentRequest, SignPurpose } from '../wire/agent-messages.ts';
import { grouped, shorten } from './words.ts';

const MAX_TEXT = 600;
/** Of a session id, enough to see that two are the same. */
const SESSION = 16;

/** The event on one line. */
export function agentText(event: AgentEvent): string {
  return shorten(wordsOf(event), MAX_TEXT);
}

function wordsOf(event: AgentEvent): string {
  if ('undecoded' in event) return `agent: undecoded from here on: ${event.undecoded}`;
  if ('unanswered' in event) return `agent: no answer to: ${requestText(event.unanswered)}`;
  if ('request' in event) return `to the agent: ${requestText(event)}`;
  return `agent: ${answerText(event, event.to, event.comment)}`;
}

function requestText(request: AgentRequest): string {
  switch (request.request) {
    case 'list':
      return 'list your keys';
    case 'sign':
      return `sign with ${keyText(request.key)}: ${purposeText(request.signs)}`;
    case 'add': {
      const { key, comment, constraints } = request;
      return `add the key ${keyText(key, comment)}${constraintText(constraints)}`;
    }
    case 'remove':
      return `remove the key ${keyText(request.key)}`;
    case 'remove-all':
      return 'remove all keys';
    case 'add-token':
      return `add the token ${request.provider}${constraintText(request.constraints)}`;
    case 'remove-token':
      return `remove the token ${request.provider}`;
    case 'lock':
    case 'unlock':
      return request.request;
    case 'session-bind': {
      const { session, host, forwarded } = request;
      const use = forwarded ? 'passes the agent on to' : 'is of';
      return `session ${session.slice(0, SESSION)} ${use} the host ${host}`;
    }
    case 'extension':
      return `extension ${request.name}, ${grouped(request.bytes)} bytes`;
    case 'unknown':
      return `message ${request.message}, ${grouped(request.bytes)} bytes`;
    case 'undecoded':
      return `message ${request.message} that does not parse: ${request.why}`;
  }
}

function answerText(answer: AgentAnswer, to: AgentRequest, comment: string | undefined): string {
  switch (answer.answer) {
    case 'keys': {
      const names = answer.keys.map((key) => keyText(key, key.comment));
      const count = names.length === 1 ? '1 key' : `${names.length || 'no'} keys`;
      return [count, ...(names.length > 0 ? [names.join('; ')] : [])].join(': ');
    }
    case 'signature': {
      if (to.request !== 'sign') return `a signature nobody asked for`;
      return `signed with ${keyText(to.key, comment)}: ${purposeText(to.signs)}`;
    }
    case 'success':
      return `done: ${requestText(to)}`;
    case 'failure':
    case 'extension-failure':
      return `refused: ${requestText(to)}`;
    case 'extension':
      return `${grouped(answer.bytes)} bytes for: ${requestText(to)}`;
    case 'unknown':
      return `message ${answer.message}, ${grouped(answer.bytes)} bytes`;
    case 'undecoded':
      return `message ${answer.message} that does not parse: ${answer.why}`;
  }
}

function keyText({ type, fingerprint }: AgentKey, comment = ''): string {
  return `${type} ${fingerprint}${comment === '' ? '' : ` (${comment})`}`;
}

function purposeText(signs: SignPurpose): string {
  switch (signs.purpose) {
    case 'login': {
      const where = signs.host === undefined ? '' : ` on the host ${signs.host}`;
      const { user, service, session } = signs;
      return `login as ${user} for ${service}${where}, session ${session.slice(0, SESSION)}`;
    }
    case 'sshsig':
      return `data of the namespace ${signs.namespace}, ${signs.hash}`;
    case 'unknown':
      return `${grouped(signs.bytes)} bytes of an unknown form`;
  }
}

function constraintText(constraints: readonly string[]): string {
  return constraints.length === 0 ? '' : `, ${constraints.join(', ')}`;
}
