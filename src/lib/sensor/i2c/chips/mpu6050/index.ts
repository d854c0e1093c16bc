import type { ChipDriver } from '../../chip.js';
import { plan, settings } from './plan.js';
import { registers } from './registers.js';
import { Mpu6050Simulator } from './simulator.js';

/** InvenSense's six axes, read through their FIFO of bytes. */
export const mpu6050: ChipDriver = {
  name: 'mpu6050',
  title: 'MPU6050, accelerometer and gyroscope',
  addresses: [0x68, 0x69],
  registers,
  identity: {
    register: registers.WHO_AM_I.address,
    value: 0x68,
    relatives: { 112: 'MPU6500', 113: 'MPU9250', 114: 'MPU6050 clone (0x72)', 115: 'MPU9255' },
  },
  settings,
  plan,
  simulate: (options) => new Mpu6050Simulator(options),
};
