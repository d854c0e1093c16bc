import { AiotError, type Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { SelfTest } from '../../chip.js';
import { decode, gaussPerCount, statusOf } from './codec.js';
import { increment, reg } from './registers.js';

/** What a coil of the chip's own adds, gauss at ±12 (ST's example for the LIS3MDL). */
const limits = [
  { name: 'mx', least: 1, most: 3 },
  { name: 'my', least: 1, most: 3 },
  { name: 'mz', least: 0.1, most: 1 },
] as const;
const averaged = 5;
const patienceMs = 200;

/** 80 Hz at ±12 gauss, without and with the coil. The chip is in no defined state afterwards. */
export async function selfTest(chip: RegisterAccess, clock: Clock): Promise<SelfTest> {
  await chip.write(reg.CTRL_REG1, 0x1c);
  await chip.write(reg.CTRL_REG2, 0x40);
  await chip.write(reg.CTRL_REG5, 0x40);
  await clock.sleep(20);
  await chip.write(reg.CTRL_REG3, 0x00);
  await clock.sleep(20);
  const without = await average(chip, clock);
  await chip.write(reg.CTRL_REG1, 0x1d);
  await clock.sleep(60);
  const pushed = await average(chip, clock);
  await chip.write(reg.CTRL_REG1, 0x1c);
  await chip.write(reg.CTRL_REG3, 0x03);
  const axes = limits.map(({ name, least, most }, axis) => ({
    name,
    unit: 'gauss',
    change: Math.abs(pushed[axis]! - without[axis]!),
    least,
    most,
  }));
  return { passed: axes.every(({ change, least, most }) => change >= least && change <= most), axes };
}

/** The mean of five samples after one that is dropped. */
async function average(chip: RegisterAccess, clock: Clock): Promise<number[]> {
  const sums = [0, 0, 0];
  for (let n = 0; n <= averaged; n++) {
    const values = await sample(chip, clock);
    if (n > 0) for (let axis = 0; axis < 3; axis++) sums[axis]! += values[axis]! / averaged;
  }
  return sums;
}

async function sample(chip: RegisterAccess, clock: Clock): Promise<readonly number[]> {
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += 2) {
    const bytes = await chip.read(reg.STATUS_REG | increment, 7);
    if (statusOf(bytes[0]!).ready) return decode(bytes, 1, gaussPerCount(12));
    await clock.sleep(2);
  }
  throw new AiotError('AIOT_SENSOR_FAILED', 'the LIS3MDL gives no samples in its self-test');
}
