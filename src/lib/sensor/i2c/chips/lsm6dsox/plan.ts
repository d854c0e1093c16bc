import { z } from 'zod';
import { readSettings, type SensorUrl } from '../../../url.js';
import { bitsOfRead } from '../../access.js';
import type { ChipPlan, ChipSetting } from '../../chip.js';
import { choice } from '../../settings.js';
import { dpsPerCount, gramsPerCount } from '../lsm6ds3tr-c/codec.js';
import { Lsm6dsoxSession } from './session.js';
import { fifoWords, type WordLayout, wordBytes } from './words.js';

/** Nominal Hz by the code of ODR_XL, ODR_G, BDR_XL and BDR_GY (ST, lsm6dsox-pid). */
export const ratesHz = [0, 12.5, 26, 52, 104, 208, 417, 833, 1667, 3333, 6667] as const;
const rates = ratesHz.slice(1).map(String);
const ranges = ['2', '4', '8', '16'];
const gyroscopes = ['off', '125', '250', '500', '1000', '2000'];
const defaultEverySeconds = 0.25;

export const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples a second', default: '104', choices: rates },
  { name: 'range', about: 'of the accelerometer, ± g', default: '4', choices: ranges },
  { name: 'gyro', about: 'range of the gyroscope, ± dps, or off', default: '2000', choices: gyroscopes },
  { name: 'watermark', about: 'samples that are read at a time', default: 'a quarter of a second of them' },
];

export interface Lsm6dsoxSettings {
  /** Upper four bits of the controls: the rate. */
  rateCode: number;
  rangeG: number;
  /** null = off. */
  rangeDps: number | null;
  /** Samples. */
  watermark: number;
}

/** @throws AIOT_SENSOR_URL */
export function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('104'),
    range: choice(ranges).default('4'),
    gyro: choice(gyroscopes).default('2000'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(256).optional(),
  });
  const rateHz = Number(read.rate);
  const rangeG = Number(read.range);
  const rangeDps = read.gyro === 'off' ? null : Number(read.gyro);
  const layout: WordLayout = {
    gyroscope: rangeDps !== null,
    gramsPerCount: gramsPerCount(rangeG),
    dpsPerCount: dpsPerCount(rangeDps ?? 125),
  };
  const words = layout.gyroscope ? 2 : 1;
  const depth = Math.floor(fifoWords / words);
  const most = Math.floor(depth / 2);
  const watermark = Math.min(read.watermark ?? Math.max(1, Math.floor(rateHz * defaultEverySeconds)), most);
  const everyMs = (watermark * 1000) / rateHz;
  const wordsOfBlock = Math.floor(32 / wordBytes);
  const rateCode = rates.indexOf(read.rate) + 1;
  const axes = (names: string[], unit: string) => names.map((name) => ({ name, unit }));
  return {
    fields: [...axes(['ax', 'ay', 'az'], 'g'), ...(rangeDps === null ? [] : axes(['gx', 'gy', 'gz'], 'dps'))],
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond:
      ((rateHz * words) / wordsOfBlock) * bitsOfRead(wordsOfBlock * wordBytes) +
      (1000 / everyMs) * bitsOfRead(2),
    session: (chip, clock) =>
      new Lsm6dsoxSession(chip, clock, { rateCode, rangeG, rangeDps, watermark }, layout),
  };
}
