import { readSettings, type SensorUrl } from '../../../url.js';
import { bitsOfRead } from '../../access.js';
import type { ChipPlan, ChipSetting } from '../../chip.js';
import { choice } from '../../settings.js';
import { fastHz, rangesGauss, slowHz } from './codec.js';
import { Lis3mdlSession } from './session.js';

const rates = [...slowHz, ...fastHz.toReversed()].map(String);
const ranges = rangesGauss.map(String);
/** Of a period: looked at so often that no sample is overwritten, however the two clocks stand. */
const lookShare = 0.45;

export const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples a second', default: '80', choices: rates },
  { name: 'range', about: '± gauss', default: '4', choices: ranges },
];

/** @throws AIOT_SENSOR_URL */
export function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('80'),
    range: choice(ranges).default('4'),
  });
  const rateHz = Number(read.rate);
  const rangeGauss = Number(read.range);
  const everyMs = (lookShare * 1000) / rateHz;
  return {
    fields: ['mx', 'my', 'mz'].map((name) => ({ name, unit: 'gauss' })),
    rateHz,
    everyMs,
    depth: 1,
    timing: 'chip',
    bitsPerSecond: (1000 / everyMs) * bitsOfRead(7),
    session: (chip, clock) => new Lis3mdlSession(chip, clock, { rateHz, rangeGauss }),
  };
}
