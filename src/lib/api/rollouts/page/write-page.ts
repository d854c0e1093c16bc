import { writeFileAtomic } from '../../../core/files.js';
import type { RolloutReport } from '../report.js';
import { rolloutPage } from './page.js';

/** @throws AIOT_FILE_NOT_WRITABLE */
export async function writeRolloutPage(file: string, report: RolloutReport): Promise<void> {
  await writeFileAtomic(file, rolloutPage(report));
}
