import type { ChipDriver } from '../../chip.js';
import { plan, settings } from './plan.js';
import { registers } from './registers.js';
import { Bme280Simulator } from './simulator.js';

/** Bosch's climate: one measurement at a time. */
export const bme280: ChipDriver = {
  name: 'bme280',
  title: 'BME280, temperature, pressure and humidity',
  addresses: [0x76, 0x77],
  registers,
  identity: {
    register: registers.ID.address,
    value: 0x60,
    relatives: { 86: 'BMP280', 87: 'BMP280', 88: 'BMP280', 97: 'BME680' },
  },
  settings,
  plan,
  simulate: (options) => new Bme280Simulator(options),
};
