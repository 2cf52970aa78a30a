/** The kinds of records (`recording/container.ts`) by the side a message comes from; a reply is named by its own way. */
import { KINDS } from '../recording/container.ts';
import type { Side } from './mux.ts';

type Pair = readonly [down: number, up: number];

function by(pair: Pair): (from: Side) => number {
  return (from) => pair[from];
}

export const data = by([KINDS.stdin, KINDS.stdout]);
export const request = by([KINDS['forward-request'], KINDS['reverse-request']]);
export const reply = by([KINDS['forward-reply'], KINDS['reverse-reply']]);
export const global = by([KINDS['forward-global-request'], KINDS['reverse-global-request']]);
export const globalReply = by([KINDS['forward-global-reply'], KINDS['reverse-global-reply']]);
export const open = by([
  KINDS['forward-new-channel-request'],
  KINDS['reverse-new-channel-request'],
]);
export const openReply = by([
  KINDS['forward-new-channel-reply'],
  KINDS['reverse-new-channel-reply'],
]);
