/**
 * `sallyport audit verify`: walks the chain of commits, and holds it against the heads that the ledgers noted when each
 * was made, so that a log that was cut or rewritten as a whole is seen too.
 */
import { AppError } from '../base/errors.ts';
import { z } from '../config/schema.ts';
import { KINDS } from '../recording/container.ts';
import { parseJson } from '../recording/header.ts';
import { TrailFile } from '../recording/reader.ts';
import { Storage } from '../recording/storage.ts';
import { verifyAudit } from '../store/audit.ts';
import type { AuditHead } from '../store/audit.ts';
import { withDatabase } from './configuration.ts';
import { openGateFolder } from './gate-folder.ts';
import type { Output } from './output.ts';
import { counted } from './words.ts';

/** Prints the verdict; resolves to whether the log is as it was written. */
export async function verifyCommits(
  { dir }: { readonly dir: string },
  output: Output,
): Promise<boolean> {
  const { recordings } = openGateFolder(dir);
  // The heads first: a commit that is made meanwhile is in the log, and not yet among them.
  const heads = await headsIn(new Storage(recordings));
  const verdict = await withDatabase(dir, (db) => verifyAudit(db, heads));
  if (!verdict.ok) {
    output.tell(`sallyport: the audit log of ${dir} is not as it was written: ${verdict.reason}\n`);
    return false;
  }
  const { number, digest } = verdict.head;
  const [commits, noted] = [counted(number, 'commit'), counted(heads.length, 'head')];
  await output.line(`${commits}, head ${digest}; in agreement with ${noted} in ledgers`);
  return true;
}

const noted = z.object({ commit: z.int().positive(), digest: z.string() });

/** The heads that the ledgers hold; what cannot be read there is for `trail verify` to report. */
async function headsIn(storage: Storage): Promise<AuditHead[]> {
  const heads: AuditHead[] = [];
  for (const instance of await storage.ledgers()) {
    const file = await TrailFile.open(storage.ledgerPath(instance));
    try {
      for await (const record of file.records()) {
        if (record.kind !== KINDS['audit-head']) continue;
        const head = noted.safeParse(parseJson(record.payload));
        if (head.success) heads.push({ number: head.data.commit, digest: head.data.digest });
      }
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    } finally {
      await file.close();
    }
  }
  return heads;
}
