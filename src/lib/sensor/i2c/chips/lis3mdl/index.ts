import type { ChipDriver } from '../../chip.js';
import { plan, settings } from './plan.js';
import { registers } from './registers.js';
import { Lis3mdlSimulator } from './simulator.js';

/** ST's three axes of the magnetic field. It has no buffer: it is looked at more often than it samples. */
export const lis3mdl: ChipDriver = {
  name: 'lis3mdl',
  title: 'LIS3MDL, magnetometer',
  addresses: [0x1c, 0x1e],
  registers,
  identity: { register: registers.WHO_AM_I.address, value: 0x3d, relatives: {} },
  settings,
  plan,
  simulate: (options) => new Lis3mdlSimulator(options),
};
