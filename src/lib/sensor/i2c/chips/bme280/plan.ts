import { z } from 'zod';
import { readSettings, type SensorUrl } from '../../../url.js';
import { bitsOfRead } from '../../access.js';
import type { ChipPlan, ChipSetting } from '../../chip.js';
import { choice } from '../../settings.js';
import { Bme280Session } from './session.js';

const oversamplings = ['1', '2', '4', '8', '16'];

export const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples a second, at most 25', default: '1' },
  {
    name: 'oversampling',
    about: 'measurements that each value is the mean of',
    default: '1',
    choices: oversamplings,
  },
];

export interface Bme280Settings {
  /** Code of osrs_t, osrs_p and osrs_h. */
  oversamplingCode: number;
  /** Longest that a measurement takes. */
  measureMs: number;
}

/** Longest time of a measurement with this oversampling of all three (Bosch, bme280_cal_meas_delay). */
export function measureMs(oversampling: number): number {
  return 1.25 + 2.3 * oversampling + 2 * (2.3 * oversampling + 0.575);
}

/** @throws AIOT_SENSOR_URL */
export function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: z.coerce
      .number('expected samples a second')
      .min(0.01, 'expected at least 0.01')
      .max(25, 'expected at most 25')
      .prefault('1'),
    oversampling: choice(oversamplings).default('1'),
  });
  const everyMs = 1000 / read.rate;
  const chosen = {
    oversamplingCode: oversamplings.indexOf(read.oversampling) + 1,
    measureMs: measureMs(Number(read.oversampling)),
  };
  return {
    fields: [
      { name: 'temperature', unit: 'degC' },
      { name: 'pressure', unit: 'Pa' },
      { name: 'humidity', unit: '%' },
    ],
    rateHz: read.rate,
    everyMs,
    depth: 1,
    timing: 'host',
    // A write to begin, a look at the status, the reading.
    bitsPerSecond: read.rate * (9 * 3 + 2 + bitsOfRead(1) + bitsOfRead(8)),
    session: (chip, clock) => new Bme280Session(chip, clock, chosen),
  };
}
