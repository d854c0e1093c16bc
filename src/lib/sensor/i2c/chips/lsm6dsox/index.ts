import type { ChipDriver } from '../../chip.js';
import { plan, settings } from './plan.js';
import { registers } from './registers.js';
import { Lsm6dsoxSimulator } from './simulator.js';

/** ST's six axes with a tagged FIFO. */
export const lsm6dsox: ChipDriver = {
  name: 'lsm6dsox',
  title: 'LSM6DSOX, accelerometer and gyroscope',
  addresses: [0x6a, 0x6b],
  registers,
  identity: {
    register: registers.WHO_AM_I.address,
    value: 0x6c,
    relatives: { 105: 'LSM6DS3', 106: 'LSM6DS3TR-C' },
  },
  settings,
  plan,
  simulate: (options) => new Lsm6dsoxSimulator(options),
};
