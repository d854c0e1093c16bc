import type { ChipDriver } from '../chip.js';
import { adxl345 } from './adxl345/index.js';
import { bme280 } from './bme280/index.js';
import { lis3mdl } from './lis3mdl/index.js';
import { lsm6ds3trc } from './lsm6ds3tr-c/index.js';
import { lsm6dsox } from './lsm6dsox/index.js';
import { mpu6050 } from './mpu6050/index.js';

/** One entry a chip: the only place that knows which there are. */
export const chipDrivers: readonly ChipDriver[] = [lsm6ds3trc, lis3mdl, lsm6dsox, mpu6050, adxl345, bme280];
