/**
 * Whether the gate lives (`/healthz`) and can take sessions (`/readyz`), for whoever watches it from outside. What is
 * wrong is named, and nothing else is told: neither needs a login.
 */
import { z } from '../config/schema.ts';
import { ApiError } from './errors.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';

/** One thing that must be right for sessions to be taken; gives what is wrong, or nothing. */
export type Check = () => Promise<string | undefined> | string | undefined;

const CHECK_MS = 2_000;

export function healthRoutes(checks: Readonly<Record<string, Check>>): Route[] {
  return [
    route({
      method: 'GET',
      path: '/healthz',
      summary: 'Whether the gate lives',
      access: 'open',
      reply: z.strictObject({ status: z.literal('ok') }),
      handle: () => ({ status: 'ok' }),
    }),
    route({
      method: 'GET',
      path: '/readyz',
      summary: 'Whether the gate takes sessions; 503 names what is wrong',
      access: 'open',
      reply: z.strictObject({ status: z.literal('ok'), checks: z.array(z.string()) }),
      errors: ['ServiceUnavailable'],
      handle: async () => {
        const names = Object.keys(checks);
        const results = await Promise.all(
          names.map(async (name) => ({ name, wrong: await outcomeOf(checks[name]) })),
        );
        const wrong = results.filter((result) => result.wrong !== undefined);
        if (wrong.length === 0) return { status: 'ok', checks: names };
        const text = wrong.map(({ name, wrong: why = '' }) => `${name}: ${why}`).join('; ');
        throw new ApiError('ServiceUnavailable', text, { failed: wrong.map(({ name }) => name) });
      },
    }),
  ];
}

async function outcomeOf(check: Check | undefined): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('does not answer'), CHECK_MS);
  });
  try {
    return await Promise.race([Promise.resolve(check?.()), late]);
  } catch {
    return 'fails';
  } finally {
    clearTimeout(timer);
  }
}
