import { join } from 'node:path';
import { z } from 'zod';
import { type Project, readJson, unless, writeJsonAtomic } from '../../core/index.js';
import { buildFiles } from '../files.js';
import { type Explanation, explanationSchema } from './result.js';

export type { Explanation } from './result.js';

const savedSchema = explanationSchema.extend({ spec: z.literal('aiot-explanation/1') });

const fileOf = (project: Project) => join(buildFiles(project).folder, 'explanation.json');

/** Leaves the explanation in build/, for the report. */
export async function saveExplanation(project: Project, explanation: Explanation): Promise<void> {
  await writeJsonAtomic(fileOf(project), { spec: 'aiot-explanation/1', ...explanation });
}

/** What was left in build/; null when there is none, or none that this version reads. */
export async function readExplanation(project: Project): Promise<Explanation | null> {
  const found = await unless('AIOT_FILE_NOT_FOUND', readJson(fileOf(project)));
  const read = savedSchema.safeParse(found);
  return read.success ? read.data : null;
}
