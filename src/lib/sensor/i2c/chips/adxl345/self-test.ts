import { AiotError, type Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { SelfTest } from '../../chip.js';
import { counts, gramsPerCount } from './codec.js';
import { reg } from './registers.js';

/**
 * Counts by which the outputs are to move, at 2.5 V (data sheet, table of the self-test); at the 3.3 V of a Pi times 1.77 in x and y,
 * and 1.47 in z.
 */
const limits = [
  { name: 'ax', least: 50 * 1.77, most: 540 * 1.77 },
  { name: 'ay', least: -540 * 1.77, most: -50 * 1.77 },
  { name: 'az', least: 75 * 1.47, most: 875 * 1.47 },
] as const;
/** A tenth of a second at 100 Hz. */
const averaged = 10;
/** Until the new output stands. */
const settling = 4;
const patienceMs = 100;
const dataReady = 0x80;

/** Pushes the proof mass by the chip's own actuator and looks how far the outputs move. The chip is to lie still. */
export async function selfTest(chip: RegisterAccess, clock: Clock): Promise<SelfTest> {
  await chip.write(reg.POWER_CTL, 0x00);
  await chip.write(reg.FIFO_CTL, 0x00);
  await chip.write(reg.BW_RATE, 0x0a);
  await chip.write(reg.DATA_FORMAT, 0x0b);
  await chip.write(reg.POWER_CTL, 0x08);
  const before = await average(chip, clock);
  await chip.write(reg.DATA_FORMAT, 0x8b);
  const pushed = await average(chip, clock);
  await chip.write(reg.DATA_FORMAT, 0x0b);
  await chip.write(reg.POWER_CTL, 0x00);
  const axes = limits.map(({ name, least, most }, axis) => ({
    name,
    unit: 'g',
    change: (pushed[axis]! - before[axis]!) * gramsPerCount,
    least: least * gramsPerCount,
    most: most * gramsPerCount,
  }));
  return { passed: axes.every(({ change, least, most }) => change >= least && change <= most), axes };
}

async function average(chip: RegisterAccess, clock: Clock): Promise<number[]> {
  const sums = [0, 0, 0];
  for (let n = 0; n < settling; n++) await sample(chip, clock);
  for (let n = 0; n < averaged; n++) {
    const bytes = await sample(chip, clock);
    for (let axis = 0; axis < 3; axis++)
      sums[axis]! += counts(bytes[2 * axis]!, bytes[2 * axis + 1]!) / averaged;
  }
  return sums;
}

async function sample(chip: RegisterAccess, clock: Clock): Promise<Uint8Array> {
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += 2) {
    if (((await chip.readByte(reg.INT_SOURCE)) & dataReady) !== 0) return chip.read(reg.DATAX0, 6);
    await clock.sleep(2);
  }
  throw new AiotError('AIOT_SENSOR_FAILED', 'the ADXL345 gives no samples in its self-test');
}
