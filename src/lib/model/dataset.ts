import type { Project } from '../core/index.js';
import { type Dataset, openDataset } from '../data/index.js';

/** Which recordings a step works on: the project's own unless told. Steps after training want those trained on. */
export interface DataSource {
  /** Opened already. */
  dataset?: Dataset;
  /** Folder to open instead of the project's `data`. */
  data?: string;
  /** Column of a table with labels or values; `label` unless told. */
  label?: string | undefined;
}

export async function datasetOfSource(project: Project, { dataset, data }: DataSource): Promise<Dataset> {
  return dataset ?? (await openDataset(project, data));
}
