import type { Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { SelfTest } from '../../chip.js';
import { counts, factoryTrim } from './codec.js';
import { reg } from './registers.js';

/** Furthest from the factory's response, %. */
const mostPercent = 14;
/** Until the outputs stand, and between samples of 100 Hz, ms. */
const [settleMs, everyMs] = [250, 10];
const averaged = 20;

/**
 * Lets the chip push its proof masses and compares the response with the one that the factory measured and left in it: a change of
 * at most 14 %. Axes of which it left none, as in copies of the chip, are not told.
 */
export async function selfTest(chip: RegisterAccess, clock: Clock): Promise<SelfTest> {
  const trim = factoryTrim(await chip.read(reg.SELF_TEST_X, 4));
  await chip.write(reg.FIFO_EN, 0x00);
  await chip.write(reg.SMPLRT_DIV, 9);
  await chip.write(reg.CONFIG, 0x03);
  // All axes pushed, at ±250 dps and ±8 g; then none.
  await chip.write(reg.GYRO_CONFIG, 0xe0, 0xf0);
  await clock.sleep(settleMs);
  const pushed = await average(chip, clock);
  await chip.write(reg.GYRO_CONFIG, 0x00, 0x10);
  await clock.sleep(settleMs);
  const free = await average(chip, clock);
  const factory = [...trim.accelerometer, ...trim.gyroscope];
  const axes = ['ax', 'ay', 'az', 'gx', 'gy', 'gz'].flatMap((name, axis) => {
    const expected = factory[axis]!;
    if (expected === 0) return [];
    const change = (100 * (pushed[axis]! - free[axis]! - expected)) / expected;
    return [{ name, unit: '%', change, least: -mostPercent, most: mostPercent }];
  });
  return { passed: axes.every(({ change }) => Math.abs(change) <= mostPercent), axes };
}

/** Counts of accelerometer and gyroscope. */
async function average(chip: RegisterAccess, clock: Clock): Promise<number[]> {
  const sums = new Array<number>(6).fill(0);
  for (let n = 0; n < averaged; n++) {
    await clock.sleep(everyMs);
    const bytes = await chip.read(reg.ACCEL_XOUT_H, 14);
    for (let axis = 0; axis < 6; axis++) {
      // The temperature lies between them.
      const at = axis < 3 ? 2 * axis : 2 * axis + 2;
      sums[axis]! += counts(bytes[at]!, bytes[at + 1]!) / averaged;
    }
  }
  return sums;
}
