import type { ChipDriver } from '../chip.js';
import { adxl345 } from './adxl345.js';
import { Adxl345Simulator } from './adxl345-simulator.js';
import { bme280 } from './bme280.js';
import { Bme280Simulator } from './bme280-simulator.js';
import { lis3mdl } from './lis3mdl.js';
import { Lis3mdlSimulator } from './lis3mdl-simulator.js';
import { lsm6ds3trc } from './lsm6ds3tr-c.js';
import { Lsm6ds3trcSimulator } from './lsm6ds3tr-c-simulator.js';
import { lsm6dsox } from './lsm6dsox.js';
import { Lsm6dsoxSimulator } from './lsm6dsox-simulator.js';
import { mpu6050 } from './mpu6050.js';
import { Mpu6050Simulator } from './mpu6050-simulator.js';

/** Every known chip, with its simulator. */
export const chipDrivers: readonly ChipDriver[] = [
  { ...lsm6ds3trc, simulate: (options) => new Lsm6ds3trcSimulator(options) },
  { ...lis3mdl, simulate: (options) => new Lis3mdlSimulator(options) },
  { ...lsm6dsox, simulate: (options) => new Lsm6dsoxSimulator(options) },
  { ...mpu6050, simulate: (options) => new Mpu6050Simulator(options) },
  { ...adxl345, simulate: (options) => new Adxl345Simulator(options) },
  { ...bme280, simulate: (options) => new Bme280Simulator(options) },
];
