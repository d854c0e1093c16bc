import type { ChipDriver } from '../chip.js';

/** One entry a chip: the only place that knows which there are. */
export const chipDrivers: readonly ChipDriver[] = [];
