import { z } from 'zod';
import { readSettings, type SensorUrl } from '../../../url.js';
import { bitsOfRead } from '../../access.js';
import type { ChipPlan, ChipSetting } from '../../chip.js';
import { choice } from '../../settings.js';
import { dpsPerCount, gramsPerCount, ratesHz, wordsOf } from './codec.js';
import { Lsm6ds3trcSession } from './session.js';

const rates = ratesHz.slice(1).map(String);
const ranges = ['2', '4', '8', '16'];
const gyroscopes = ['off', '125', '250', '500', '1000', '2000'];
/** Words that the FIFO holds before it overwrites. */
const fifoWords = 2046;
/** From one reading to the next, where the URL does not say. */
const defaultEverySeconds = 0.25;

export const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples a second', default: '104', choices: rates },
  { name: 'range', about: 'of the accelerometer, ± g', default: '4', choices: ranges },
  { name: 'gyro', about: 'range of the gyroscope, ± dps, or off', default: '2000', choices: gyroscopes },
  {
    name: 'watermark',
    about: 'samples that are read at a time, up to three quarters of what the FIFO holds',
    default: 'a quarter of a second of them',
  },
];

/** The settings as they are written into the chip. */
export interface Lsm6ds3trcSettings {
  rateHz: number;
  rangeG: number;
  /** null = off. */
  rangeDps: number | null;
  /** Samples. */
  watermark: number;
  /** Bytes of one sample in the FIFO. */
  setBytes: number;
}

/** @throws AIOT_SENSOR_URL */
export function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('104'),
    range: choice(ranges).default('4'),
    gyro: choice(gyroscopes).default('2000'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(512).optional(),
  });
  const rateHz = Number(read.rate);
  const rangeDps = read.gyro === 'off' ? null : Number(read.gyro);
  const rangeG = Number(read.range);
  const layout = {
    gyroscope: rangeDps !== null,
    gramsPerCount: gramsPerCount(rangeG),
    dpsPerCount: dpsPerCount(rangeDps ?? 125),
  };
  const words = wordsOf(layout);
  const depth = Math.floor(fifoWords / words);
  // A reader that is three times as late as usual loses nothing; who chooses for himself may leave less.
  const usual = Math.min(Math.max(1, Math.floor(rateHz * defaultEverySeconds)), Math.floor(depth / 4));
  const watermark = Math.min(read.watermark ?? usual, Math.floor((3 * depth) / 4));
  const everyMs = (watermark * 1000) / rateHz;
  const setBytes = 2 * words;
  const setsOfBlock = Math.floor(32 / setBytes);
  const chosen: Lsm6ds3trcSettings = { rateHz, rangeG, rangeDps, watermark, setBytes };
  const axes = (names: string[], unit: string) => names.map((name) => ({ name, unit }));
  return {
    fields: [...axes(['ax', 'ay', 'az'], 'g'), ...(rangeDps === null ? [] : axes(['gx', 'gy', 'gz'], 'dps'))],
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond:
      (rateHz / setsOfBlock) * bitsOfRead(setsOfBlock * setBytes) + (1000 / everyMs) * bitsOfRead(4),
    session: (chip, clock) => new Lsm6ds3trcSession(chip, clock, chosen, layout),
  };
}
