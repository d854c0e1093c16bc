import { AiotError, type Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { SelfTest } from '../../chip.js';
import { counts, dpsPerCount, gramsPerCount } from './codec.js';
import { reg } from './registers.js';

interface Procedure {
  names: readonly [string, string, string];
  unit: string;
  /** CTRL1_XL and CTRL2_G. */
  on: readonly [number, number];
  /** CTRL5_C: moves the proof mass the positive way. */
  push: number;
  /** Bit of STATUS_REG. */
  ready: number;
  output: number;
  perCount: number;
  settleMs: number;
  pushedMs: number;
  least: number;
  most: number;
}

/** AN5130, figures 36 and 37: 52 Hz at ±4 g, and 208 Hz at ±2000 dps. */
const procedures: readonly Procedure[] = [
  {
    names: ['ax', 'ay', 'az'],
    unit: 'g',
    on: [0x38, 0x00],
    push: 0x01,
    ready: 0b01,
    output: reg.OUTX_L_XL,
    perCount: gramsPerCount(4),
    settleMs: 100,
    pushedMs: 100,
    least: 0.09,
    most: 1.7,
  },
  {
    names: ['gx', 'gy', 'gz'],
    unit: 'dps',
    on: [0x00, 0x5c],
    push: 0x04,
    ready: 0b10,
    output: reg.OUTX_L_G,
    perCount: dpsPerCount(2000),
    settleMs: 150,
    pushedMs: 50,
    least: 150,
    most: 700,
  },
];
/** Samples that are averaged. */
const averaged = 5;
/** Longest wait for a sample. */
const patienceMs = 200;

/**
 * Pushes the proof masses by the chip's own actuators and looks how far the outputs move. The chip is to lie still; it is in no
 * defined state afterwards.
 * @param leastG that the accelerometer is to move; a relative is content with less
 */
export async function selfTest(chip: RegisterAccess, clock: Clock, leastG?: number): Promise<SelfTest> {
  const axes: SelfTest['axes'][number][] = [];
  // CTRL3_C (BDU, IF_INC), then CTRL4_C to CTRL10_C.
  await chip.write(reg.CTRL3_C, 0x44, 0, 0, 0, 0, 0, 0, 0);
  for (const procedure of procedures) {
    const { names, unit, most } = procedure;
    const least = unit === 'g' && leastG !== undefined ? leastG : procedure.least;
    await chip.write(reg.CTRL1_XL, ...procedure.on);
    await clock.sleep(procedure.settleMs);
    const before = await average(chip, clock, procedure);
    await chip.write(reg.CTRL5_C, procedure.push);
    await clock.sleep(procedure.pushedMs);
    const pushed = await average(chip, clock, procedure);
    await chip.write(reg.CTRL1_XL, 0x00, 0x00);
    await chip.write(reg.CTRL5_C, 0x00);
    names.forEach((name, axis) => {
      axes.push({ name, unit, change: Math.abs(pushed[axis]! - before[axis]!), least, most });
    });
  }
  return { passed: axes.every(({ change, least, most }) => change >= least && change <= most), axes };
}

/** The mean of five samples after one that is dropped. */
async function average(chip: RegisterAccess, clock: Clock, procedure: Procedure): Promise<number[]> {
  const sums = [0, 0, 0];
  await sample(chip, clock, procedure);
  for (let n = 0; n < averaged; n++) {
    const bytes = await sample(chip, clock, procedure);
    for (let axis = 0; axis < 3; axis++)
      sums[axis]! += (counts(bytes[2 * axis]!, bytes[2 * axis + 1]!) * procedure.perCount) / averaged;
  }
  return sums;
}

async function sample(chip: RegisterAccess, clock: Clock, { ready, output }: Procedure): Promise<Uint8Array> {
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += 2) {
    if (((await chip.readByte(reg.STATUS_REG)) & ready) !== 0) return chip.read(output, 6);
    await clock.sleep(2);
  }
  throw new AiotError('AIOT_SENSOR_FAILED', 'the chip gives no samples in its self-test');
}
