/** Datasets: record, import, open, label, split, check. A recording is one take by one device, and stays whole. */
export { dataFolderOf, datasetOf, openDataset } from './open.js';
export { splitDataset } from './split/split.js';
export type * from './types.js';
