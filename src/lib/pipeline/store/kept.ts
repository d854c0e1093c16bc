import { z } from 'zod';
import { readJson, writeJsonAtomic } from '../../core/index.js';
import { treeSchema } from './tree.js';

const keptSchema = z.record(z.string(), z.object({ run: z.string(), tree: treeSchema }));
/** What later runs find of earlier ones, by name. */
export type Kept = z.output<typeof keptSchema>;

export async function readKept(file: string): Promise<Kept> {
  const read = keptSchema.safeParse(await readJson(file).catch(() => ({})));
  return read.success ? read.data : {};
}

export async function writeKept(file: string, kept: Kept): Promise<void> {
  await writeJsonAtomic(file, kept);
}
