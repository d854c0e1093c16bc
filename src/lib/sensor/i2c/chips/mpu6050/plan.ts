import { z } from 'zod';
import { readSettings, type SensorUrl } from '../../../url.js';
import { bitsOfRead } from '../../access.js';
import type { ChipPlan, ChipSetting } from '../../chip.js';
import { choice } from '../../settings.js';
import { dpsPerCount, gramsPerCount, type SetLayout, setBytes } from './codec.js';
import { Mpu6050Session } from './session.js';

/** 1 kHz divided by a whole number. */
const rates = ['4', '5', '8', '10', '20', '25', '40', '50', '100', '125', '200', '250', '500', '1000'];
const ranges = ['2', '4', '8', '16'];
const gyroscopes = ['off', '250', '500', '1000', '2000'];
export const fifoBytes = 1024;
const defaultEverySeconds = 0.25;

export const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples a second', default: '100', choices: rates },
  { name: 'range', about: 'of the accelerometer, ± g', default: '4', choices: ranges },
  { name: 'gyro', about: 'range of the gyroscope, ± dps, or off', default: '2000', choices: gyroscopes },
  { name: 'watermark', about: 'samples that are read at a time', default: 'a quarter of a second of them' },
];

export interface Mpu6050Settings {
  rateHz: number;
  rangeG: number;
  /** null = off. */
  rangeDps: number | null;
}

/** @throws AIOT_SENSOR_URL */
export function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('100'),
    range: choice(ranges).default('4'),
    gyro: choice(gyroscopes).default('2000'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(80).optional(),
  });
  const rateHz = Number(read.rate);
  const rangeG = Number(read.range);
  const rangeDps = read.gyro === 'off' ? null : Number(read.gyro);
  const layout: SetLayout = {
    gyroscope: rangeDps !== null,
    gramsPerCount: gramsPerCount(rangeG),
    dpsPerCount: dpsPerCount(rangeDps ?? 250),
  };
  const bytes = setBytes(layout);
  const depth = Math.floor(fifoBytes / bytes) - 3;
  // A reader that is as late again loses nothing.
  const most = Math.floor(depth / 2);
  const watermark = Math.min(read.watermark ?? Math.max(1, Math.floor(rateHz * defaultEverySeconds)), most);
  const everyMs = (watermark * 1000) / rateHz;
  const setsOfBlock = Math.floor(32 / bytes);
  const axes = (names: string[], unit: string) => names.map((name) => ({ name, unit }));
  return {
    fields: [...axes(['ax', 'ay', 'az'], 'g'), ...(rangeDps === null ? [] : axes(['gx', 'gy', 'gz'], 'dps'))],
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond:
      (rateHz / setsOfBlock) * bitsOfRead(setsOfBlock * bytes) + (1000 / everyMs) * bitsOfRead(2),
    session: (chip, clock) => new Mpu6050Session(chip, clock, { rateHz, rangeG, rangeDps }, layout),
  };
}
