/** Verifies the trail of one channel, and with it what trail and rows say of the files that crossed. */
import { ProtocolError } from '../base/errors.ts';
import { FilesCheck } from './files-check.ts';
import type { FileClaim } from './files-check.ts';
import type { PublicKeys } from './seal.ts';
import { verifyTrail } from './verify-trail.ts';
import type { TrailReport, VerifyOptions } from './verify-trail.ts';

/** Verifies a channel's trail, and what is said of the files in it; `claims` are the rows of its connection. */
export async function verifyChannel(
  path: string,
  keys: PublicKeys,
  options: VerifyOptions,
  { id, channel }: { readonly id: string; readonly channel: number },
  claims: readonly FileClaim[],
): Promise<TrailReport> {
  const files = new FilesCheck(id, channel, path, claims);
  let wrong = '';
  const report = await verifyTrail(path, keys, {
    ...options,
    onRecord: (record) => {
      try {
        if (wrong === '') files.take(record);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        wrong = error.message;
      }
    },
  });
  wrong ||= files.end(report.state === 'complete' || report.state === 'recovered');
  return wrong === '' ? report : bad(report, wrong);
}

/** The report with something wrong. What is wrong inside the file is the better reason. */
export function bad(report: TrailReport, reason: string): TrailReport {
  return report.state === 'bad' ? report : { ...report, state: 'bad', reason };
}
