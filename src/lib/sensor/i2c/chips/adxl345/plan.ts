import { z } from 'zod';
import { readSettings, type SensorUrl } from '../../../url.js';
import { bitsOfRead } from '../../access.js';
import type { ChipPlan, ChipSetting } from '../../chip.js';
import { choice } from '../../settings.js';
import { Adxl345Session } from './session.js';

/** What a bus of 400 kHz bears (data sheet: 800 Hz at most). */
const rates = ['6.25', '12.5', '25', '50', '100', '200', '400', '800'];
const ranges = ['2', '4', '8', '16'];
/** Entries of the FIFO. */
const depth = 32;

export const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples a second', default: '100', choices: rates },
  { name: 'range', about: '± g', default: '16', choices: ranges },
  {
    name: 'watermark',
    about: 'samples that are read at a time, at most 16',
    default: 'those of a quarter of a second, at most 12',
  },
];

export interface Adxl345Settings {
  rateHz: number;
  rangeG: number;
  /** Samples. */
  watermark: number;
}

/** @throws AIOT_SENSOR_URL */
export function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('100'),
    range: choice(ranges).default('16'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(16).optional(),
  });
  const rateHz = Number(read.rate);
  const watermark = read.watermark ?? Math.max(1, Math.min(12, Math.floor(rateHz / 4)));
  const everyMs = (watermark * 1000) / rateHz;
  const chosen: Adxl345Settings = { rateHz, rangeG: Number(read.range), watermark };
  return {
    fields: ['ax', 'ay', 'az'].map((name) => ({ name, unit: 'g' })),
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond: rateHz * bitsOfRead(6) + (1000 / everyMs) * 2 * bitsOfRead(1),
    session: (chip, clock) => new Adxl345Session(chip, clock, chosen),
  };
}
