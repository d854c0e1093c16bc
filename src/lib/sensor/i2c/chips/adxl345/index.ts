import type { ChipDriver } from '../../chip.js';
import { plan, settings } from './plan.js';
import { registers } from './registers.js';
import { Adxl345Simulator } from './simulator.js';

/** Analog Devices' accelerometer, read through its FIFO. */
export const adxl345: ChipDriver = {
  name: 'adxl345',
  title: 'ADXL345, accelerometer',
  addresses: [0x53, 0x1d],
  registers,
  identity: { register: registers.DEVID.address, value: 0xe5, relatives: {} },
  settings,
  plan,
  simulate: (options) => new Adxl345Simulator(options),
};
