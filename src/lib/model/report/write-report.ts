import { writeFileAtomic } from '../../core/index.js';
import type { ReportOptions } from './types.js';

export async function writeReport({ file }: ReportOptions): Promise<void> {
  await writeFileAtomic(file, '<!doctype html>');
}
