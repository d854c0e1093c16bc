/** Datasets: record, import, open, label, split, check. A recording is one take by one device, and stays whole. */
export { type MotorState, motorFields, motorStates } from './motor/physics.js';
export { type MotorOptions, motorSamples } from './motor/samples.js';
export { simulateMotor } from './motor/simulate.js';
export { dataFolderOf, datasetOf, openDataset } from './open.js';
export { listRecordings, saveRecordings } from './save.js';
export { splitDataset } from './split/split.js';
export type * from './types.js';
