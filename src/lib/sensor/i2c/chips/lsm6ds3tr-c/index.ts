import type { ChipDriver } from '../../chip.js';
import { plan, settings } from './plan.js';
import { registers } from './registers.js';
import { Lsm6ds3trcSimulator } from './simulator.js';

/** ST's six axes, read through their FIFO. */
export const lsm6ds3trc: ChipDriver = {
  name: 'lsm6ds3tr-c',
  title: 'LSM6DS3TR-C, accelerometer and gyroscope',
  addresses: [0x6a, 0x6b],
  registers,
  identity: {
    register: registers.WHO_AM_I.address,
    value: 0x6a,
    // An LSM6DSL answers as this one does, and works as it does.
    relatives: { 105: 'LSM6DS3', 108: 'LSM6DSOX' },
  },
  settings,
  plan,
  simulate: (options) => new Lsm6ds3trcSimulator(options),
};
