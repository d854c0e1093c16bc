import { join } from 'node:path';
import { z } from 'zod';
import { type Project, readJson } from '../core/index.js';
import { configDigestOf } from '../model/index.js';
import { foldsFiguresSchema } from '../registry/index.js';

/**
 * data/originals.json of the template har-imu: its recipe by folds over the recordings that its own are cut from. They are too
 * large to come along (29 MB), so these figures are stored, with digests of the recordings and of the recipe.
 */
const originalsSchema = z.object({
  datasetDigest: z.string(),
  configDigest: z.string(),
  together: foldsFiguresSchema,
});
export type Originals = z.output<typeof originalsSchema>;

/** null where the recipe is another one than was measured. @param folder the template's data */
export async function readOriginals(project: Project, folder: string): Promise<Originals | null> {
  const stored = originalsSchema.parse(await readJson(join(folder, 'originals.json')));
  return stored.configDigest === configDigestOf(project) ? stored : null;
}
