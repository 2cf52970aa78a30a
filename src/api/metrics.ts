/** `/metrics`: what Prometheus comes for, by HTTP Basic or a cookie; either needs to read `/special/basic`. */
import { Readable } from 'node:stream';
import type { Metrics } from '../ops/metrics.ts';
import { Download, route } from './route.ts';
import type { Route } from './route.ts';

export function metricsRoutes(metrics: Metrics): Route[] {
  return [
    route({
      method: 'GET',
      path: '/metrics',
      summary: 'Figures of the gate in the text format of Prometheus; takes HTTP Basic too',
      access: { object: '/special/basic', permission: 'read' },
      takesBasic: true,
      errors: ['AuthenticationFailure', 'TooManyRequests', 'ServiceUnavailable'],
      handle: async () => {
        const { text, type } = await metrics.text();
        return new Download({ stream: Readable.from([text]), type });
      },
    }),
  ];
}
