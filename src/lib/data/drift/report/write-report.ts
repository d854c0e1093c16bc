import { refuseInputs, writeFileAtomic } from '../../../core/index.js';
import type { Drift } from '../result.js';
import { driftPage } from './page.js';

/** @throws AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE */
export async function writeDriftReport(file: string, drift: Drift): Promise<void> {
  await refuseInputs([file], [drift.base.name, drift.now.name]);
  await writeFileAtomic(file, driftPage(drift));
}
