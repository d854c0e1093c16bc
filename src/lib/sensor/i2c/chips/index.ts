import type { ChipDriver } from '../chip.js';
import { lis3mdl } from './lis3mdl/index.js';
import { lsm6ds3trc } from './lsm6ds3tr-c/index.js';

/** One entry a chip: the only place that knows which there are. */
export const chipDrivers: readonly ChipDriver[] = [lsm6ds3trc, lis3mdl];
